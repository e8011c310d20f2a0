"""A connection to MLflow: the server or the folder's own store, its errors as one plain line, its noise kept away."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from synthcxr.errors import ArtifactError
from synthcxr.registry import tracking_uri

PROBE_TIMEOUT_S = 5
_PROBE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PROBE_TIMEOUT_S)}
_SQLITE_MAGIC = b"SQLite format 3\0"
_CLOSED = "Connection aborted"

if "MLFLOW_LOGGING_LEVEL" not in os.environ:
    logging.getLogger("mlflow").setLevel(logging.WARNING)


def connect(uri: str, *, create: bool = False) -> MlflowClient:
    """A client of the store at `uri`, asked one question first, so that a server that is down is known in seconds.

    Only `create` lets a sqlite store that is not there be made.
    """
    _check_database(uri, create=create)
    with speaking(uri), _environment({key: value for key, value in _PROBE.items() if key not in os.environ}):
        client = MlflowClient(tracking_uri=uri)
        try:
            client.search_experiments(max_results=1)
        except MlflowException as error:
            if _CLOSED not in str(error):
                raise
            client.search_experiments(max_results=1)  # a connection kept from before, which the server has closed since
    return client


@contextlib.contextmanager
def speaking(uri: str) -> Iterator[None]:
    """Run MLflow calls: what they raise becomes an ArtifactError of one line, what they warn of is not ours."""
    with _quiet() if threading.current_thread() is threading.main_thread() else contextlib.nullcontext():
        try:
            yield
        except (MlflowException, SQLAlchemyError, requests.RequestException) as error:
            raise ArtifactError(f"MLflow at {tracking_uri.shown(uri)}: {_sentence(error)}") from error


@contextlib.contextmanager
def patient() -> Iterator[None]:
    """Prepare the process for another thread that speaks to MLflow: short waits, and no warnings that are not ours.

    Environment and warning filters belong to the whole process: that thread leaves them alone.
    """
    with _quiet(), _environment({key: value for key, value in _PROBE.items() if key not in os.environ}):
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # MLflow 3.17 maps its tables with an option that SQLAlchemy 2.1 deprecates, compares columns with a range,
        # which pandas 3 deprecates, and warns of type hints in its own modules; none can be mended from here.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
        warnings.filterwarnings("ignore", message="Operation with range is deprecated")
        warnings.filterwarnings("ignore", message=".*type hint is inferred as AnyType")
        yield


@contextlib.contextmanager
def tracking(uri: str) -> Iterator[None]:
    """Make `uri` MLflow's own current store, which its fluent functions use, and put the earlier one back."""
    before = os.environ.get(tracking_uri.VARIABLE)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # None is "not set", which its annotation forgets
        if before is not None:
            os.environ[tracking_uri.VARIABLE] = before


def experiment(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment, made if need be; a sqlite store keeps its files in `artifacts` beside it."""
    database = tracking_uri.database(uri)
    files = (database.parent.absolute() / tracking_uri.ARTIFACTS).as_uri() if database else None
    with speaking(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            return client.create_experiment(name, artifact_location=files)
    if tracking_uri.kind(uri) == "embedded" and found.artifact_location != files:
        raise ArtifactError(
            f"{tracking_uri.shown(uri)}: was made elsewhere and keeps its files at {found.artifact_location};"
            f" move the folder back, or remove {tracking_uri.EMBEDDED.parent}/mlflow.db to begin anew here"
        )
    if found.lifecycle_stage != "active":
        raise ArtifactError(
            f"MLflow at {tracking_uri.shown(uri)}: experiment {name!r} is deleted; restore or rename it"
        )
    return str(found.experiment_id)


def _check_database(uri: str, *, create: bool) -> None:
    """Refuse a sqlite store that cannot work, where MLflow would try again for minutes."""
    path = tracking_uri.database(uri)
    if path is None:
        return
    if not path.exists() and not create:
        raise ArtifactError(f"{tracking_uri.shown(uri)}: no such MLflow store; `synthcxr register` makes it")
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(_SQLITE_MAGIC)) != _SQLITE_MAGIC:
                raise ArtifactError(
                    f"{tracking_uri.shown(uri)}: is no MLflow store; remove it and run `synthcxr register`"
                )
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not os.access(there, os.W_OK):
        raise ArtifactError(f"{tracking_uri.shown(uri)}: not writable; MLflow writes where it keeps its store")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "Failed to establish a new connection" in text or "Connection refused" in text:
        return "nobody answers; start the server, or unset MLFLOW_TRACKING_URI to use this folder's own registry"
    if "error code 401" in text:
        return "the server did not let us in (401); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if "error code 403" in text or "Permission denied" in text:
        return "the server does not allow this (403); ask its administrator for the permission"
    if "503 error responses" in text:
        return "the server cannot do it now (503), as when its database is full or away; see to it, then try again"
    if any(sign in text for sign in ("500 error responses", "500 Server Error", _CLOSED)):
        return "the server broke off, as when the disk for its files is full; see its log, then try again"
    if "timed out" in text or "timeout" in text:
        return "no answer in time; see to the server, or unset MLFLOW_TRACKING_URI to use this folder's own registry"
    if "Detected out-of-date database schema" in text:
        return "the store was made by another MLflow; run `mlflow db upgrade` on it"
    return text[:300] or type(error).__name__
