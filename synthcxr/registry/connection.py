"""Connect to an MLflow store, report its errors as one line, and hide warnings that MLflow itself causes."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
import warnings
from collections.abc import Iterator

import mlflow
import requests
import sqlalchemy
import urllib3.exceptions
from mlflow import MlflowClient
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, ErrorCode
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from synthcxr.errors import ArtifactError
from synthcxr.registry import tracking_uri
from synthcxr.storage import redaction, sqlite_store

PROBE_TIMEOUT_S = 5
_PROBE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": str(PROBE_TIMEOUT_S)}
_IN_MEMORY = ":memory:"
_UNCLASSIFIED = ErrorCode.Name(INTERNAL_ERROR)
_USE_OWN_REGISTRY = f"unset {tracking_uri.URI_VARIABLE} to use this folder's own registry"
_CANNOT_CONNECT = f"cannot connect; start the server, or {_USE_OWN_REGISTRY}"
_TIMED_OUT = f"no answer in time; check the server, or {_USE_OWN_REGISTRY}"
_SERVER_FAILED = (
    "the server failed or closed the connection, for example because the disk of its artifacts is full;"
    " check its log, then try again"
)
_UNAVAILABLE = (
    "the server is unavailable (503), for example because its database is full or down; check it, then try again"
)
_BY_STATUS = {
    401: "the server rejected the credentials (401); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
    403: "the server denied permission (403); ask its administrator for access",
    500: _SERVER_FAILED,
    503: _UNAVAILABLE,
}
_OTHER_SCHEMA = (
    "the tables of the store belong to another MLflow version; install that version, or back the store up and run"
    " `mlflow db upgrade` on it"
)
_DRIVERS = {
    "postgresql": "run: pip install psycopg2-binary",
    "mysql": "run: pip install pymysql, and write the address as mysql+pymysql://",
    "mssql": "run: pip install pymssql, and write the address as mssql+pymssql://",
    "sqlite": "write the address as sqlite:///FILE",
}
_SCHEMES = {"http", "https", "databricks", "databricks-uc", "uc", *_DRIVERS}
_FORMS = f"set {tracking_uri.URI_VARIABLE} to http://HOST:PORT, sqlite:///FILE or postgresql://USER@HOST/DATABASE"

if "MLFLOW_LOGGING_LEVEL" not in os.environ:
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # it logs a traceback of what it raises


def connect(uri: str, *, create: bool = False) -> MlflowClient:
    """Return a client of the store at `uri` after one test request, so that a dead server is noticed within seconds.

    A missing sqlite store is created only with `create`.
    """
    with translate_errors(uri):
        _check_database(uri, create=create)
        with _translate_address_errors(uri), _environment(_unset_probe_variables()):
            client = MlflowClient(tracking_uri=uri)
            try:
                client.search_experiments(max_results=1)
            except MlflowException as error:
                if not any(isinstance(cause, urllib3.exceptions.ProtocolError) for cause in _causes(error)):
                    raise
                client.search_experiments(max_results=1)  # the server had closed a connection that was kept open
            return client


@contextlib.contextmanager
def translate_errors(uri: str) -> Iterator[None]:
    """Run MLflow calls: raise their errors as an ArtifactError of one line, and hide MLflow's own warnings."""
    with _quiet() if threading.current_thread() is threading.main_thread() else contextlib.nullcontext():
        try:
            yield
        except (MlflowException, SQLAlchemyError, requests.RequestException) as error:
            reason = redaction.redact_credentials(_describe(error, uri), uri)
            raise ArtifactError(f"MLflow at {tracking_uri.redact(uri)}: {reason}") from error


@contextlib.contextmanager
def _translate_address_errors(uri: str) -> Iterator[None]:
    """Raise what the address itself causes as an ArtifactError: no database driver, a folder store, a wrong form."""
    store = f"MLflow at {tracking_uri.redact(uri)}"
    scheme = uri.partition("://")[0] if "://" in uri else ""
    dialect = scheme.partition("+")[0]
    try:
        yield
    except ModuleNotFoundError as error:
        if dialect not in _DRIVERS:
            raise
        raise ArtifactError(
            f"{store}: the database driver {error.name} is not installed; {_DRIVERS[dialect]}, or {_USE_OWN_REGISTRY}"
        ) from error
    except NoSuchModuleError as error:
        raise ArtifactError(f"{store}: {scheme} is not a kind of database that SQLAlchemy knows; {_FORMS}") from error
    except (ValueError, ArgumentError) as error:  # a port that is no number, a host name that cannot be encoded
        raise ArtifactError(f"{store}: not a valid address; {_FORMS}") from error
    except MlflowException:
        if tracking_uri.local_path(uri) is not None:
            raise ArtifactError(
                f"{store}: this MLflow does not keep its store in a folder of files; set {tracking_uri.URI_VARIABLE} to"
                f" sqlite:///FILE or to a server, or {_USE_OWN_REGISTRY}"
            ) from None
        if dialect not in _SCHEMES:
            raise ArtifactError(f"{store}: not a kind of store that MLflow knows; {_FORMS}") from None
        raise


@contextlib.contextmanager
def prepare_for_sender_thread() -> Iterator[None]:
    """Set short timeouts and hide MLflow's own warnings while another thread calls MLflow.

    Environment and warning filters belong to the whole process, so that thread must not change them itself.
    """
    with _quiet(), _environment(_unset_probe_variables()):
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # MLflow 3.17 maps its tables with an option that SQLAlchemy 2.1 deprecates, compares columns with a range,
        # which pandas 3 deprecates, and warns about type hints in its own modules. Callers cannot fix any of these.
        warnings.filterwarnings("ignore", message="The ``noload`` loader strategy")
        warnings.filterwarnings("ignore", message="Operation with range is deprecated")
        warnings.filterwarnings("ignore", message=".*type hint is inferred as AnyType")
        yield


@contextlib.contextmanager
def use_tracking_uri(uri: str) -> Iterator[None]:
    """Make `uri` the current store of MLflow's fluent functions, then restore the previous one."""
    previous = os.environ.get(tracking_uri.URI_VARIABLE)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]  # None means "not set"; the annotation omits it
        if previous is not None:
            os.environ[tracking_uri.URI_VARIABLE] = previous


def get_or_create_experiment(client: MlflowClient, uri: str, name: str) -> str:
    """Return the id of the experiment; a new one of a sqlite store keeps its files in `artifacts` beside the store."""
    database = tracking_uri.sqlite_path(uri)
    location = (database.parent.absolute() / tracking_uri.ARTIFACTS).as_uri() if database else None
    with translate_errors(uri):
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            return client.create_experiment(name, artifact_location=location)
    if tracking_uri.store_kind(uri) == "embedded" and experiment.artifact_location != location:
        raise ArtifactError(
            f"{tracking_uri.redact(uri)}: was created elsewhere and keeps its files at"
            f" {redaction.strip_userinfo(experiment.artifact_location)};"
            f" move the folder back, or remove {tracking_uri.EMBEDDED_DATABASE} to start a new registry here"
        )
    if experiment.lifecycle_stage != "active":
        raise ArtifactError(
            f"MLflow at {tracking_uri.redact(uri)}: experiment {name!r} is deleted; restore or rename it"
        )
    return str(experiment.experiment_id)


def _check_database(uri: str, *, create: bool) -> None:
    """Refuse a sqlite store that cannot work, and make one where it is missing with `create`."""
    path, name = tracking_uri.sqlite_path(uri), tracking_uri.redact(uri)
    if path is None or str(path) == _IN_MEMORY:
        return
    if not path.exists() and not create:
        raise ArtifactError(f"{name}: no such MLflow store; create it with `synthcxr register`")
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not os.access(existing, os.W_OK):
        raise ArtifactError(f"{name}: not writable; MLflow needs write access to its store")
    from synthcxr.registry import local_store  # seconds to import, and not needed for a server

    if create:
        local_store.make(path, name=name)
    local_store.require_usable(path, name=name)


def _unset_probe_variables() -> dict[str, str]:
    return {key: value for key, value in _PROBE.items() if key not in os.environ}


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    previous = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in previous.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value


def _describe(error: Exception, uri: str) -> str:
    """Say in one line what happened and what to do, by the types and status codes of the error and its causes."""
    if reason := _describe_sqlite_error(error):
        return reason
    if tracking_uri.sqlite_path(uri) is None:  # for a file the text of the error says more
        for cause in _causes(error):
            if advice := _advise(cause):
                return advice
    if isinstance(error, MlflowException) and error.error_code == _UNCLASSIFIED and _has_other_schema(uri):
        return _OTHER_SCHEMA
    return " ".join(str(error).split())[:300] or type(error).__name__


def _describe_sqlite_error(error: BaseException | None) -> str:
    """Say what SQLite found wrong with the file, whatever MLflow made of it; "" if it found nothing."""
    while error is not None:
        original = error.orig if isinstance(error, DBAPIError) else error
        if isinstance(original, sqlite3.Error) and (reason := sqlite_store.describe_error(original)):
            return reason
        error = error.__cause__ or error.__context__
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then the errors that it wraps, outermost first.

    MLflow raises a failed request as an unclassified MlflowException within the handler of requests' error; requests
    passes the error of urllib3 as its first argument, and that one has the `reason` for giving up.
    """
    yield error
    wrapped = [*error.args, getattr(error, "reason", None)]
    if not isinstance(error, MlflowException) or error.error_code == _UNCLASSIFIED:
        wrapped.append(error.__cause__ or error.__context__)
    for cause in wrapped:
        if isinstance(cause, BaseException):
            yield from _causes(cause)


def _advise(error: BaseException) -> str:
    """Return the advice for one error of a known type, else ""."""
    if isinstance(error, MlflowException) and error.error_code != _UNCLASSIFIED:
        return _BY_STATUS.get(ERROR_CODE_TO_HTTP_STATUS.get(error.error_code, 0), "")
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _BY_STATUS.get(error.response.status_code, "")
    if isinstance(error, urllib3.exceptions.ResponseError):  # it has no attribute for the status, only this template
        template = urllib3.exceptions.ResponseError.SPECIFIC_ERROR
        texts = {template.format(status_code=status): advice for status, advice in _BY_STATUS.items()}
        return texts.get(str(error), "")
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return _CANNOT_CONNECT
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return _TIMED_OUT
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return _SERVER_FAILED
    return _UNAVAILABLE if isinstance(error, OperationalError) else ""


def _has_other_schema(uri: str) -> bool:
    """Whether the tables of a database store belong to another MLflow version, which MLflow reports without a code."""
    from mlflow.store.db import db_types, utils  # seconds to import, and needed for this one error only

    if uri.partition(":")[0].partition("+")[0] not in db_types.DATABASE_ENGINES:
        return False
    engine = sqlalchemy.create_engine(uri)
    try:
        newest, present = utils._get_latest_schema_revision(), utils._get_schema_version(engine)  # type: ignore[no-untyped-call]
        return bool(present != newest)
    except SQLAlchemyError:
        return False
    finally:
        engine.dispose()
