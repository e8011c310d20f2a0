"""Log one MLflow run and register its models; move aliases only after everything is logged."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from numpy.typing import NDArray

from synthcxr.model_files import model_folder
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.registry import active_run, connection, promotion, run_metrics, signature, tracking_uri
from synthcxr.registry.client import DIGEST_TAG, KIND_TAG, MODEL_FOLDER, MODEL_JSON_TAG, WHY_TAG
from synthcxr.registry.model_address import CANDIDATE
from synthcxr.registry.model_card import CARD_FILE
from synthcxr.registry.run_metrics import MetricPoint, RunContents
from synthcxr.storage import digests, json_files, write_errors
from synthcxr.storage.progress import print_line, track

_NO_CARDS: Mapping[str, str] = {}
_ALREADY_EXISTS = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)
_FILE_KINDS = {".safetensors": "weights", ".md": "card", ".npz": "reference"}


@dataclasses.dataclass(frozen=True)
class ModelToPublish:
    """One model to register: its folder (of `build_model_folder`), a summary, tags and a synthetic uint8 example.

    `points` are the metrics of this very model: they are shown with its version and logged to the run.
    """

    kind: Kind
    folder: Path
    summary: str
    tags: dict[str, str]
    example: NDArray[np.uint8]
    points: tuple[MetricPoint, ...] = ()


@dataclasses.dataclass(frozen=True)
class PublishedRun:
    """The run, the version of each registered model, and the kind of the store."""

    run_id: str
    versions: dict[str, str]
    tracking_uri_kind: str


@dataclasses.dataclass(frozen=True)
class ModelMetrics:
    """Metrics that were measured after the registration, of the registered model `name` with `digest`.

    Without a name they belong to the run alone.
    """

    name: str | None
    digest: str
    points: tuple[MetricPoint, ...]


def build_model_folder(
    parent: Path,
    *,
    index: Mapping[str, Any],
    files: Mapping[str, Path],
    card: str,
    companion_cards: Mapping[str, str] = _NO_CARDS,
) -> Path:
    """Copy `files` (name: source) and the card into the new folder `parent`/model, and write its model.json last.

    `companion_cards` are the cards of models that come with this one, by file name. Entries of files in `index` (the
    exported model.json) are kept; the others are derived from the file.
    """
    out = parent / MODEL_FOLDER
    out.mkdir(parents=True)
    for name, source in files.items():
        shutil.copyfile(source, out / name)
    texts = {CARD_FILE: card, **companion_cards}
    for name, text in texts.items():
        with write_errors.name_path(out / name):
            (out / name).write_text(text, encoding="utf-8")
    entries = {}
    for name in (*files, *texts):
        entry = index["files"].get(name, {"kind": _FILE_KINDS.get(Path(name).suffix, "config")})
        entries[name] = entry | {"sha256": digests.sha256_file(out / name)}
    json_files.write_json(out / model_folder.INDEX_FILE, dict(index) | {"files": entries})
    return out


def publish(models: Sequence[ModelToPublish], contents: RunContents, *, experiment: str, why: str) -> PublishedRun:
    """Log one run, register a version of each model, then move the alias `candidate`, the generator's first.

    If the trainings of `contents` already write to a run, that run is completed. `why` is stored with each version.
    """
    uri = tracking_uri.find() or tracking_uri.embedded_uri()
    print_line("logging the run to MLflow")
    client = connection.connect(uri, create=True)
    experiment_id = connection.get_or_create_experiment(client, uri, experiment)
    with connection.translate_errors(uri), connection.use_tracking_uri(uri):
        existing = active_run.find_active_run(
            client, experiment_id, films=contents.training_data, trainings=contents.trainings
        )
        versions: dict[str, str] = {}
        model_ids: list[str] = []
        with active_run.open_run(client, experiment_id, existing, tags=contents.tags) as run_id:
            _log_contents(client, run_id, contents, existing)
            for model in track(models, "registering", unit="models"):
                name = f"synthcxr-{model.kind}"
                with _remove_models_of_a_full_disk(client, experiment_id, run_id, keep=model_ids):
                    versions[name], model_id = _register(client, run_id, model, name, why)
                model_ids.append(model_id)
            # Only now: MLflow gives a new model every metric that its run already has.
            for model, model_id in zip(models, model_ids, strict=True):
                run_metrics.log_points(client, run_id, model.points, model_id=model_id)
        promotion.record_companions(client, versions)
        for name, version in versions.items():
            client.set_registered_model_alias(name, CANDIDATE, version)
    active_run.forget()
    return PublishedRun(run_id, versions, tracking_uri.store_kind(uri))


def add_to_run(run_id: str, file: Path, *, versions: Mapping[str, str], metrics: Sequence[ModelMetrics] = ()) -> None:
    """Log one more file, such as the report, to a published run, and metrics to the run and to the models they measure.

    Values that the run already has are skipped, and so are metrics of a model that is not the version in `versions`.
    """
    uri = tracking_uri.find() or tracking_uri.embedded_uri()
    client = connection.connect(uri)
    with connection.translate_errors(uri):
        _log_file(client, run_id, file, "")
        logged = _read_points(client, client.get_run(run_id)) if metrics else set()
        for measured in metrics:
            points = [point for point in measured.points if point not in logged]
            if measured.name is None:
                run_metrics.log_points(client, run_id, points)
                continue
            version = client.get_model_version(measured.name, versions[measured.name])
            if version.tags.get(DIGEST_TAG) == measured.digest:
                # The source is models:/<MLflow's own id>; a sqlite store leaves the version's model_id empty.
                model_id = (version.source or "").removeprefix("models:/")
                run_metrics.log_points(client, run_id, points, model_id=model_id)


def _log_contents(client: MlflowClient, run_id: str, contents: RunContents, existing: Run | None) -> None:
    """Log what the run does not contain yet."""
    known = existing.data.params if existing else {}
    params = {name: value for name, value in contents.params.items() if name not in known}
    run_metrics.log_params(client, run_id, params)
    logged = _read_points(client, existing) if existing else set()
    run_metrics.log_points(client, run_id, [point for point in contents.points if point not in logged])
    client.log_inputs(run_id, datasets=[_films_input(contents.training_data)])
    for file, folder in contents.files.items():
        _log_file(client, run_id, file, folder)


def _log_file(client: MlflowClient, run_id: str, file: Path, folder: str) -> None:
    """Log a file to a folder of a run; if that fails on this machine, remove what was written of it."""
    root = tracking_uri.local_path(client.get_run(run_id).info.artifact_uri)
    target = (root or file.parent) / folder / file.name
    try:
        with write_errors.name_path(target):
            client.log_artifact(run_id, str(file), folder or None)
    except OSError:
        if root is not None:
            target.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _remove_models_of_a_full_disk(
    client: MlflowClient, experiment_id: str, run_id: str, *, keep: Sequence[str]
) -> Iterator[None]:
    """If files cannot be written in the block, remove the files of the run's models on this machine but `keep`."""
    try:
        yield
    except OSError:
        for model in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
            folder = tracking_uri.local_path(model.artifact_location)
            if model.model_id not in keep and folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        raise


def _read_points(client: MlflowClient, run: Run) -> set[MetricPoint]:
    """Return every value in the histories of a run's metrics."""
    histories = (client.get_metric_history(run.info.run_id, name) for name in run.data.metrics)
    return {MetricPoint(metric.key, metric.value, metric.step) for history in histories for metric in history}


def _films_input(fingerprint: str) -> DatasetInput:
    source = json.dumps({"fingerprint": fingerprint})
    return DatasetInput(
        Dataset("films", fingerprint, "synthcxr", source), [InputTag("mlflow.data.context", "training")]
    )


def _register(client: MlflowClient, run_id: str, model: ModelToPublish, name: str, why: str) -> tuple[str, str]:
    """Register a model; return its version and MLflow's own id of the model."""
    import mlflow.pyfunc as pyfunc  # here, within `translate_errors`: its import warns about MLflow's own type hints

    condition = model_folder.read_index(model.folder).get("condition", [])
    info = pyfunc.log_model(
        name=model.kind,
        loader_module=signature.LOADER,
        data_path=str(model.folder),
        signature=signature.build_signature(model.kind, model.example.shape[0], condition),
        input_example=signature.build_example(model.kind, model.example),
        pip_requirements=signature.pin_requirements(),
        model_config={"device": "auto"},
        metadata={"synthcxr": model.tags},
    )
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != _ALREADY_EXISTS:
            raise
    client.set_registered_model_tag(name, KIND_TAG, model.kind)
    index_sha256 = digests.sha256_file(model.folder / model_folder.INDEX_FILE)
    tags = model.tags | {KIND_TAG: model.kind, MODEL_JSON_TAG: index_sha256, WHY_TAG: why}
    version = client.create_model_version(
        name, info.model_uri, run_id, tags=tags, description=model.summary, model_id=info.model_id
    )
    return str(version.version), str(info.model_id)
