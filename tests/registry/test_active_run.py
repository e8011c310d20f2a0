"""The run of a registration: whatever ends it, it does not stay RUNNING."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import sqlalchemy

from synthcxr.errors import ArtifactError
from synthcxr.registry import active_run, connection, tracking_uri
from synthcxr.storage import clean_up, stop_signals

ENDED = {"FINISHED", "KILLED"}


@pytest.fixture
def client(registry: Path) -> Iterator[mlflow.MlflowClient]:
    """A client of the embedded registry, which is also that of the fluent functions, and an undisturbed SIGTERM."""
    uri = tracking_uri.embedded_uri()
    previous = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with connection.translate_errors(uri), connection.use_tracking_uri(uri):
        yield connection.connect(uri)
    signal.signal(signal.SIGTERM, previous)


def list_statuses(client: mlflow.MlflowClient) -> list[str]:
    return [run.info.status for run in client.search_runs(["0"])]


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ArtifactError("x"), "FAILED"), (KeyboardInterrupt(), "KILLED")]
)
def test_the_status_says_how_the_run_ended(
    client: mlflow.MlflowClient, error: BaseException | None, status: str
) -> None:
    """A run ends FINISHED, FAILED after an error, and KILLED after an interruption."""
    try:
        with active_run.open_run(client, "0", None, tags={"a": "b"}):
            assert list_statuses(client) == ["RUNNING"]
            if error is not None:
                raise error
    except (ArtifactError, KeyboardInterrupt) as raised:
        assert raised is error
    assert list_statuses(client) == [status]
    assert mlflow.active_run() is None


def test_a_run_that_exists_is_continued(client: mlflow.MlflowClient) -> None:
    """The run of the trainings is opened again and ends again."""
    run = client.create_run("0")
    client.set_terminated(run.info.run_id, "KILLED")
    with active_run.open_run(client, "0", client.get_run(run.info.run_id), tags={"a": "b"}) as run_id:
        assert run_id == run.info.run_id
        assert list_statuses(client) == ["RUNNING"]
    finished = client.get_run(run.info.run_id)
    assert (finished.info.status, finished.data.tags["a"]) == ("FINISHED", "b")


def test_a_signal_at_any_statement_leaves_no_running_run(client: mlflow.MlflowClient) -> None:
    """SIGTERM at each SQL statement in turn, while the run starts, is used and ends: it never stays RUNNING."""
    n_statements, stop_at = 0, 0

    def count(*_: object) -> None:
        nonlocal n_statements
        n_statements += 1
        if n_statements == stop_at:
            signal.raise_signal(signal.SIGTERM)

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", count)
    try:
        while n_statements >= stop_at:
            n_statements, stop_at = 0, stop_at + 1
            with stop_signals.handled():
                try:
                    with active_run.open_run(client, "0", None, tags={}) as run_id:
                        client.log_metric(run_id, "a", 1.0)
                except stop_signals.StopSignal:
                    clean_up.run_remaining()
            assert mlflow.active_run() is None
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "before_cursor_execute", count)
    statuses = list_statuses(client)
    assert stop_at > 20
    assert set(statuses) == ENDED
    assert statuses.count("KILLED") > 10
