"""Register what was trained: one MLflow run with its evidence, three model versions, aliases by the verdict."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config import schema as configs
from synthcxr.config.schema import RegisterConfig
from synthcxr.data import image_reader, records
from synthcxr.errors import ArtifactError, DataError
from synthcxr.model_files import model_folder, onnx_metadata
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.project import revision
from synthcxr.registry import (
    client,
    model_bundle,
    model_card,
    promotion,
    promotion_policy,
    publish,
    run_metrics,
    tracking_uri,
)
from synthcxr.registry.model_address import GENERATOR
from synthcxr.storage import digests, json_files

KINDS: tuple[Kind, ...] = ("generator", "classifier", "judge")
LABELLERS: tuple[Kind, ...] = ("classifier", "judge")
CURVES = ("train_gan.csv", "train_classifier.csv", "train_judge.csv")
RESULTS = ("metrics.json", "verdict.json")
OF_CLASSIFIER = ("classifier", "agreement")  # sections of metrics.json that judge the classifier, not the generator


def run(
    config: RegisterConfig,
    *,
    params: Path,
    models: Path,
    gan: Path,
    classifier: Path,
    judge: Path,
    results: Path,
    dataset: Path,
    out: Path,
) -> dict[str, Any]:
    """Log, register and name; writes and returns registered.json. Nothing reaches MLflow before all input is read."""
    model_folder.verify(models)
    trained = {"generator": gan, "classifier": classifier, "judge": judge}
    facts = model_card.Facts(
        index=model_folder.read(models),
        metrics=json_files.read_json(results / "metrics.json"),
        verdict=json_files.read_json(results / "verdict.json"),
        scores={kind: _read_if_there(trained[kind] / "metrics.json") for kind in LABELLERS},
        weak={kind: onnx_metadata.read(models / f"{kind}.onnx", kind=kind).weak for kind in LABELLERS},
    )
    _, why = promotion_policy.judged(facts.verdict)
    held = _evidence(params, results, dataset, facts, _trainings(trained))
    _require_judged(facts.metrics, models, dataset)
    with tempfile.TemporaryDirectory(prefix="synthcxr-register-") as scratch:
        made = [_model(kind, Path(scratch) / kind, models, trained[kind], facts, dataset) for kind in KINDS]
        made[0].tags.update(_digests(results))
        published = publish.publish(made, held, experiment=config.experiment, why=why)
    outcome = _promote(published)
    registered = dataclasses.asdict(published) | {
        "champion": outcome.champion == outcome.version,
        "why": outcome.why,
    }
    json_files.write_json(out, registered)
    return registered


def _promote(published: publish.Published) -> promotion.Outcome:
    """Ask for the champion's name: given where every gate passed and nothing is worse than the champion."""
    registry = client.Registry.open(tracking_uri.find() or tracking_uri.embedded())
    return promotion.promote(registry, published.versions[GENERATOR])


def _require_judged(metrics: Mapping[str, Any], models: Path, dataset: Path) -> None:
    """ArtifactError unless the evidence is of these very models and of this dataset."""
    seen = metrics.get("models", {})
    for kind in KINDS:
        if seen.get(kind) != onnx_metadata.read(models / f"{kind}.onnx", kind=kind).digest:
            raise ArtifactError(f"{models}: the results are of another {kind}; run `synthcxr evaluate` on these models")
    records.read_metadata(dataset)
    if metrics.get("dataset") != digests.sha256_file(dataset / records.METADATA):
        raise ArtifactError(f"{dataset}: the results are of another dataset; run `synthcxr evaluate` on this one")


def _trainings(trained: Mapping[str, Path]) -> dict[str, str]:
    """The fingerprint of each training by the stem of its table, as its config.json has it."""
    tables = {f"train_{'gan' if kind == 'generator' else kind}": folder for kind, folder in trained.items()}
    return {table: str(_read_if_there(folder / "config.json").get("fingerprint")) for table, folder in tables.items()}


def _evidence(
    params: Path, results: Path, dataset: Path, facts: model_card.Facts, trainings: dict[str, str]
) -> run_metrics.Evidence:
    made = records.read_run(dataset)
    points = run_metrics.metrics(made.get("counts", {}), "generate")
    for name in CURVES:
        if (results / name).is_file():
            points += run_metrics.curve(results / name)
    snapshots = sorted((results / "snapshots").glob("*.png"))
    files = {path: "snapshots" for path in snapshots} | {results / name: "" for name in RESULTS}
    films = str(facts.index["training_data"])
    return run_metrics.Evidence(
        params=run_metrics.params(dataclasses.asdict(configs.load(params))),
        points=tuple(points),
        tags=revision.tags() | _tags(facts.index),
        files=files | {dataset / records.RUN: "synthetic", params: ""},
        training_data=films,
        trainings=trainings,
    )


def _tags(index: Mapping[str, Any]) -> dict[str, str]:
    return {
        "synthcxr.training_data": str(index["training_data"]),
        client.PHANTOM_TAG: str(index["phantom"]).lower(),
        "synthcxr.resolution": str(index["resolution"]),
    }


def _digests(results: Path) -> dict[str, str]:
    """What vouches for the evidence by which a generator's version is promoted."""
    return {
        client.METRICS_TAG: digests.sha256_file(results / "metrics.json"),
        client.VERDICT_TAG: digests.sha256_file(results / "verdict.json"),
    }


def _model(
    kind: Kind, parent: Path, models: Path, trained: Path, facts: model_card.Facts, dataset: Path
) -> publish.Model:
    held = onnx_metadata.read(models / f"{kind}.onnx", kind=kind)
    cards = {}
    if kind == "generator":  # whose folder stands alone, and so holds what its labellers are
        labellers = {of: onnx_metadata.read(models / f"{of}.onnx", kind=of) for of in LABELLERS}
        cards = {model_bundle.card_of(of): model_card.write(labeller, facts) for of, labeller in labellers.items()}
    folder = model_bundle.build(
        parent, index=facts.index, files=_files(kind, models, trained), card=model_card.write(held, facts), cards=cards
    )
    tags = _tags(facts.index) | {client.DIGEST_TAG: held.digest}
    return publish.Model(
        kind, folder, model_card.summary(held), tags, _example(dataset, held.resolution), _figures(kind, facts)
    )


def _figures(kind: Kind, facts: model_card.Facts) -> tuple[run_metrics.Point, ...]:
    """The figures that judge a model: of its training films' val side, and what `evaluate` found of it."""
    if kind == "generator":
        found = {name: held for name, held in facts.metrics.items() if name not in OF_CLASSIFIER}
        return tuple(run_metrics.metrics(found))
    found = {name: facts.metrics[name] for name in OF_CLASSIFIER if kind == "classifier" and name in facts.metrics}
    return tuple(run_metrics.metrics(found) + run_metrics.metrics(facts.scores[kind], f"{kind}.val"))


def _files(kind: Kind, models: Path, trained: Path) -> dict[str, Path]:
    """The files of a version: a generator's stands alone, and every one holds the weights to go on training from."""
    shipped: tuple[str, ...] = (f"{kind}.onnx",)
    if kind == "generator":
        shipped = (*model_folder.ONNX_FILES, "reference.npz")
        shipped += tuple(name for name in model_folder.PROPOSAL_FILES if (models / name).is_file())
    weights = sorted(trained.glob("*.safetensors"))
    if not weights:
        raise ArtifactError(f"{trained}: holds no weights (*.safetensors); train the {kind} again")
    return {name: models / name for name in shipped} | {path.name: path for path in (*weights, trained / "config.json")}


def _example(dataset: Path, side: int) -> NDArray[np.uint8]:
    """The first synthetic image, uint8 [side, side]: what a model is registered with is never a real film."""
    table = records.read_metadata(dataset)
    if table.empty:
        raise DataError(f"{dataset}: holds no image; generate at least one")
    (data,) = image_reader.read_all(dataset, [str(table["file_name"].iloc[0])])
    image = image_reader.pixels(data)
    if image.shape != (side, side):
        raise DataError(f"{dataset}: its images are {image.shape[0]} px, the models' {side} px; generate it again")
    return image


def _read_if_there(path: Path) -> dict[str, Any]:
    return dict(json_files.read_json(path)) if path.is_file() else {}
