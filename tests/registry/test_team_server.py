"""A team's server: PostgreSQL, proxied artifacts, a password. Skipped with the reason where PostgreSQL is not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.postgres_server import ADMIN, PASSWORD, TeamServer

from synthcxr.errors import ArtifactError
from synthcxr.registry import client, promotion, publish, resolve, tracking_uri
from synthcxr.registry.model_address import CHAMPION, GENERATOR
from synthcxr.storage import digests

pytestmark = pytest.mark.slow
FULL = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON runs FOR EACH ROW EXECUTE FUNCTION refuse();
"""
FREED = "DROP FUNCTION refuse CASCADE"
SCHEMA, OLDER = "SELECT version_num FROM alembic_version", "451aebb31d03"
PublishOne = Callable[..., publish.Published]
PublishJudged = Callable[..., str]


def test_models_go_there_and_come_back(let_in: client.Registry, tmp_path: Path, publish_one: PublishOne) -> None:
    """A champion is found by alias, number and run, verified into the cache, with the bytes that were sent."""
    published = publish_one(champion=True, seed=1)
    assert published.tracking_uri_kind == "server"
    found = resolve(None)
    assert found.path.is_relative_to(tmp_path / "cache")
    wanted = (tmp_path / "models1" / "generator.onnx").read_bytes()
    assert (found.path / "generator.onnx").read_bytes() == wanted
    assert resolve(f"models:/{GENERATOR}/1").path == resolve(f"runs:/{published.run_id}/generator").path == found.path
    assert PASSWORD not in str(found)


def test_promotion_is_decided_and_rolled_back_there(let_in: client.Registry, publish_judged: PublishJudged) -> None:
    """The evidence is read from the server's artifacts: the worse is refused, the better promoted and rolled back."""
    first, worse, better = publish_judged(4.0), publish_judged(6.0), publish_judged(2.0)
    assert promotion.promote(let_in, first).decision == promotion.PROMOTED
    assert promotion.promote(let_in, worse).decision == promotion.REFUSED
    assert promotion.promote(let_in, better).champion == better
    assert let_in.aliases("synthcxr-classifier")[CHAMPION] == better
    assert promotion.rollback(let_in).champion == first
    assert let_in.version(GENERATOR, better).tags[promotion.DECISION] == promotion.ROLLED_BACK


def test_an_overwritten_promotion_is_told_so(let_in: client.Registry, publish_judged: PublishJudged) -> None:
    """Somebody who sets the alias right after us is found when it is read back, and our record says so."""
    first, second = publish_judged(3.0), publish_judged(3.0)

    def somebody(_seconds: float) -> None:
        let_in.client.set_registered_model_alias(GENERATOR, CHAMPION, second)

    outcome = promotion.promote(let_in, first, wait=somebody)
    assert (outcome.decision, outcome.champion) == (promotion.OVERWRITTEN, second)
    told = let_in.version(GENERATOR, first).tags
    assert told[promotion.DECISION] == promotion.OVERWRITTEN
    assert f"another promotion made version {second} champion meanwhile" in told[client.DECISION_WHY_TAG]


def test_two_promotions_at_once_leave_one_champion(let_in: client.Registry, publish_judged: PublishJudged) -> None:
    """Whoever is told that it is champion is, when both are done, and the other knows that it is not."""
    numbers = [publish_judged(3.0), publish_judged(3.0)]
    outcomes: dict[str, promotion.Outcome] = {}
    threads = [
        threading.Thread(target=lambda number=number: outcomes.update({number: promotion.promote(let_in, number)}))
        for number in numbers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = let_in.aliases(GENERATOR)[CHAMPION]
    told = {number for number, outcome in outcomes.items() if outcome.decision == promotion.PROMOTED}
    lost = {number for number, outcome in outcomes.items() if outcome.decision == promotion.OVERWRITTEN}
    assert now in told
    assert told == {now} or not lost  # one after the other, each was champion in its turn


@pytest.mark.parametrize(("user", "password"), [(ADMIN, "wrong-secret-word"), ("", "")])
def test_a_wrong_password_is_one_line_without_it(
    let_in: client.Registry, monkeypatch: pytest.MonkeyPatch, user: str, password: str
) -> None:
    """Who is not let in learns what to set, at once, and no credential stands in the line."""
    for name, value in (("MLFLOW_TRACKING_USERNAME", user), ("MLFLOW_TRACKING_PASSWORD", password)):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    began = time.monotonic()
    with pytest.raises(ArtifactError, match="did not let us in .401.; set MLFLOW_TRACKING_USERNAME") as caught:
        resolve(None)
    assert time.monotonic() - began < 10
    assert "\n" not in str(caught.value)
    assert "wrong-secret-word" not in str(caught.value)


def test_a_restart_loses_nothing_and_no_log_holds_the_password(
    team: TeamServer, let_in: client.Registry, project: Path, publish_one: PublishOne
) -> None:
    """Killed and started again, the server has what it had; while it is away there is one line; logs hold no secret."""
    publish_one(champion=True, seed=1)
    team.kill()
    with pytest.raises(ArtifactError, match="nobody answers; start the server"):
        publish_one(champion=True, seed=2)
    team.start()
    assert resolve(None).name == f"models:/{GENERATOR}/1"
    publish_one(champion=True, seed=3)
    assert resolve(None).name == f"models:/{GENERATOR}/2"
    logs = [team.folder / "log", *(team.folder / "postgres").glob("*log*")]
    for path in [*logs, *(path for path in project.rglob("*") if path.is_file())]:
        assert PASSWORD.encode() not in path.read_bytes(), path
    for run in let_in.client.search_runs([let_in.client.get_experiment_by_name("e").experiment_id]):
        assert PASSWORD not in digests.fingerprint(run.to_dictionary()) + str(run.to_dictionary())


def sql(team: TeamServer, statement: str) -> list[tuple[str, ...]]:
    """What the server's database answers."""
    import psycopg2

    address = team.database.uri.replace("+psycopg2", "")
    with contextlib.closing(psycopg2.connect(address)) as database, database, database.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def changed(team: TeamServer, change: str, back: str) -> Iterator[None]:
    """The server's database with a statement applied, undone at the end."""
    sql(team, change)
    try:
        yield
    finally:
        sql(team, back)


def test_a_full_disk_is_one_line_and_loses_nothing(
    team: TeamServer, let_in: client.Registry, monkeypatch: pytest.MonkeyPatch, publish_one: PublishOne
) -> None:
    """PostgreSQL refuses a row with its error for a full disk: one line, the champion stays; once freed all goes on."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    publish_one(champion=True, seed=1)
    with changed(team, FULL, FREED):
        with pytest.raises(ArtifactError, match="cannot do it now .503., as when its database is full") as caught:
            publish_one(champion=True, seed=2)
        assert "\n" not in str(caught.value)
        assert resolve(None).name == f"models:/{GENERATOR}/1"
    publish_one(champion=True, seed=3)
    assert resolve(None).name == f"models:/{GENERATOR}/2"


@pytest.fixture
def small_disk(team: TeamServer) -> Iterator[Path]:
    """The server's artifacts lie on a disk of 4 MiB of their own."""
    files = team.folder / "files"
    files.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(files)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no disk can be mounted here: that needs root")
    try:
        yield files
    finally:
        subprocess.run(["umount", str(files)], check=True)


@contextlib.contextmanager
def full(disk: Path) -> Iterator[None]:
    """The disk with no byte left, until the end."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_artifact_store_is_one_line_and_loses_nothing(
    small_disk: Path,
    let_in: client.Registry,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    publish_one: PublishOne,
) -> None:
    """The server cannot keep a file and says 500 or hangs up: one line, a failed run, the champion stays; then on."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    first = publish_one(champion=True, seed=1)
    with full(small_disk):
        with pytest.raises(
            ArtifactError, match="the server broke off, as when the disk for its files is full"
        ) as caught:
            publish_one(champion=True, seed=2)
        assert "\n" not in str(caught.value)
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # what MLflow raises then is not its own exception
        with pytest.raises(ArtifactError, match="the server broke off"):
            publish.attach(first.run_id, tmp_path / "models2" / "generator.onnx", versions={})
        assert resolve(None).name == f"models:/{GENERATOR}/1"
    experiment = let_in.client.get_run(first.run_id).info.experiment_id
    assert let_in.client.search_runs([experiment])[0].info.status == "FAILED"
    publish_one(champion=True, seed=3)
    assert resolve(None).name == f"models:/{GENERATOR}/2"


def test_an_older_schema_is_one_line_and_loses_nothing(
    team: TeamServer, let_in: client.Registry, monkeypatch: pytest.MonkeyPatch, publish_one: PublishOne
) -> None:
    """A database that an older MLflow made, spoken to directly, is left as it is, and the line says what to run."""
    publish_one(champion=True, seed=1)
    ((newest,),) = sql(team, SCHEMA)
    monkeypatch.setenv(tracking_uri.VARIABLE, team.database.uri)
    update = "UPDATE alembic_version SET version_num = '{}'"
    with changed(team, update.format(OLDER), update.format(newest)):
        with pytest.raises(ArtifactError, match=r"made by another MLflow; run `mlflow db upgrade` on it") as caught:
            resolve(None)
        assert "\n" not in str(caught.value)
        assert sql(team, SCHEMA) == [(OLDER,)]
    monkeypatch.setenv(tracking_uri.VARIABLE, team.url)
    assert resolve(None).name == f"models:/{GENERATOR}/1"
