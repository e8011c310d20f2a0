"""Rows of a training reach MLflow while it runs, and no store that fails reaches the training."""

from __future__ import annotations

import contextlib
import csv
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from support.servers import Server, free_port
from support.stub_models import write_folder

from synthcxr.errors import ConfigError
from synthcxr.registry import active_run, publish, run_metrics, tracking_uri, training_log_sender
from synthcxr.registry.client import Registry
from synthcxr.registry.training_log import following
from synthcxr.storage import json_files

FILMS, TRAINING = "0123456789abcdef", "fedcba9876543210"
PARAMETERS = {"resolution": 16, "nimg": {4: 100}}
WAIT_S = 60


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are sent every tenth of a second, not every ten."""
    monkeypatch.setattr(training_log_sender, "FLUSH_S", 0.1)


def row(at: int) -> dict[str, str]:
    """A row of a GAN's table."""
    return {"nimg": str(100 * at), "loss_d": f"{1 / (at + 1):.6g}", "loss_g": f"{at / 3:.6g}", "penalty": "nan"}


def train(
    *steps: int, training: str = TRAINING, films: str = FILMS, said: list[str] | None = None, table: str = "train_gan"
) -> None:
    """A training of these rows, from begin to end."""
    with following(experiment="e", table=table, say=(said if said is not None else []).append) as follow:
        hear = follow(films, training, PARAMETERS)
        for at in steps:
            hear(row(at))


def client() -> MlflowClient:
    return Registry.open(tracking_uri.find() or "").client


def noted() -> Run:
    """The run that the note here names."""
    return client().get_run(json_files.read_json(active_run.NOTE)["run_id"])


def history(run: Run, name: str = "train_gan/loss_d") -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client().get_metric_history(run.info.run_id, name))


def expected(*steps: int) -> list[tuple[int, float]]:
    return [(100 * at, float(row(at)["loss_d"])) for at in steps]


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_rows_arrive_while_training_runs(any_registry: Registry) -> None:
    """A row is in the store before the training ends, with what it is a training of; then the run is ended."""
    with following(experiment="e", table="train_gan", say=pytest.fail) as follow:
        hear = follow(FILMS, TRAINING, PARAMETERS)
        hear(row(1))
        until(lambda: active_run.NOTE.is_file() and history(noted()) == expected(1))
        assert noted().info.status == "RUNNING"
        hear(row(2))
    run = noted()
    assert history(run) == expected(1, 2)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train_gan.resolution": "16", "train_gan.nimg.4": "100"}
    assert run.data.tags["synthcxr.training_data"] == FILMS
    assert run.data.tags["synthcxr.train_gan"] == TRAINING
    assert "train_gan/penalty" not in run.data.metrics


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (ConfigError, "FAILED")])
def test_a_training_that_ends_early_says_so(registry: Path, error: type[BaseException], status: str) -> None:
    """Interrupted or failed, the rows so far are sent, the run has the status, and the error goes its way."""
    with pytest.raises(error), following(experiment="e", table="train_gan", say=pytest.fail) as follow:
        follow(FILMS, TRAINING, PARAMETERS)(row(1))
        raise error("stopped")
    assert noted().info.status == status
    assert history(noted()) == expected(1)


def test_the_same_training_goes_on_in_its_run(any_registry: Registry) -> None:
    """Rows made again after a checkpoint are not doubled; the judge's rows join the same run."""
    train(1, 2, 3)
    first = noted().info.run_id
    train(2, 3, 4)
    train(1, training="1" * 16, table="train_judge")
    assert noted().info.run_id == first
    assert history(noted()) == expected(1, 2, 3, 4)
    assert history(noted(), "train_judge/loss_d") == expected(1)


@pytest.mark.parametrize("other", [{"training": "1" * 16}, {"films": "1" * 16}])
def test_another_training_begins_another_run(registry: Path, other: dict[str, str]) -> None:
    """Other parameters or other films never mix with the rows of a run that is there."""
    train(1, 2)
    first = noted()
    train(1, **other)
    assert noted().info.run_id != first.info.run_id
    assert history(first) == expected(1, 2)
    assert history(noted()) == expected(1)


def publish_with(tmp_path: Path, version: Callable[..., publish.Model], *steps: int, training: str = TRAINING) -> Run:
    """Register a generator with the rows of its table; the run of that."""
    table = tmp_path / "train_gan.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(row(0)))
        writer.writeheader()
        writer.writerows(row(at) for at in steps)
    held = run_metrics.Evidence(
        params={"train_gan.resolution": "16", "generate.n": "8"},
        points=(run_metrics.Point("distance.judge.value", 3.0), *run_metrics.curve(table)),
        tags={"synthcxr.training_data": FILMS},
        files={},
        training_data=FILMS,
        trainings={"train_gan": training, "train_judge": "1" * 16},
    )
    folder = write_folder(tmp_path / f"models-{len(list(tmp_path.iterdir()))}")
    made = publish.publish([version(folder, folder / "b")], held, experiment="e", why="")
    return client().get_run(made.run_id)


def test_registering_goes_on_with_the_run(
    any_registry: Registry, tmp_path: Path, version: Callable[..., publish.Model]
) -> None:
    """The run of the training gets what it lacks, nothing twice, and is ended; the next training begins another."""
    train(1, 2)
    first = noted().info.run_id
    run = publish_with(tmp_path, version, 1, 2, 3)
    assert run.info.run_id == first
    assert run.info.status == "FINISHED"
    assert history(run) == expected(1, 2, 3)
    params = {"train_gan.resolution": "16", "train_gan.nimg.4": "100", "generate.n": "8"}
    assert params.items() <= run.data.params.items()
    assert run.data.metrics["distance.judge.value"] == 3.0
    assert "mlflow.user" in run.data.tags
    assert not active_run.NOTE.exists()
    train(1)
    assert noted().info.run_id != first


def test_registering_another_training_leaves_the_run(
    registry: Path, tmp_path: Path, version: Callable[..., publish.Model]
) -> None:
    """A run whose rows are of another training is not taken for this one's."""
    train(1, 2)
    first = noted()
    run = publish_with(tmp_path, version, 1, training="2" * 16)
    assert run.info.run_id != first.info.run_id
    assert history(run) == expected(1)
    assert "distance.judge.value" not in client().get_run(first.info.run_id).data.metrics


def test_without_a_store_nothing_is_loaded_or_made(project: Path) -> None:
    """In a folder without registry or server: one line, no MLflow import, no file."""
    code = (
        "import sys\n"
        "from synthcxr.registry.training_log import following\n"
        "with following(experiment='e', table='train_gan', say=print) as follow:\n"
        "    follow('a', 'b', {})({'nimg': '1', 'loss_d': '2'})\n"
        "print('mlflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said = "MLflow has no store here yet: rows are in the table alone, and `synthcxr register` logs them"
    assert done.stdout.splitlines() == [said, "False"]
    assert not list(project.iterdir())


def test_a_server_that_is_down_costs_a_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers: rows are taken without a wait, the training ends within seconds, two lines say what happened."""
    monkeypatch.setenv(tracking_uri.VARIABLE, f"http://127.0.0.1:{free_port()}")
    said: list[str] = []
    with following(experiment="e", table="train_gan", say=said.append) as follow:
        hear = follow(FILMS, TRAINING, PARAMETERS)
        began = time.monotonic()
        for at in range(1000):
            hear(row(at))
        assert time.monotonic() - began < 1
        until(lambda: bool(said))
        time.sleep(0.5)
        ending = time.monotonic()
    assert time.monotonic() - ending < training_log_sender.END_S + 1
    assert len(said) == 2
    assert "nobody answers" in said[0]
    assert said[0].endswith("training goes on, and its rows wait")
    assert said[1].startswith("MLflow did not take all rows")


def test_a_store_that_fails_for_a_while_gets_every_row(registry: Path) -> None:
    """While the store refuses rows they wait; once it takes them again they arrive, each once, in order."""
    said: list[str] = []
    with following(experiment="e", table="train_gan", say=said.append) as follow:
        hear = follow(FILMS, TRAINING, PARAMETERS)
        hear(row(1))
        until(lambda: active_run.NOTE.is_file() and history(noted()) == expected(1))
        with contextlib.closing(sqlite3.connect(tracking_uri.EMBEDDED, isolation_level=None)) as store:
            store.execute("ALTER TABLE metrics RENAME TO away")
            hear(row(2))
            until(lambda: bool(said))
            hear(row(3))
            store.execute("ALTER TABLE away RENAME TO metrics")
        until(lambda: history(noted()) == expected(1, 2, 3))
        hear(row(4))
    assert history(noted()) == expected(1, 2, 3, 4)
    assert len(said) == 1
    assert said[0].endswith("training goes on, and its rows wait")


@pytest.mark.slow
def test_a_server_that_dies_and_comes_back_gets_every_row(
    server: Server, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server is killed in mid-run and started again: no row is lost or doubled, and training never waits."""
    monkeypatch.setenv(tracking_uri.VARIABLE, server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    said: list[str] = []
    with following(experiment="e", table="train_gan", say=said.append) as follow:
        hear = follow(FILMS, TRAINING, PARAMETERS)
        hear(row(1))
        until(lambda: active_run.NOTE.is_file() and history(noted()) == expected(1))
        server.kill()
        began = time.monotonic()
        for at in range(2, 200):
            hear(row(at))
        assert time.monotonic() - began < 1
        until(lambda: bool(said))
        server.start()
        until(lambda: history(noted()) == expected(*range(1, 200)))
    assert noted().info.status == "FINISHED"
    assert len(said) == 1
