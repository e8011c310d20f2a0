"""Register the trained models: log one MLflow run with its evidence, register three versions, try to promote."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config import parsing
from synthcxr.config.schema import RegisterConfig, load_config
from synthcxr.data import image_reader
from synthcxr.data.evidence.summary import UTILITY_FILE
from synthcxr.data.experiment_rows import UtilityJson
from synthcxr.data.leakage import REFERENCE_FILE
from synthcxr.data.metrics_schema import METRICS_FILE, VERDICT_FILE, MetricsJson, VerdictJson
from synthcxr.data.synthetic_dataset import METADATA_FILE, RUN_FILE, iterate_image_records, read_run
from synthcxr.errors import ArtifactError, DataError
from synthcxr.model_files import model_folder, onnx_metadata
from synthcxr.model_files.onnx_metadata import Kind, ModelMetadata
from synthcxr.project import revision
from synthcxr.registry import client, model_card, promotion, promotion_policy, publish, run_metrics, tracking_uri
from synthcxr.registry.model_address import GENERATOR_MODEL
from synthcxr.registry.model_card_tables import ValScores
from synthcxr.storage import clean_up, digests, json_files, output_lock

KINDS: tuple[Kind, ...] = ("generator", "classifier", "judge")
TRAINING_LOGS = ("train_gan.csv", "train_classifier.csv", "train_judge.csv")
_ADVICE = "run `synthcxr evaluate` again"
CLASSIFIER_SECTIONS = ("classifier", "agreement")  # of metrics.json: they measure the classifier, not the generator


@dataclasses.dataclass(frozen=True)
class _Inputs:
    """The folders that `register` reads, the metadata of the models, and what their cards are written from."""

    models: Path
    trained: Mapping[Kind, Path]
    results: Path
    dataset: Path
    metadata: Mapping[Kind, ModelMetadata]
    card: model_card.CardInputs


@output_lock.writes_file()
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
    """Log, register and try to promote; write registered.json to `out` and return it.

    Raises ArtifactError, ConfigError or DataError for incomplete input before anything reaches MLflow.
    """
    inputs = _read_inputs(models, {"generator": gan, "classifier": classifier, "judge": judge}, results, dataset)
    decision = promotion_policy.decide_by_gates(inputs.card.verdict)
    contents = _collect_run_contents(params, inputs)
    _check_evidence(inputs)
    with clean_up.temporary_folder("synthcxr-register-") as scratch:
        to_publish = [_build_model(kind, scratch / kind, inputs) for kind in KINDS]
        published = publish.publish(to_publish, contents, experiment=config.experiment, why=decision.why)
    registry = client.Registry.open(tracking_uri.find() or tracking_uri.embedded_uri())
    outcome = promotion.promote(registry, published.versions[GENERATOR_MODEL])
    registered = dataclasses.asdict(published) | {
        "champion": outcome.champion == outcome.version,
        "why": outcome.why,
    }
    json_files.write_json(out, registered)
    return registered


def _read_inputs(models: Path, trained: Mapping[Kind, Path], results: Path, dataset: Path) -> _Inputs:
    model_folder.verify_files(models)
    metadata = {kind: onnx_metadata.read(models / f"{kind}.onnx", kind=kind) for kind in KINDS}
    utility = results / UTILITY_FILE
    card = model_card.CardInputs(
        index=model_folder.read_complete_index(models),
        metrics=parsing.read_json(MetricsJson, results / METRICS_FILE, advice=_ADVICE, missing_ok=True),
        verdict=parsing.read_json(VerdictJson, results / VERDICT_FILE, advice=_ADVICE),
        run=read_run(dataset),
        utility=parsing.read_json(UtilityJson, utility, missing_ok=True) if utility.is_file() else {},
        scores={kind: _read_val_scores(trained[kind] / "metrics.json") for kind in promotion.COMPANIONS},
        weak={kind: metadata[kind].weak for kind in promotion.COMPANIONS},
    )
    return _Inputs(models, trained, results, dataset, metadata, card)


def _check_evidence(inputs: _Inputs) -> None:
    """Raise ArtifactError unless the results are of exactly these models and this dataset."""
    metrics: MetricsJson = inputs.card.metrics
    evaluated = metrics.get("models", {})
    for kind in KINDS:
        if evaluated.get(kind) != inputs.metadata[kind].digest:
            raise ArtifactError(
                f"{inputs.models}: the results are of another {kind}; run `synthcxr evaluate` on these models"
            )
    for _ in iterate_image_records(inputs.dataset):  # raises for a damaged dataset
        pass
    if metrics.get("dataset") != digests.sha256_file(inputs.dataset / METADATA_FILE):
        raise ArtifactError(
            f"{inputs.dataset}: the results are of another dataset; run `synthcxr evaluate` on this one"
        )


def _collect_run_contents(params: Path, inputs: _Inputs) -> run_metrics.RunContents:
    points = run_metrics.flatten_metrics(read_run(inputs.dataset).get("counts", {}), "generate")
    for name in TRAINING_LOGS:
        if (inputs.results / name).is_file():
            points += run_metrics.read_curve(inputs.results / name)
    files = {path: "snapshots" for path in sorted((inputs.results / "snapshots").glob("*.png"))}
    files |= {inputs.results / name: "" for name in (METRICS_FILE, VERDICT_FILE)}
    files |= {inputs.dataset / RUN_FILE: "synthetic", params: ""}
    return run_metrics.RunContents(
        params=run_metrics.flatten_params(dataclasses.asdict(load_config(params))),
        points=tuple(points),
        tags=revision.build_run_tags() | _build_tags(inputs.card.index),
        files=files,
        training_data=str(inputs.card.index["training_data"]),
        trainings={
            f"train_{'gan' if kind == 'generator' else kind}": _read_fingerprint(folder)
            for kind, folder in inputs.trained.items()
        },
    )


def _build_tags(index: Mapping[str, Any]) -> dict[str, str]:
    return {
        client.TRAINING_DATA_TAG: str(index["training_data"]),
        client.PHANTOM_TAG: str(index["phantom"]).lower(),
        client.RESOLUTION_TAG: str(index["resolution"]),
    }


def _build_model(kind: Kind, parent: Path, inputs: _Inputs) -> publish.ModelToPublish:
    metadata = inputs.metadata[kind]
    tags = _build_tags(inputs.card.index) | {client.DIGEST_TAG: metadata.digest}
    companion_cards = {}
    if kind == "generator":  # its folder must be complete without a registry, so it has the cards of all three models
        companion_cards = {
            model_card.companion_card_file(companion): model_card.render_card(inputs.metadata[companion], inputs.card)
            for companion in promotion.COMPANIONS
        }
        tags |= {  # promotion later checks the logged evidence against these digests
            client.METRICS_TAG: digests.sha256_file(inputs.results / METRICS_FILE),
            client.VERDICT_TAG: digests.sha256_file(inputs.results / VERDICT_FILE),
        }
    folder = publish.build_model_folder(
        parent,
        index=inputs.card.index,
        files=_list_files(kind, inputs.models, inputs.trained[kind]),
        card=model_card.render_card(metadata, inputs.card),
        companion_cards=companion_cards,
    )
    return publish.ModelToPublish(
        kind=kind,
        folder=folder,
        summary=model_card.summarize(metadata),
        tags=tags,
        example=_read_example(inputs.dataset, metadata.resolution),
        points=_collect_points(kind, inputs.card),
    )


def _collect_points(kind: Kind, card: model_card.CardInputs) -> tuple[run_metrics.MetricPoint, ...]:
    """Return the metrics of one model: its sections of metrics.json, and for classifier and judge the val scores."""
    of_classifier = {name: section for name, section in card.metrics.items() if name in CLASSIFIER_SECTIONS}
    if kind == "generator":
        of_generator = {name: section for name, section in card.metrics.items() if name not in CLASSIFIER_SECTIONS}
        return tuple(run_metrics.flatten_metrics(of_generator))
    sections = of_classifier if kind == "classifier" else {}
    val_scores = run_metrics.flatten_metrics(card.scores[kind], f"{kind}.val")
    return (*run_metrics.flatten_metrics(sections), *val_scores)


def _list_files(kind: Kind, models: Path, trained: Path) -> dict[str, Path]:
    """Return the files of a version by name; every version has the weights, a generator's also all other models."""
    exported: tuple[str, ...] = (f"{kind}.onnx",)
    if kind == "generator":
        proposal = (name for name in model_folder.PROPOSAL_FILES if (models / name).is_file())
        exported = (*model_folder.ONNX_FILES, REFERENCE_FILE, *proposal)
    weights = sorted(trained.glob("*.safetensors"))
    if not weights:
        raise ArtifactError(f"{trained}: contains no weights (*.safetensors); train the {kind} again")
    return {name: models / name for name in exported} | {
        path.name: path for path in (*weights, trained / "config.json")
    }


def _read_example(dataset: Path, side: int) -> NDArray[np.uint8]:
    """Return the first synthetic image, uint8 [side, side]; the example of a registered model is never a real film."""
    record = next(iterate_image_records(dataset), None)
    if record is None:
        raise DataError(f"{dataset}: contains no image; generate at least one")
    (data,) = image_reader.read_all_verified(dataset, [record.file_name], [record.sha256])
    image = image_reader.decode_pixels(data, name=f"{dataset}: {record.file_name}")
    if image.shape != (side, side):
        raise DataError(f"{dataset}: its images have {image.shape[0]} px, the models {side} px; generate it again")
    return image


def _read_fingerprint(trained: Path) -> str:
    return str(_read_optional_json(trained / "config.json").get("fingerprint"))


def _read_val_scores(path: Path) -> ValScores:
    return parsing.read_json(ValScores, path, error=ArtifactError, advice="train again") if path.is_file() else {}


def _read_optional_json(path: Path) -> dict[str, Any]:
    tree = json_files.read_json(path) if path.is_file() else {}
    if not isinstance(tree, dict):
        raise ArtifactError(f"{path}: is not a JSON object; train again")
    return tree
