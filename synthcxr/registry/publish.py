"""One run and its registered versions: logged whole, named by aliases only at the end."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.tracking.context.registry import resolve_tags
from numpy.typing import NDArray

from synthcxr.model_files import model_folder
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.registry import active_run, companion_aliases, connection, signature, tracking_uri
from synthcxr.registry import client as fetch
from synthcxr.registry.model_address import CANDIDATE, GENERATOR
from synthcxr.registry.run_metrics import Evidence, Point
from synthcxr.storage import digests

_PARAMS_A_BATCH, _METRICS_A_BATCH = 100, 1000  # what MLflow takes at once
_EXISTS = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)


@dataclasses.dataclass(frozen=True)
class Model:
    """One model to register: its folder (of bundle.build), a line about it, its tags and a synthetic uint8 example.

    `figures` are what judges this very model: they stand on its version's page, and in the run.
    """

    kind: Kind
    folder: Path
    summary: str
    tags: dict[str, str]
    example: NDArray[np.uint8]
    figures: tuple[Point, ...] = ()


@dataclasses.dataclass(frozen=True)
class Published:
    """What was made: the run, the version of each registered model, and the kind of store it is in."""

    run_id: str
    versions: dict[str, str]
    tracking_uri_kind: str


def publish(models: Sequence[Model], evidence: Evidence, *, experiment: str, why: str) -> Published:
    """Log one run, register a version of each model, then move the alias `candidate`, the generator's first.

    The run is the one that these trainings wrote their rows to, where there is one: it gets what it lacks.
    """
    uri = tracking_uri.find() or tracking_uri.embedded()
    client = connection.connect(uri, create=True)
    experiment_id = connection.experiment(client, uri, experiment)
    with connection.speaking(uri), connection.tracking(uri):
        held = active_run.find(client, experiment_id, films=evidence.training_data, trainings=evidence.trainings)
        with _run(experiment_id, held, evidence.tags) as run:
            _log(client, run.info.run_id, evidence, held)
            made = [_register(client, run.info.run_id, model, f"synthcxr-{model.kind}", why) for model in models]
            versions = {f"synthcxr-{model.kind}": version for model, (version, _) in zip(models, made, strict=True)}
            for model, (_, model_id) in zip(models, made, strict=True):  # a model gets all that its run already holds
                _log_points(client, run.info.run_id, model.figures, model_id=model_id)
        _name_labellers(client, versions)
        for name, version in versions.items():
            client.set_registered_model_alias(name, CANDIDATE, version)
    active_run.leave()
    return Published(run.info.run_id, versions, tracking_uri.kind(uri))


def _name_labellers(client: MlflowClient, versions: Mapping[str, str]) -> None:
    """Let the generator's version say which labellers it was evaluated with: their aliases follow it."""
    for kind in companion_aliases.KINDS:
        if GENERATOR in versions and f"synthcxr-{kind}" in versions:
            held = versions[f"synthcxr-{kind}"]
            client.set_model_version_tag(GENERATOR, versions[GENERATOR], companion_aliases.tag(kind), held)


@dataclasses.dataclass(frozen=True)
class Judged:
    """Figures found after a registration: of a registered model with its digest, or, `name` None, of none of them."""

    name: str | None
    digest: str
    figures: tuple[Point, ...]


def attach(run_id: str, file: Path, *, versions: Mapping[str, str], later: Sequence[Judged] = ()) -> None:
    """Log one more file, such as the report, to a run that was published here, and figures to what they judge.

    What the run holds already is not logged again, nor what judges another model than the version in `versions`.
    """
    uri = tracking_uri.find() or tracking_uri.embedded()
    client = connection.connect(uri)
    with connection.speaking(uri):
        client.log_artifact(run_id, str(file))
        there = _points(client, client.get_run(run_id)) if later else set()
        for judged in later:
            new = [point for point in judged.figures if point not in there]
            if judged.name is None:
                _log_points(client, run_id, new)
                continue
            version = client.get_model_version(judged.name, versions[judged.name])
            if version.tags.get(fetch.DIGEST_TAG) == judged.digest:
                # its source is models:/<MLflow's own id>; a sqlite store leaves the version's model_id empty
                _log_points(client, run_id, new, model_id=(version.source or "").removeprefix("models:/"))


def _run(experiment_id: str, held: Run | None, tags: dict[str, str]) -> mlflow.ActiveRun:
    if held is None:
        return mlflow.start_run(experiment_id=experiment_id, tags=tags)
    return mlflow.start_run(run_id=held.info.run_id, tags=resolve_tags(tags))


def _log(client: MlflowClient, run_id: str, evidence: Evidence, held: Run | None) -> None:
    """Log what the run does not hold yet."""
    known = held.data.params if held else {}
    params = [Param(key, value) for key, value in evidence.params.items() if key not in known]
    for at in range(0, len(params), _PARAMS_A_BATCH):
        client.log_batch(run_id, params=params[at : at + _PARAMS_A_BATCH])
    there = _points(client, held) if held else set()
    _log_points(client, run_id, [point for point in evidence.points if point not in there])
    client.log_inputs(run_id, datasets=[_dataset(evidence.training_data)])
    for file, folder in evidence.files.items():
        client.log_artifact(run_id, str(file), folder or None)


def _log_points(client: MlflowClient, run_id: str, points: Sequence[Point], *, model_id: str | None = None) -> None:
    """Log values to a run and, where one is named, to the model that they judge."""
    now_ms = int(time.time() * 1000)
    metrics = [Metric(p.name, p.value, now_ms, p.step, model_id=model_id) for p in points]
    for at in range(0, len(metrics), _METRICS_A_BATCH):
        client.log_batch(run_id, metrics=metrics[at : at + _METRICS_A_BATCH])


def _points(client: MlflowClient, held: Run) -> set[Point]:
    """Every value that a run's metrics have had."""
    histories = (client.get_metric_history(held.info.run_id, name) for name in held.data.metrics)
    return {Point(metric.key, metric.value, metric.step) for history in histories for metric in history}


def _dataset(fingerprint: str) -> DatasetInput:
    source = json.dumps({"fingerprint": fingerprint})
    return DatasetInput(
        Dataset("films", fingerprint, "synthcxr", source), [InputTag("mlflow.data.context", "training")]
    )


def _register(client: MlflowClient, run_id: str, model: Model, name: str, why: str) -> tuple[str, str]:
    """The version that was made, and MLflow's own id of the model."""
    import mlflow.pyfunc as pyfunc  # here, within `speaking`: while it is imported MLflow warns of its own type hints

    info = pyfunc.log_model(
        name=model.kind,
        loader_module=signature.LOADER,
        data_path=str(model.folder),
        signature=signature.signature(model.kind, model.example.shape[0]),
        input_example=signature.example(model.kind, model.example),
        pip_requirements=signature.requirements(),
        model_config={"device": "auto"},
        metadata={"synthcxr": model.tags},
    )
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != _EXISTS:
            raise
    client.set_registered_model_tag(name, fetch.TAG, model.kind)
    index_sha256 = digests.sha256_file(model.folder / model_folder.INDEX)
    tags = model.tags | {fetch.TAG: model.kind, fetch.INDEX_TAG: index_sha256, fetch.WHY_TAG: why}
    made = client.create_model_version(
        name, info.model_uri, run_id, tags=tags, description=model.summary, model_id=info.model_id
    )
    return str(made.version), str(info.model_id)
