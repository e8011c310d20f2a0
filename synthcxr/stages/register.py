"""Register what was trained: one MLflow run with its evidence, three model versions, aliases by the verdict."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr import config as configs
from synthcxr import contract, image_bytes, lineage, model_index, records
from synthcxr.config import RegisterConfig
from synthcxr.contract import Kind
from synthcxr.errors import ArtifactError, DataError
from synthcxr.registry import bundle, card, decision, evidence, fetch, location, promotion, publish
from synthcxr.registry.address import GENERATOR

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
    model_index.verify(models)
    trained = {"generator": gan, "classifier": classifier, "judge": judge}
    facts = card.Facts(
        index=model_index.read(models),
        metrics=records.read_json(results / "metrics.json"),
        verdict=records.read_json(results / "verdict.json"),
        scores={kind: _read_if_there(trained[kind] / "metrics.json") for kind in LABELLERS},
        weak={kind: contract.read(models / f"{kind}.onnx", kind=kind).weak for kind in LABELLERS},
    )
    _, why = decision.judged(facts.verdict)
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
    records.write_json(out, registered)
    return registered


def _promote(published: publish.Published) -> promotion.Outcome:
    """Ask for the champion's name: given where every gate passed and nothing is worse than the champion."""
    registry = fetch.Registry.open(location.find() or location.embedded())
    return promotion.promote(registry, published.versions[GENERATOR])


def _require_judged(metrics: Mapping[str, Any], models: Path, dataset: Path) -> None:
    """ArtifactError unless the evidence is of these very models and of this dataset."""
    seen = metrics.get("models", {})
    for kind in KINDS:
        if seen.get(kind) != contract.read(models / f"{kind}.onnx", kind=kind).digest:
            raise ArtifactError(f"{models}: the results are of another {kind}; run `synthcxr evaluate` on these models")
    records.read_metadata(dataset)
    if metrics.get("dataset") != records.sha256_file(dataset / records.METADATA):
        raise ArtifactError(f"{dataset}: the results are of another dataset; run `synthcxr evaluate` on this one")


def _trainings(trained: Mapping[str, Path]) -> dict[str, str]:
    """The fingerprint of each training by the stem of its table, as its config.json has it."""
    tables = {f"train_{'gan' if kind == 'generator' else kind}": folder for kind, folder in trained.items()}
    return {table: str(_read_if_there(folder / "config.json").get("fingerprint")) for table, folder in tables.items()}


def _evidence(
    params: Path, results: Path, dataset: Path, facts: card.Facts, trainings: dict[str, str]
) -> evidence.Evidence:
    made = records.read_run(dataset)
    points = evidence.metrics(made.get("counts", {}), "generate")
    for name in CURVES:
        if (results / name).is_file():
            points += evidence.curve(results / name)
    snapshots = sorted((results / "snapshots").glob("*.png"))
    files = {path: "snapshots" for path in snapshots} | {results / name: "" for name in RESULTS}
    films = str(facts.index["training_data"])
    return evidence.Evidence(
        params=evidence.params(dataclasses.asdict(configs.load(params))),
        points=tuple(points),
        tags=lineage.tags() | _tags(facts.index),
        files=files | {dataset / records.RUN: "synthetic", params: ""},
        training_data=films,
        trainings=trainings,
    )


def _tags(index: Mapping[str, Any]) -> dict[str, str]:
    return {
        "synthcxr.training_data": str(index["training_data"]),
        fetch.PHANTOM_TAG: str(index["phantom"]).lower(),
        "synthcxr.resolution": str(index["resolution"]),
    }


def _digests(results: Path) -> dict[str, str]:
    """What vouches for the evidence by which a generator's version is promoted."""
    return {
        fetch.METRICS_TAG: records.sha256_file(results / "metrics.json"),
        fetch.VERDICT_TAG: records.sha256_file(results / "verdict.json"),
    }


def _model(kind: Kind, parent: Path, models: Path, trained: Path, facts: card.Facts, dataset: Path) -> publish.Model:
    held = contract.read(models / f"{kind}.onnx", kind=kind)
    cards = {}
    if kind == "generator":  # whose folder stands alone, and so holds what its labellers are
        labellers = {of: contract.read(models / f"{of}.onnx", kind=of) for of in LABELLERS}
        cards = {bundle.card_of(of): card.write(labeller, facts) for of, labeller in labellers.items()}
    folder = bundle.build(
        parent, index=facts.index, files=_files(kind, models, trained), card=card.write(held, facts), cards=cards
    )
    tags = _tags(facts.index) | {fetch.DIGEST_TAG: held.digest}
    return publish.Model(
        kind, folder, card.summary(held), tags, _example(dataset, held.resolution), _figures(kind, facts)
    )


def _figures(kind: Kind, facts: card.Facts) -> tuple[evidence.Point, ...]:
    """The figures that judge a model: of its training films' val side, and what `evaluate` found of it."""
    if kind == "generator":
        found = {name: held for name, held in facts.metrics.items() if name not in OF_CLASSIFIER}
        return tuple(evidence.metrics(found))
    found = {name: facts.metrics[name] for name in OF_CLASSIFIER if kind == "classifier" and name in facts.metrics}
    return tuple(evidence.metrics(found) + evidence.metrics(facts.scores[kind], f"{kind}.val"))


def _files(kind: Kind, models: Path, trained: Path) -> dict[str, Path]:
    """The files of a version: a generator's stands alone, and every one holds the weights to go on training from."""
    shipped: tuple[str, ...] = (f"{kind}.onnx",)
    if kind == "generator":
        shipped = (*model_index.ONNX_FILES, "reference.npz")
        shipped += tuple(name for name in model_index.PROPOSAL_FILES if (models / name).is_file())
    weights = sorted(trained.glob("*.safetensors"))
    if not weights:
        raise ArtifactError(f"{trained}: holds no weights (*.safetensors); train the {kind} again")
    return {name: models / name for name in shipped} | {path.name: path for path in (*weights, trained / "config.json")}


def _example(dataset: Path, side: int) -> NDArray[np.uint8]:
    """The first synthetic image, uint8 [side, side]: what a model is registered with is never a real film."""
    table = records.read_metadata(dataset)
    if table.empty:
        raise DataError(f"{dataset}: holds no image; generate at least one")
    (data,) = image_bytes.read_all(dataset, [str(table["file_name"].iloc[0])])
    image = image_bytes.pixels(data)
    if image.shape != (side, side):
        raise DataError(f"{dataset}: its images are {image.shape[0]} px, the models' {side} px; generate it again")
    return image


def _read_if_there(path: Path) -> dict[str, Any]:
    return dict(records.read_json(path)) if path.is_file() else {}
