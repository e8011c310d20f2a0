"""A team's server with PostgreSQL, proxied artifacts and a password; skipped with a reason without PostgreSQL."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.postgres_server import ADMIN, PASSWORD, TeamServer
from support.small_disk import mount_small_disk

from synthcxr.errors import ArtifactError
from synthcxr.registry import client, promotion, publish, resolve_model, tracking_uri
from synthcxr.registry.model_address import CHAMPION, GENERATOR_MODEL
from synthcxr.storage import digests

pytestmark = pytest.mark.slow
FILL_DATABASE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION refuse();
"""
FREE_DATABASE = "DROP FUNCTION refuse CASCADE"
SELECT_SCHEMA, OLD_SCHEMA = "SELECT version_num FROM alembic_version", "451aebb31d03"
PublishGenerator = Callable[..., publish.PublishedRun]
PublishEvaluated = Callable[..., str]


def test_uploaded_models_come_back_with_the_same_bytes(
    team_registry: client.Registry, tmp_path: Path, publish_generator: PublishGenerator
) -> None:
    """A champion resolves by alias, number and run to a verified folder in the cache with the uploaded bytes."""
    published = publish_generator(champion=True, seed=1)
    assert published.tracking_uri_kind == "server"
    resolved = resolve_model(None)
    assert resolved.path.is_relative_to(tmp_path / "cache")
    original = (tmp_path / "models1" / "generator.onnx").read_bytes()
    assert (resolved.path / "generator.onnx").read_bytes() == original
    assert resolve_model(f"models:/{GENERATOR_MODEL}/1").path == resolved.path
    assert resolve_model(f"runs:/{published.run_id}/generator").path == resolved.path
    assert PASSWORD not in str(resolved)


def test_promotion_reads_the_evidence_from_the_server(
    team_registry: client.Registry, publish_evaluated: PublishEvaluated
) -> None:
    """By the logged evidence a worse version is refused, a better one promoted and rolled back."""
    first, worse, better = publish_evaluated(4.0), publish_evaluated(6.0), publish_evaluated(2.0)
    assert promotion.promote(team_registry, first).decision == promotion.PROMOTED
    assert promotion.promote(team_registry, worse).decision == promotion.REFUSED
    assert promotion.promote(team_registry, better).champion == better
    assert team_registry.get_aliases("synthcxr-classifier")[CHAMPION] == better
    assert promotion.rollback(team_registry).champion == first
    assert team_registry.get_version(GENERATOR_MODEL, better).tags[promotion.DECISION_TAG] == promotion.ROLLED_BACK


def test_overwritten_promotion_is_recorded(team_registry: client.Registry, publish_evaluated: PublishEvaluated) -> None:
    """If someone else sets the alias right after us, reading it back shows that, and our record says so."""
    first, second = publish_evaluated(3.0), publish_evaluated(3.0)

    def overwrite(_seconds: float) -> None:
        team_registry.client.set_registered_model_alias(GENERATOR_MODEL, CHAMPION, second)

    outcome = promotion.promote(team_registry, first, wait=overwrite)
    assert (outcome.decision, outcome.champion) == (promotion.OVERWRITTEN, second)
    tags = team_registry.get_version(GENERATOR_MODEL, first).tags
    assert tags[promotion.DECISION_TAG] == promotion.OVERWRITTEN
    assert f"another promotion made version {second} champion meanwhile" in tags[client.DECISION_WHY_TAG]


def test_simultaneous_promotions_leave_one_champion(
    team_registry: client.Registry, publish_evaluated: PublishEvaluated
) -> None:
    """The champion has the outcome "promoted"; a promotion that was overwritten is reported as such."""
    outcomes: dict[str, promotion.PromotionOutcome] = {}

    def promote(number: str) -> None:
        outcomes[number] = promotion.promote(team_registry, number)

    numbers = [publish_evaluated(3.0), publish_evaluated(3.0)]
    threads = [threading.Thread(target=promote, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    champion = team_registry.get_aliases(GENERATOR_MODEL)[CHAMPION]
    promoted = {number for number, outcome in outcomes.items() if outcome.decision == promotion.PROMOTED}
    overwritten = {number for number, outcome in outcomes.items() if outcome.decision == promotion.OVERWRITTEN}
    assert champion in promoted
    assert promoted == {champion} or not overwritten  # one after the other, both may have been promoted


@pytest.mark.parametrize(("user", "password"), [(ADMIN, "wrong-secret-word"), ("", "")])
def test_wrong_password_is_a_one_line_error_without_it(
    team_registry: client.Registry, monkeypatch: pytest.MonkeyPatch, user: str, password: str
) -> None:
    """Rejected credentials are reported at once with the variables to set, and without the credentials."""
    for name, value in (("MLFLOW_TRACKING_USERNAME", user), ("MLFLOW_TRACKING_PASSWORD", password)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    start = time.monotonic()
    with pytest.raises(ArtifactError, match="rejected the credentials .401.; set MLFLOW_TRACKING_USERNAME") as caught:
        resolve_model(None)
    assert time.monotonic() - start < 10
    assert "\n" not in str(caught.value)
    assert "wrong-secret-word" not in str(caught.value)


def test_restart_loses_nothing_and_no_log_contains_the_password(
    team_server: TeamServer, team_registry: client.Registry, project: Path, publish_generator: PublishGenerator
) -> None:
    """A restarted server has all its versions; while it is down there is one line; no log contains the password."""
    publish_generator(champion=True, seed=1)
    team_server.kill()
    with pytest.raises(ArtifactError, match="cannot connect; start the server"):
        publish_generator(champion=True, seed=2)
    team_server.start()
    assert resolve_model(None).address == f"models:/{GENERATOR_MODEL}/1"
    publish_generator(champion=True, seed=3)
    assert resolve_model(None).address == f"models:/{GENERATOR_MODEL}/2"
    logs = [team_server.folder / "log", *(team_server.folder / "postgres").glob("*log*")]
    for path in [*logs, *(path for path in project.rglob("*") if path.is_file())]:
        assert PASSWORD.encode() not in path.read_bytes(), path
    mlflow_client = team_registry.client
    for run in mlflow_client.search_runs([mlflow_client.get_experiment_by_name("e").experiment_id]):
        assert PASSWORD not in digests.fingerprint(run.to_dictionary()) + str(run.to_dictionary())


def run_sql(team_server: TeamServer, statement: str) -> list[tuple[str, ...]]:
    """Run a statement in the server's database and return its rows."""
    import psycopg2

    address = team_server.database.uri.replace("+psycopg2", "")
    with contextlib.closing(psycopg2.connect(address)) as database, database, database.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def changed_database(team_server: TeamServer, change: str, undo: str) -> Iterator[None]:
    """Apply a statement to the server's database for the block."""
    run_sql(team_server, change)
    try:
        yield
    finally:
        run_sql(team_server, undo)


def test_full_database_is_a_one_line_error_and_loses_nothing(
    team_server: TeamServer,
    team_registry: client.Registry,
    monkeypatch: pytest.MonkeyPatch,
    publish_generator: PublishGenerator,
) -> None:
    """PostgreSQL's error for a full disk becomes one line and the champion stays; after that publishing works again."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    publish_generator(champion=True, seed=1)
    with changed_database(team_server, FILL_DATABASE, FREE_DATABASE):
        with pytest.raises(
            ArtifactError, match="unavailable .503., for example because its database is full"
        ) as caught:
            publish_generator(champion=True, seed=2)
        assert "\n" not in str(caught.value)
        assert resolve_model(None).address == f"models:/{GENERATOR_MODEL}/1"
    publish_generator(champion=True, seed=3)
    assert resolve_model(None).address == f"models:/{GENERATOR_MODEL}/2"


@pytest.fixture
def small_disk(team_server: TeamServer) -> Iterator[Path]:
    """A disk of 4 MiB for the server's artifacts."""
    files = team_server.folder / "files"
    with mount_small_disk(files, "size=4m"):
        yield files


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Fill the disk to its last byte for the block."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        filler.unlink()


def test_full_artifact_disk_is_a_one_line_error_and_loses_nothing(
    small_disk: Path,
    team_registry: client.Registry,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    publish_generator: PublishGenerator,
) -> None:
    """If the server cannot store a file, there is one line and a failed run, the champion stays, and later all works.

    The server then answers 500 or closes the connection.
    """
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    first = publish_generator(champion=True, seed=1)
    line = "the server failed or closed the connection, for example because the disk of its artifacts is full"
    with filled(small_disk):
        with pytest.raises(ArtifactError, match=line) as caught:
            publish_generator(champion=True, seed=2)
        assert "\n" not in str(caught.value)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # MLflow then raises an exception of requests
        with pytest.raises(ArtifactError, match=line):
            publish.add_to_run(first.run_id, tmp_path / "models2" / "generator.onnx", versions={})
        assert resolve_model(None).address == f"models:/{GENERATOR_MODEL}/1"
    experiment = team_registry.client.get_run(first.run_id).info.experiment_id
    assert team_registry.client.search_runs([experiment])[0].info.status == "FAILED"
    publish_generator(champion=True, seed=3)
    assert resolve_model(None).address == f"models:/{GENERATOR_MODEL}/2"


def test_older_schema_is_a_one_line_error_and_loses_nothing(
    team_server: TeamServer,
    team_registry: client.Registry,
    monkeypatch: pytest.MonkeyPatch,
    publish_generator: PublishGenerator,
) -> None:
    """A database of an older MLflow, used directly, is left unchanged, and the error names the command to run."""
    publish_generator(champion=True, seed=1)
    ((newest,),) = run_sql(team_server, SELECT_SCHEMA)
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, team_server.database.uri)
    update = "UPDATE alembic_version SET version_num = '{}'"
    with changed_database(team_server, update.format(OLD_SCHEMA), update.format(newest)):
        with pytest.raises(ArtifactError, match=r"another MLflow version.*`mlflow db upgrade`") as caught:
            resolve_model(None)
        assert "\n" not in str(caught.value)
        assert run_sql(team_server, SELECT_SCHEMA) == [(OLD_SCHEMA,)]
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, team_server.url)
    assert resolve_model(None).address == f"models:/{GENERATOR_MODEL}/1"
