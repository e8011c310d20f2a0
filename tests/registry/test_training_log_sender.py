"""Rows of a training reach MLflow while it runs, and a failing store never affects the training."""

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
from support.loopback_server import find_free_port
from support.mlflow_server import MlflowServer
from support.stub_models import write_stub_models

from synthcxr.errors import ConfigError
from synthcxr.registry import active_run, publish, run_metrics, tracking_uri, training_log_sender
from synthcxr.registry.client import Registry
from synthcxr.registry.training_log import log_training
from synthcxr.storage import json_files

FILMS, TRAINING = "0123456789abcdef", "fedcba9876543210"
PARAMETERS = {"resolution": 16, "nimg": {4: 100}}
WAIT_S = 60
BuildModel = Callable[..., publish.ModelToPublish]


@pytest.fixture(autouse=True)
def short_flush_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send rows every 0.1 s instead of every 10 s."""
    monkeypatch.setattr(training_log_sender, "FLUSH_S", 0.1)


def make_row(step: int) -> dict[str, str]:
    """Return a row of a GAN's training table."""
    return {
        "nimg": str(100 * step),
        "loss_d": f"{1 / (step + 1):.6g}",
        "loss_g": f"{step / 3:.6g}",
        "penalty": "nan",
    }


def train(*steps: int, training: str = TRAINING, films: str = FILMS, table: str = "train_gan") -> None:
    """Run a training that logs these rows."""
    with log_training(experiment="e", table=table, say=pytest.fail) as start_logging:
        log_row = start_logging(films, training, PARAMETERS)
        for step in steps:
            log_row(make_row(step))


def open_client() -> MlflowClient:
    return Registry.open(tracking_uri.find() or "").client


def get_active_run() -> Run:
    """Return the run whose id is in RUN_ID_FILE."""
    return open_client().get_run(json_files.read_json(active_run.RUN_ID_FILE)["run_id"])


def read_history(run: Run, name: str = "train_gan/loss_d") -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in open_client().get_metric_history(run.info.run_id, name))


def has_logged(*steps: int) -> bool:
    return active_run.RUN_ID_FILE.is_file() and read_history(get_active_run()) == expected(*steps)


def expected(*steps: int) -> list[tuple[int, float]]:
    return [(100 * step, float(make_row(step)["loss_d"])) for step in steps]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_rows_arrive_while_training_runs(any_registry: Registry) -> None:
    """A row is in the store before the training ends, with parameters and tags; then the run is finished."""
    with log_training(experiment="e", table="train_gan", say=pytest.fail) as start_logging:
        log_row = start_logging(FILMS, TRAINING, PARAMETERS)
        log_row(make_row(1))
        wait_until(lambda: has_logged(1))
        assert get_active_run().info.status == "RUNNING"
        log_row(make_row(2))
    run = get_active_run()
    assert read_history(run) == expected(1, 2)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train_gan.resolution": "16", "train_gan.nimg.4": "100"}
    assert run.data.tags["synthcxr.training_data"] == FILMS
    assert run.data.tags["synthcxr.train_gan"] == TRAINING
    assert "train_gan/penalty" not in run.data.metrics


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, "KILLED"), (ConfigError, "FAILED")])
def test_training_that_ends_early_sets_the_status(registry: Path, error: type[BaseException], status: str) -> None:
    """After an interrupt or an error the rows so far are sent, the run has the status, and the error propagates."""
    with (
        pytest.raises(error),
        log_training(experiment="e", table="train_gan", say=pytest.fail) as start_logging,
    ):
        start_logging(FILMS, TRAINING, PARAMETERS)(make_row(1))
        raise error("stopped")
    assert get_active_run().info.status == status
    assert read_history(get_active_run()) == expected(1)


def test_resumed_training_continues_its_run(any_registry: Registry) -> None:
    """Rows that repeat after a checkpoint are not doubled; the judge's rows join the same run."""
    train(1, 2, 3)
    run_id = get_active_run().info.run_id
    train(2, 3, 4)
    train(1, training="1" * 16, table="train_judge")
    assert get_active_run().info.run_id == run_id
    assert read_history(get_active_run()) == expected(1, 2, 3, 4)
    assert read_history(get_active_run(), "train_judge/loss_d") == expected(1)


@pytest.mark.parametrize("other", [{"training": "1" * 16}, {"films": "1" * 16}])
def test_another_training_starts_another_run(registry: Path, other: dict[str, str]) -> None:
    """Rows of other parameters or other films never mix with those of an existing run."""
    train(1, 2)
    first = get_active_run()
    train(1, **other)
    assert get_active_run().info.run_id != first.info.run_id
    assert read_history(first) == expected(1, 2)
    assert read_history(get_active_run()) == expected(1)


def publish_with_table(tmp_path: Path, build_model: BuildModel, *steps: int, training: str = TRAINING) -> Run:
    """Register a generator with the rows of its training table; return the run."""
    table = tmp_path / "train_gan.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(make_row(0)))
        writer.writeheader()
        writer.writerows(make_row(step) for step in steps)
    contents = run_metrics.RunContents(
        params={"train_gan.resolution": "16", "generate.n": "8"},
        points=(run_metrics.MetricPoint("distance.judge.value", 3.0), *run_metrics.read_curve(table)),
        tags={"synthcxr.training_data": FILMS},
        files={},
        training_data=FILMS,
        trainings={"train_gan": training, "train_judge": "1" * 16},
    )
    models = write_stub_models(tmp_path / f"models-{len(list(tmp_path.iterdir()))}")
    published = publish.publish([build_model(models, models / "folder")], contents, experiment="e", why="")
    return open_client().get_run(published.run_id)


def test_registering_completes_the_run(any_registry: Registry, tmp_path: Path, build_model: BuildModel) -> None:
    """Registering adds what the training run does not have yet and finishes it; the next training starts a new run."""
    train(1, 2)
    run_id = get_active_run().info.run_id
    run = publish_with_table(tmp_path, build_model, 1, 2, 3)
    assert run.info.run_id == run_id
    assert run.info.status == "FINISHED"
    assert read_history(run) == expected(1, 2, 3)
    params = {"train_gan.resolution": "16", "train_gan.nimg.4": "100", "generate.n": "8"}
    assert params.items() <= run.data.params.items()
    assert run.data.metrics["distance.judge.value"] == 3.0
    assert "mlflow.user" in run.data.tags
    assert not active_run.RUN_ID_FILE.exists()
    train(1)
    assert get_active_run().info.run_id != run_id


def test_registering_another_training_leaves_the_run(registry: Path, tmp_path: Path, build_model: BuildModel) -> None:
    """A run with the rows of another training is not completed."""
    train(1, 2)
    first = get_active_run()
    run = publish_with_table(tmp_path, build_model, 1, training="2" * 16)
    assert run.info.run_id != first.info.run_id
    assert read_history(run) == expected(1)
    assert "distance.judge.value" not in open_client().get_run(first.info.run_id).data.metrics


def test_without_a_store_mlflow_is_not_loaded(project: Path) -> None:
    """In a folder without registry or server there is one line, no import of MLflow and no file."""
    program = (
        "import sys\n"
        "from synthcxr.registry.training_log import log_training\n"
        "with log_training(experiment='e', table='train_gan', say=print) as start_logging:\n"
        "    start_logging('a', 'b', {})({'nimg': '1', 'loss_d': '2'})\n"
        "print('mlflow' in sys.modules)"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    line = "note: no MLflow store here yet; `synthcxr register` will create it and log this training"
    assert process.stdout.splitlines() == [line, "False"]
    assert not list(project.iterdir())


def test_dead_server_does_not_delay_training(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer, rows are accepted at once, the training ends within seconds, and two lines explain it."""
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, f"http://127.0.0.1:{find_free_port()}")
    lines: list[str] = []
    with log_training(experiment="e", table="train_gan", say=lines.append) as start_logging:
        log_row = start_logging(FILMS, TRAINING, PARAMETERS)
        start = time.monotonic()
        for step in range(1000):
            log_row(make_row(step))
        assert time.monotonic() - start < 1
        wait_until(lambda: bool(lines))
        time.sleep(0.5)
        end = time.monotonic()
    assert time.monotonic() - end < training_log_sender.END_S + 1
    assert len(lines) == 2
    assert "cannot connect" in lines[0]
    assert lines[0].endswith("training continues and its rows are sent later")
    assert lines[1].startswith("MLflow did not receive all rows")


def test_store_that_fails_for_a_while_gets_every_row(registry: Path) -> None:
    """Rows wait while the store refuses them; once it accepts them they arrive once each, in order."""
    lines: list[str] = []
    with log_training(experiment="e", table="train_gan", say=lines.append) as start_logging:
        log_row = start_logging(FILMS, TRAINING, PARAMETERS)
        log_row(make_row(1))
        wait_until(lambda: has_logged(1))
        with contextlib.closing(sqlite3.connect(tracking_uri.EMBEDDED_DATABASE, isolation_level=None)) as store:
            store.execute("ALTER TABLE metrics RENAME TO away")
            log_row(make_row(2))
            wait_until(lambda: bool(lines))
            log_row(make_row(3))
            store.execute("ALTER TABLE away RENAME TO metrics")
        wait_until(lambda: has_logged(1, 2, 3))
        log_row(make_row(4))
    assert read_history(get_active_run()) == expected(1, 2, 3, 4)
    assert len(lines) == 1
    assert lines[0].endswith("training continues and its rows are sent later")


@pytest.mark.slow
def test_restarted_server_gets_every_row(server: MlflowServer, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real server is killed during a training and started again: no row is lost or doubled, and no row waits."""
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    lines: list[str] = []
    with log_training(experiment="e", table="train_gan", say=lines.append) as start_logging:
        log_row = start_logging(FILMS, TRAINING, PARAMETERS)
        log_row(make_row(1))
        wait_until(lambda: has_logged(1))
        server.kill()
        start = time.monotonic()
        for step in range(2, 200):
            log_row(make_row(step))
        assert time.monotonic() - start < 1
        wait_until(lambda: bool(lines))
        server.start()
        wait_until(lambda: has_logged(*range(1, 200)))
    assert get_active_run().info.status == "FINISHED"
    assert len(lines) == 1
