"""Export generator, classifier and judge to ONNX, and what of the films may ship: counts, features, floors."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import ExportConfig
from synthcxr.data import film_dataset, images, leakage
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.metrics import calibration, frechet
from synthcxr.evaluation.metrics.thresholds import Thresholds, matched_all
from synthcxr.model_files import predictions
from synthcxr.model_files.onnx_metadata import Contract, Kind, amend
from synthcxr.networks import classifier as classifiers
from synthcxr.networks import generator as generators
from synthcxr.networks import layers, safetensors_files
from synthcxr.networks.onnx_export import export
from synthcxr.storage import digests, json_files, overwrite_guard
from synthcxr.synthesis.runtime.onnx_session import Session

Float32 = NDArray[np.float32]
WRITTEN = ("generator.onnx", "classifier.onnx", "judge.onnx", "reference.npz", "model.json")
BESIDE = ("proposal.onnx", "proposal.json")
QUANTILES = 101
BATCH = 64
CELLS = 2**23  # 64 MiB of distances


def run(config: ExportConfig, *, data: Path, classifier: Path, judge: Path, gan: Path, out: Path) -> dict[str, Any]:
    """Write generator.onnx, classifier.onnx, judge.onnx, reference.npz and model.json to `out`; returns the last."""
    overwrite_guard.refuse_strangers(out, (*WRITTEN, *BESIDE))
    films = film_dataset.open_dataset(data)
    about = json_files.read_json(gan / "config.json")
    resolution = int(about["resolution"])
    for folder in (gan, classifier, judge):
        _require_same_films(folder, films)
    contracts = {
        "generator.onnx": _export_generator(config, gan, about, out / "generator.onnx"),
        "classifier.onnx": _export_classifier(config, films, "classifier", classifier, resolution, out),
        "judge.onnx": _export_classifier(config, films, "judge", judge, resolution, out),
    }
    judge_session = Session.open(out / "judge.onnx", kind="judge", device="cpu")
    _write_reference(config, films, resolution, judge_session, out, earlier=leakage.read_earlier(gan / leakage.FILE))
    summary = {
        "files": {name: _describe(out / name, contract) for name, contract in contracts.items()}
        | {"reference.npz": {"sha256": digests.sha256_file(out / "reference.npz"), "kind": "reference"}},
        "training_data": films.fingerprint,
        "phantom": about["phantom"],
        "attribution": list(about["attribution"]),
        "resolution": resolution,
        "latent": about["network"]["latent"],
        "versions": {name: importlib.metadata.version(name) for name in ("synthcxr", "torch", "onnx")},
    }
    json_files.write_json(out / "model.json", summary)
    return summary


def _require_same_films(folder: Path, films: film_dataset.Dataset) -> None:
    held = json_files.read_json(folder / "config.json")["training_data"]
    if held != films.fingerprint:
        raise ArtifactError(
            f"{folder}: was trained on films {held}, and {films.path} holds {films.fingerprint}; train it again"
        )


def _describe(path: Path, contract: Contract) -> dict[str, str]:
    return {"sha256": digests.sha256_file(path), "digest": contract.digest, "kind": contract.kind}


def _export_generator(config: ExportConfig, gan: Path, about: Mapping[str, Any], path: Path) -> Contract:
    network = generators.build(about["network"])
    safetensors_files.restore(network, gan / "generator.safetensors")
    layers.fold_scales(network)
    contract = _contract("generator", config, about, about["resolution"])
    return export(
        network,
        path=path,
        contract=dataclasses.replace(contract, latent=network.latent),
        row=(network.latent,),
        input_name="z",
        output_names=("image",),
        fp16=config.fp16,
    )


def _export_classifier(
    config: ExportConfig, films: film_dataset.Dataset, kind: Kind, folder: Path, resolution: int, out: Path
) -> Contract:
    about, path = json_files.read_json(folder / "config.json"), out / f"{kind}.onnx"
    trained_at = about["network"]["image_resolution"]
    about["network"] |= {"image_resolution": resolution}
    network = classifiers.build(about["network"])
    safetensors_files.restore(network, folder / "weights.safetensors")
    classifiers.fold(network)
    about["network"] |= {"folded": True}
    held = Thresholds(about["thresholds"], about["thresholds_from"])
    contract = _contract(kind, config, about, resolution)
    stamped = export(
        network,
        path=path,
        contract=dataclasses.replace(contract, thresholds=held.probability, weak=held.weak),
        row=(1, resolution, resolution),
        input_name="image",
        output_names=("logits", "features"),
        fp16=config.fp16,
    )
    model = Session.open(path, kind=kind, device="cpu")
    if trained_at != resolution:
        found = _rematched(films, model, about["split"])
        stamped = dataclasses.replace(stamped, thresholds=found.probability, weak=found.weak)
    return amend(path, dataclasses.replace(stamped, calibration=_calibration(films, model).as_dict()))


def _calibration(films: film_dataset.Dataset, model: Session) -> predictions.Calibration:
    """What makes the probabilities of val films as large as the generator's images mean what they say."""
    side = model.contract.resolution
    _, logits = _features(films, side, "val", model)
    return calibration.fit(logits=logits, findings=_findings(films, side, "val"))


def _findings(films: film_dataset.Dataset, side: int, split: str) -> Float32:
    return films.findings(films.rows(side)[films.indices(side, (split,))])


def _rematched(films: film_dataset.Dataset, model: Session, split: str) -> Thresholds:
    """Thresholds for images as large as the generator's, where training matched them on films of another size."""
    side = model.contract.resolution
    held = {}
    for name in ("val", split):
        _, logits = _features(films, side, name, model)
        held[name] = predictions.probabilities(logits), _findings(films, side, name)
    return matched_all(
        val_probabilities=held["val"][0],
        val_findings=held["val"][1],
        train_probabilities=held[split][0],
        train_findings=held[split][1],
    )


def _contract(kind: Kind, config: ExportConfig, about: Mapping[str, Any], resolution: int) -> Contract:
    return Contract(
        kind=kind,
        resolution=resolution,
        latent=0,
        findings=FINDINGS,
        thresholds={},
        network=dict(about["network"]),
        training_data=about["training_data"],
        phantom=about["phantom"],
        licence=config.licence,
    )


def _write_reference(
    config: ExportConfig,
    films: film_dataset.Dataset,
    resolution: int,
    judge: Session,
    out: Path,
    *,
    earlier: leakage.Seen,
) -> None:
    """Counts, features and distances of the val films as the judge sees them; no pixel, no test film, no name.

    The floor and the nearest-neighbour null compare val films with the classifier's training films, none of which
    the judge has seen.
    """
    rng = np.random.default_rng(0)
    val, val_logits = _features(films, resolution, "val", judge)
    train, _ = _features(films, resolution, "train", judge)
    if len(val) < 2 or len(train) < 2:
        raise ArtifactError(f"{films.path}: {len(val)} val and {len(train)} train films are too few for a reference")
    n = min(len(val), len(train))
    floor = frechet.frechet_distance(real=val, synthetic=train[rng.permutation(len(train))[:n]])
    positive = predictions.present(predictions.probabilities(val_logits), judge.contract.thresholds)
    rows = rng.permutation(len(val))[: config.n_reference]
    quantiles = np.quantile(_nearest(val, train), np.linspace(0, 1, QUANTILES))
    np.savez(
        out / "reference.npz",
        counts=np.concatenate([[float((~positive.any(axis=1)).sum())], positive.sum(axis=0)]),
        n_val=np.int64(len(val)),
        judge_features=val[rows].astype(np.float16),
        floor_judge=np.float64(floor),
        floor_n=np.int64(n),
        digest_judge=np.str_(judge.digest),
        nn_null_quantiles_judge=quantiles,
        attribution=np.str_("\n".join(films.attribution)),
        **leakage.of(films, leakage.LEARNED).arrays(earlier),
    )


def _features(films: film_dataset.Dataset, resolution: int, split: str, judge: Session) -> tuple[Float32, Float32]:
    """Features [n, F] and logits [n, 14] of one split."""
    pixels, at = films.memmap(resolution), films.indices(resolution, (split,))
    outputs = [judge.run(images.to_float(np.asarray(pixels[at[i : i + BATCH]]))) for i in range(0, len(at), BATCH)]
    if not outputs:
        return np.empty((0, 1), np.float32), np.empty((0, len(FINDINGS)), np.float32)
    return tuple(np.concatenate([output[name] for output in outputs]) for name in ("features", "logits"))  # type: ignore[return-value]


def _nearest(queries: Float32, held: Float32) -> NDArray[np.float64]:
    """Euclidean distance [n] of each query to its nearest held row, at most CELLS pairs in memory at a time."""
    asked = queries.astype(np.float64)
    norms = (asked**2).sum(axis=1, keepdims=True)
    nearest = np.full(len(asked), np.inf)
    step = max(1, CELLS // len(asked))
    for start in range(0, len(held), step):
        rows = held[start : start + step].astype(np.float64)
        square = norms - 2 * asked @ rows.T + (rows**2).sum(axis=1)
        nearest = np.minimum(nearest, square.min(axis=1))
    return np.asarray(np.sqrt(np.maximum(nearest, 0)))
