"""Export generator, classifier and judge to ONNX, with the statistics of the films that may ship with them."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import ExportConfig
from synthcxr.data import images
from synthcxr.data.condition_table import ConditionTable
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.films import GAN_TRAINING_SPLITS
from synthcxr.data.findings import FINDINGS
from synthcxr.data.leakage import REFERENCE_FILE, SPLITS_SEEN_IN_TRAINING, TRAINING_FILMS_FILE, TrainingFilms
from synthcxr.data.minimum_films import MIN_FILMS_TO_TRAIN
from synthcxr.data.rare_conditions import merge_rare_conditions
from synthcxr.errors import ArtifactError
from synthcxr.evaluation.memorisation.pixel_index import smooth_and_reduce
from synthcxr.evaluation.metrics import frechet
from synthcxr.evaluation.metrics.calibration import fit_calibration
from synthcxr.evaluation.metrics.film_labels import FilmLabels
from synthcxr.evaluation.metrics.film_variety import FilmVariety
from synthcxr.evaluation.metrics.ms_ssim import FilmSimilarity
from synthcxr.evaluation.metrics.thresholds import Thresholds, fit_thresholds
from synthcxr.model_files import predictions
from synthcxr.model_files.model_folder import GENERATOR_FILE, INDEX_FILE, JUDGE_FILE, ONNX_FILES, PROPOSAL_FILES
from synthcxr.model_files.onnx_metadata import Kind, ModelMetadata, amend
from synthcxr.networks import safetensors_files, training_config
from synthcxr.networks.classifier import build_classifier, fold_norms
from synthcxr.networks.generator import build_generator
from synthcxr.networks.layers import fold_scales
from synthcxr.networks.onnx_export import export_onnx
from synthcxr.networks.training_config import ClassifierTraining, GanTraining
from synthcxr.storage import atomic, digests, guarded_files, json_files, output_lock
from synthcxr.storage.progress import print_line, track
from synthcxr.synthesis.runtime.onnx_session import Session

Float32 = NDArray[np.float32]
OUTPUT_FILES = (*ONNX_FILES, REFERENCE_FILE, INDEX_FILE)
N_QUANTILES = 101
N_BOOTSTRAP = 1000
MAX_COMPARED_FILMS = 1000
"""The most val films that are compared with each other."""
BATCH = 64
MAX_PAIRS = 2**23
"""The most distances in memory at a time, 64 MiB."""


@output_lock.fills_folder((*OUTPUT_FILES, *PROPOSAL_FILES))
def run(config: ExportConfig, *, films: Path, classifier: Path, judge: Path, gan: Path, out: Path) -> dict[str, Any]:
    """Write generator.onnx, classifier.onnx, judge.onnx, reference.npz and model.json to `out`; return model.json.

    `classifier`, `judge` and `gan` are the output folders of their trainings on `films`.
    """
    dataset = open_film_dataset(films)
    with atomic.fill_folder(out) as partial:
        return _write_outputs(config, dataset, classifier=classifier, judge=judge, gan=gan, out=partial)


def format_lines(index: Mapping[str, Any]) -> Iterator[str]:
    """Format model.json for a reader: files, image size, latent and films."""
    films = "phantoms drawn by the program" if index["phantom"] else "films"
    yield ", ".join((*index["files"], INDEX_FILE))
    yield (
        f"images of {index['resolution']} px from {index['latent']} latent numbers; trained on {films}"
        f" (fingerprint {index['training_data']})"
    )


def _write_outputs(
    config: ExportConfig, dataset: FilmDataset, *, classifier: Path, judge: Path, gan: Path, out: Path
) -> dict[str, Any]:
    gan_config = training_config.read_gan_training(gan)
    resolution = gan_config["resolution"]
    for folder in (gan, classifier, judge):
        _require_same_films(folder, dataset)
    print_line(f"exporting {GENERATOR_FILE}")
    metadata = {GENERATOR_FILE: _export_generator(config, gan, gan_config, out / GENERATOR_FILE)}
    kinds: tuple[tuple[Kind, Path], ...] = (("classifier", classifier), ("judge", judge))
    for kind, folder in kinds:
        print_line(f"exporting {kind}.onnx")
        metadata[f"{kind}.onnx"] = _export_classifier(config, dataset, kind, folder, resolution, out)
    judge_session = Session.open(out / JUDGE_FILE, kind="judge", device="cpu")
    print_line(f"measuring films for {REFERENCE_FILE}")
    earlier_films = TrainingFilms.read_earlier(gan / TRAINING_FILMS_FILE)
    table = _read_condition_table(gan, gan_config, dataset)
    _write_reference(
        config, dataset, resolution, judge_session, out / REFERENCE_FILE, earlier_films=earlier_films, table=table
    )
    index = {
        "files": {name: _describe_file(out / name, file_metadata) for name, file_metadata in metadata.items()}
        | {REFERENCE_FILE: {"sha256": digests.sha256_file(out / REFERENCE_FILE), "kind": "reference"}},
        "training_data": dataset.fingerprint,
        "phantom": gan_config["phantom"],
        "attribution": gan_config.get("attribution", []),
        "resolution": resolution,
        "latent": gan_config["network"]["latent"],
        "versions": {name: importlib.metadata.version(name) for name in ("synthcxr", "torch", "onnx")},
    } | ({} if table is None else {"condition": gan_config["condition"]})
    json_files.write_json(out / INDEX_FILE, index)
    return index


def _read_condition_table(gan: Path, gan_config: GanTraining, dataset: FilmDataset) -> ConditionTable | None:
    """Read the table of training conditions, with rare ones made less specific; None for an unconditional GAN."""
    columns = gan_config.get("condition", [])
    if len(columns) != gan_config["network"].get("n_condition", 0):
        raise ArtifactError(f"{gan / training_config.CONFIG_FILE}: network and condition disagree; train it again")
    if not columns:
        return None
    table, resolution = ConditionTable.read(gan / TRAINING_FILMS_FILE, columns), gan_config["resolution"]
    rows = dataset.rows(resolution)[dataset.indices(resolution, GAN_TRAINING_SPLITS)]
    patients = dataset.manifest["patient_id"].to_numpy(dtype=str)[rows]
    return merge_rare_conditions(table, dataset.attributes(rows), patients.tolist())


def _require_same_films(folder: Path, dataset: FilmDataset) -> None:
    training_data = training_config.read_training(folder)["training_data"]
    if training_data != dataset.fingerprint:
        raise ArtifactError(
            f"{folder}: trained on films {training_data}, but {dataset.path} has films {dataset.fingerprint};"
            " train it again"
        )


def _describe_file(path: Path, metadata: ModelMetadata) -> dict[str, str]:
    return {"sha256": digests.sha256_file(path), "digest": metadata.digest, "kind": metadata.kind}


def _export_generator(config: ExportConfig, gan: Path, gan_config: GanTraining, path: Path) -> ModelMetadata:
    with guarded_files.report_failure(gan / training_config.CONFIG_FILE, "a generator", error=ArtifactError):
        network = build_generator(gan_config["network"])
    safetensors_files.load_weights(network, gan / "generator.safetensors")
    fold_scales(network)
    metadata = _build_metadata("generator", config, gan_config, gan_config["resolution"])
    return export_onnx(
        network,
        path=path,
        metadata=dataclasses.replace(metadata, latent=network.latent, condition=tuple(gan_config.get("condition", ()))),
        row=(network.latent,),
        input_name="z",
        output_names=("image",),
        fp16=config.fp16,
        n_condition=network.n_condition,
    )


def _export_classifier(
    config: ExportConfig, dataset: FilmDataset, kind: Kind, folder: Path, resolution: int, out: Path
) -> ModelMetadata:
    """Export the classifier or judge in `folder` for images of `resolution` px, with thresholds and calibration."""
    training, path = training_config.read_classifier_training(folder), out / f"{kind}.onnx"
    training_resolution = training["network"]["image_resolution"]
    training["network"]["image_resolution"] = resolution
    network = build_classifier(training["network"])
    safetensors_files.load_weights(network, folder / "weights.safetensors")
    fold_norms(network)
    training["network"]["folded"] = True
    training["network"]["initial_weights"] = training["parameters"]["weights"]
    training["network"]["n_films"] = len(dataset.labelled_indices(training_resolution, (training["split"],)))
    thresholds = Thresholds(training["thresholds"], training["thresholds_from"])
    metadata = _build_metadata(kind, config, training, resolution)
    metadata = export_onnx(
        network,
        path=path,
        metadata=dataclasses.replace(metadata, thresholds=thresholds.probability, weak=thresholds.weak),
        row=(1, resolution, resolution),
        input_name="image",
        output_names=("logits", "features"),
        fp16=config.fp16,
    )
    model = Session.open(path, kind=kind, device="cpu")
    if training_resolution != resolution:
        thresholds = _refit_thresholds(dataset, model, training["split"])
        metadata = dataclasses.replace(metadata, thresholds=thresholds.probability, weak=thresholds.weak)
    return amend(path, dataclasses.replace(metadata, calibration=_fit_calibration(dataset, model).as_dict()))


def _fit_calibration(dataset: FilmDataset, model: Session) -> predictions.Calibration:
    """Fit the calibration to the val films at the resolution of the generator's images."""
    side = model.metadata.resolution
    _, logits = _run_on_films(dataset, side, "val", model)
    return fit_calibration(logits=logits, findings=_read_findings(dataset, side, "val"))


def _read_findings(dataset: FilmDataset, side: int, split: str) -> Float32:
    return dataset.findings(dataset.rows(side)[dataset.labelled_indices(side, (split,))])


def _refit_thresholds(dataset: FilmDataset, model: Session, split: str) -> Thresholds:
    """Fit thresholds at the resolution of the generator's images, because training used another resolution."""
    side = model.metadata.resolution
    probabilities = {}
    for name in ("val", split):
        _, logits = _run_on_films(dataset, side, name, model)
        probabilities[name] = predictions.to_probabilities(logits)
    return fit_thresholds(
        val_probabilities=probabilities["val"],
        val_findings=_read_findings(dataset, side, "val"),
        train_probabilities=probabilities[split],
        train_findings=_read_findings(dataset, side, split),
    )


def _build_metadata(
    kind: Kind, config: ExportConfig, training: GanTraining | ClassifierTraining, resolution: int
) -> ModelMetadata:
    return ModelMetadata(
        kind=kind,
        resolution=resolution,
        latent=0,
        findings=FINDINGS,
        thresholds={},
        network=dict(training["network"]),
        training_data=training["training_data"],
        phantom=training["phantom"],
        licence=config.licence,
    )


def _write_reference(
    config: ExportConfig,
    dataset: FilmDataset,
    resolution: int,
    judge: Session,
    path: Path,
    *,
    earlier_films: TrainingFilms,
    table: ConditionTable | None,
) -> None:
    """Write label counts, features, AUROCs, variety and distances of the val films, and the table of conditions.

    There are no pixels, test films or names.

    The judge computes them all. The floor of the Fréchet distance and the null distribution of nearest-neighbour
    distances compare val films with the training films of the classifier, which all have labels; the judge
    learned from neither.
    """
    rng = np.random.default_rng(0)
    val, val_logits = _run_on_films(dataset, resolution, "val", judge)
    train, _ = _run_on_films(dataset, resolution, "train", judge)
    if min(len(val), len(train)) < MIN_FILMS_TO_TRAIN:
        raise ArtifactError(
            f"{dataset.path}: {len(val)} val and {len(train)} train films with labels are too few for a reference;"
            " add films and run `synthcxr prepare` again"
        )
    n = min(len(val), len(train))
    floor = frechet.frechet_distance(real=val, synthetic=train[rng.permutation(len(train))[:n]])
    positive = predictions.is_present(predictions.to_probabilities(val_logits), judge.metadata.thresholds)
    rows = rng.permutation(len(val))[: config.n_reference]
    quantiles = np.quantile(_measure_nearest_distances(val, train), np.linspace(0, 1, N_QUANTILES))
    arrays: dict[str, Any] = dict(
        counts=np.concatenate([[float((~positive.any(axis=1)).sum())], positive.sum(axis=0)]),
        n_val=np.int64(len(val)),
        judge_features=val[rows].astype(np.float16),
        floor_judge=np.float64(floor),
        floor_n=np.int64(n),
        digest_judge=np.str_(judge.digest),
        nn_null_quantiles_judge=quantiles,
        **_measure_val_films(dataset, resolution, val_logits),
        attribution=np.str_("\n".join(dataset.attribution)),
        **TrainingFilms.from_dataset(dataset, SPLITS_SEEN_IN_TRAINING).to_arrays(earlier_films),
        **({} if table is None else table.to_arrays()),
    )
    with atomic.open_file(path) as file:
        np.savez(file, **arrays)


def _measure_val_films(dataset: FilmDataset, resolution: int, logits: Float32) -> dict[str, Any]:
    """What `evaluate` without films compares labels and variety with: numbers of the val films, by their own labels."""
    indices, rng = dataset.labelled_indices(resolution, ("val",)), np.random.default_rng(0)
    rows = dataset.rows(resolution)[indices]
    patients = dataset.patients(rows)
    labels = FilmLabels.measure(
        logits=logits, labels=dataset.findings(rows), patients=patients, n_bootstrap=N_BOOTSTRAP, rng=rng
    )
    some = np.unique(np.linspace(0, len(indices) - 1, min(len(indices), MAX_COMPARED_FILMS)).round().astype(np.int64))
    pixels = np.asarray(dataset.memmap(resolution)[indices[some]])
    squares = np.concatenate([smooth_and_reduce(pixels[k : k + BATCH]) for k in range(0, len(pixels), BATCH)])
    variety = FilmVariety.measure(squares, patients[some])
    similarity = FilmSimilarity.measure(pixels, patients[some], n_bootstrap=N_BOOTSTRAP, rng=rng)
    optional = (part.to_arrays() for part in (variety, similarity) if part is not None)
    return labels.to_arrays() | {name: array for arrays in optional for name, array in arrays.items()}


def _run_on_films(dataset: FilmDataset, resolution: int, split: str, model: Session) -> tuple[Float32, Float32]:
    """Return features [n, F] and logits [n, 14] of the labelled films of one split."""
    pixels, indices = dataset.memmap(resolution), dataset.labelled_indices(resolution, (split,))
    outputs = [
        model.run(images.to_float(np.asarray(pixels[indices[start : start + BATCH]])))
        for start in track(range(0, len(indices), BATCH), f"{model.metadata.kind}: {split} films", unit="batches")
    ]
    if not outputs:
        return np.empty((0, 1), np.float32), np.empty((0, len(FINDINGS)), np.float32)
    features, logits = (np.concatenate([output[name] for output in outputs]) for name in ("features", "logits"))
    return features, logits


def _measure_nearest_distances(queries: Float32, references: Float32) -> NDArray[np.float64]:
    """Return the Euclidean distance [n] of each query to its nearest reference."""
    points = queries.astype(np.float64)
    squared_norms = (points**2).sum(axis=1, keepdims=True)
    nearest = np.full(len(points), np.inf)
    step = max(1, MAX_PAIRS // len(points))
    for start in track(range(0, len(references), step), "nearest films", unit="blocks"):
        rows = references[start : start + step].astype(np.float64)
        squared = squared_norms - 2 * points @ rows.T + (rows**2).sum(axis=1)
        nearest = np.minimum(nearest, squared.min(axis=1))
    return np.asarray(np.sqrt(np.maximum(nearest, 0)))
