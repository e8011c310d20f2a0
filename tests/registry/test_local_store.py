"""The embedded MLflow store: never half made, replaced only while it is empty, and left alone in every other case."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from mlflow import MlflowClient

from synthcxr.errors import ArtifactError
from synthcxr.registry import connection, local_store, resolve_model, tracking_uri
from synthcxr.storage import sqlite_store, stop_signals
from synthcxr.storage.sqlite_store import UnfinishedStoreError

STATEMENTS = (1, 5, 20, 45, 46, 60, 61, 80, 150, 300, 600, 1000, 1500)
"""The SQL statements of MLflow, of about 1,690, at which the states of an interrupted creation are taken."""
OLDER_SCHEMA = "97727af70f4d"


def execute(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def half_made_stores(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files that MLflow leaves when it is killed at each of STATEMENTS while it makes a store."""
    folder, stores, n_statements = tmp_path_factory.mktemp("making"), [], 0

    def copy(*_: object) -> None:
        nonlocal n_statements
        n_statements += 1
        partials = sorted(folder.glob("*.partial*"))  # the database and its journal
        if n_statements in STATEMENTS and partials:
            stores.append(tmp_path_factory.mktemp("half-made") / "mlflow.db")
            for file in partials:
                shutil.copyfile(file, f"{stores[-1]}{file.name.partition('.partial')[2]}")

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", copy)
    try:
        connection.connect(f"sqlite:///{folder}/mlflow.db", create=True)
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "before_cursor_execute", copy)
    return stores


@pytest.mark.slow
def test_every_half_made_store_is_recognised(half_made_stores: list[Path]) -> None:
    """Wherever MLflow was killed while it made the store, the store counts as unfinished and stays."""
    assert len(half_made_stores) == len(STATEMENTS)
    for path in half_made_stores:
        with pytest.raises(UnfinishedStoreError, match="its creation was interrupted, and nothing is in it"):
            local_store.require_usable(path, name="x")
        assert path.exists()


@pytest.mark.slow
def test_a_half_made_store_is_replaced(
    half_made_stores: list[Path], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`register` makes the store again, says so, and keeps the old file; the starter is used until then."""
    (project / "registry").mkdir()
    shutil.copytree(half_made_stores[-1].parent, project / "registry", dirs_exist_ok=True)
    assert resolve_model(None).address == "starter"
    old = (project / tracking_uri.EMBEDDED_DATABASE).read_bytes()
    client = connection.connect(tracking_uri.embedded_uri(), create=True)
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    assert (project / "registry" / "mlflow.db.unfinished").read_bytes() == old
    assert capsys.readouterr().err.endswith("replaced, the old file is mlflow.db.unfinished\n")


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    ("statements", "message"),
    [
        ([f"UPDATE alembic_version SET version_num = '{OLDER_SCHEMA}'"], "older MLflow version .*mlflow db upgrade"),
        (["UPDATE alembic_version SET version_num = 'f00000000000'"], "newer MLflow version .*pip install"),
        (["DELETE FROM experiments", "UPDATE alembic_version SET version_num = 'f0'"], "newer MLflow version"),
        (
            ["DELETE FROM alembic_version", "INSERT INTO experiments (experiment_id, name) VALUES (7, 'mine')"],
            "older MLflow version",
        ),
        (["DROP TABLE alembic_version", "INSERT INTO registered_models (name, workspace) VALUES ('m', 'w')"], "older"),
        (["CREATE TABLE invoices (n)", "DROP TABLE experiments"], "database of another program"),
    ],
)
def test_a_store_that_holds_something_is_never_changed(
    tmp_path: Path, empty_store: Path, statements: list[str], message: str, create: bool
) -> None:
    """A store of another version, and another database, are one line; not a byte of the folder changes."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(empty_store, path)
    execute(path, "PRAGMA foreign_keys = OFF", *statements)
    before = read_files(tmp_path)
    with pytest.raises(ArtifactError, match=message) as error:
        connection.connect(f"sqlite:///{path}", create=create)
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, UnfinishedStoreError)
    assert read_files(tmp_path) == before


@pytest.mark.parametrize(
    "statements", [["DELETE FROM alembic_version"], ["DELETE FROM experiments", "DROP TABLE alembic_version"]]
)
def test_a_store_without_version_and_content_is_unfinished(
    tmp_path: Path, empty_store: Path, statements: list[str]
) -> None:
    """Tables without a version, and at most the default experiment in them, are an interrupted creation."""
    shutil.copyfile(empty_store, tmp_path / "mlflow.db")
    execute(tmp_path / "mlflow.db", "PRAGMA foreign_keys = OFF", *statements)
    with pytest.raises(UnfinishedStoreError):
        local_store.require_usable(tmp_path / "mlflow.db", name="x")


def test_an_empty_file_is_an_unfinished_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path
) -> None:
    """The first thing that SQLite leaves is an empty file; it is replaced."""
    monkeypatch.setattr(local_store, "_build", lambda path: shutil.copyfile(empty_store, path))
    (tmp_path / "mlflow.db").touch()
    client = connection.connect(f"sqlite:///{tmp_path}/mlflow.db", create=True)
    assert len(client.search_experiments()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"mlflow.db", "mlflow.db.unfinished"}


def test_a_signal_while_the_store_is_made_leaves_nothing(tmp_path: Path) -> None:
    """SIGTERM at a statement of MLflow: no store, no partial file, no lock; the next call can make it."""
    path, previous = tmp_path / "registry" / "mlflow.db", signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def stop(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", stop)
    try:
        with pytest.raises(stop_signals.StopSignal), stop_signals.handled():
            connection.connect(f"sqlite:///{path}", create=True)
    finally:
        sqlalchemy.event.remove(sqlalchemy.engine.Engine, "before_cursor_execute", stop)
        signal.signal(signal.SIGTERM, previous)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_a_locked_store_is_one_line(
    registry: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Another process locks the whole file: one line after the time limit, and no traceback of MLflow."""
    monkeypatch.setattr(sqlite_store, "BUSY_TIMEOUT_S", 0.1)
    with contextlib.closing(sqlite3.connect(tracking_uri.EMBEDDED_DATABASE, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ArtifactError, match=r"registry/mlflow\.db: another process has locked it; wait"):
            connection.connect(tracking_uri.embedded_uri())
    assert capfd.readouterr().err == ""
    assert connection.connect(tracking_uri.embedded_uri()).search_experiments()


def test_damage_that_mlflow_meets_later_is_one_line(registry: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Pages that are overwritten while the store is in use: one line with what to do."""
    client, uri = connection.connect(tracking_uri.embedded_uri()), tracking_uri.embedded_uri()
    data = bytearray(tracking_uri.EMBEDDED_DATABASE.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    data[24:28] = b"\xff" * 4  # the change counter: SQLite then reads the pages again
    tracking_uri.EMBEDDED_DATABASE.write_bytes(data)
    with pytest.raises(ArtifactError, match="is damaged or cut short"), connection.translate_errors(uri):
        MlflowClient.search_experiments(client)
    assert "Traceback" not in capfd.readouterr().err
