"""A full disk of the embedded registry: one line with the path, a failed run, and no half-written file."""

from __future__ import annotations

import dataclasses
import errno
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from support.small_disk import mount_small_disk
from support.stub_models import write_stub_models

from synthcxr.errors import ArtifactError, DataError
from synthcxr.registry import active_run, connection, publish, run_metrics, tracking_uri, training_log_sender
from synthcxr.registry.client import Registry
from synthcxr.registry.training_log import log_training
from synthcxr.storage import write_errors

CONTENTS = run_metrics.RunContents({}, (), {}, {}, "0123456789abcdef")
BuildModel = Callable[..., publish.ModelToPublish]


@pytest.fixture
def small_artifact_disk(registry: Path) -> Iterator[Path]:
    """A project whose artifacts have 128 KiB."""
    with mount_small_disk(registry / "registry/artifacts", "size=128k"):
        yield registry / "registry/artifacts"


def read_statuses() -> list[str]:
    client = Registry.open(tracking_uri.embedded_uri()).client
    return [run.info.status for run in client.search_runs([client.get_experiment_by_name("e").experiment_id])]


@pytest.mark.parametrize("place", ["file of the run", "file of the model"])
def test_publishing_to_a_full_disk_leaves_nothing_half_written(
    place: str, small_artifact_disk: Path, tmp_path: Path, build_model: BuildModel
) -> None:
    """The line names a file on that disk, the run is FAILED, and no part of the file or of the model is left."""
    model, big = build_model(write_stub_models(tmp_path / "models"), tmp_path / "folders"), tmp_path / "big.json"
    big.write_bytes(bytes(300_000))
    if place == "file of the model":
        (model.folder / "big.json").write_bytes(bytes(300_000))
    contents = dataclasses.replace(CONTENTS, files={} if place == "file of the model" else {big: "synthetic"})
    with (
        pytest.raises(DataError, match=rf"{small_artifact_disk}.*big\.json: ") as caught,
        write_errors.report_full_disk(Path("registered.json")),
    ):
        publish.publish([model], contents, experiment="e", why="")
    assert "\n" not in str(caught.value)
    assert read_statuses() == ["FAILED"]
    assert [path for path in small_artifact_disk.rglob("*") if path.is_file()] == []


def test_a_training_ends_its_run_although_its_rows_cannot_be_sent(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that takes no more rows still gets the end of the run; the rows stay in the table."""
    lines: list[str] = []

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(training_log_sender, "FLUSH_S", 0.1)
    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    with (
        pytest.raises(ZeroDivisionError),
        log_training(experiment="e", table="train_gan", say=lines.append) as start_logging,
    ):
        start_logging("0123456789abcdef", "fedcba9876543210", {})({"nimg": "100", "loss_d": "1"})
        raise ZeroDivisionError
    assert read_statuses() == ["FAILED"]
    assert lines[-1].startswith("MLflow did not receive all rows")


def test_a_full_disk_while_the_store_is_made_is_one_line(tmp_path: Path) -> None:
    """The line names the store, and nothing is left, so that the next call can make it."""
    with mount_small_disk(tmp_path / "registry", "size=64k"):
        with pytest.raises(ArtifactError, match=r"registry/mlflow\.db: .*the disk is full; free some space$"):
            connection.connect(f"sqlite:///{tmp_path}/registry/mlflow.db", create=True)
        assert list((tmp_path / "registry").iterdir()) == []


def test_a_training_makes_one_run_although_its_id_cannot_be_saved(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try to send rows uses the run of the first, and the run is ended."""
    tries: list[str] = []

    def refuse(run_id: str) -> None:
        tries.append(run_id)
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(training_log_sender, "FLUSH_S", 0.1)
    monkeypatch.setattr(active_run, "save_run_id", refuse)
    with log_training(experiment="e", table="train_gan", say=lambda line: None) as start_logging:
        start_logging("0123456789abcdef", "fedcba9876543210", {})({"nimg": "100", "loss_d": "1"})
        deadline_s = time.monotonic() + 60
        while len(tries) < 3 and time.monotonic() < deadline_s:
            time.sleep(0.05)
    assert len(tries) >= 3
    assert read_statuses() == ["FINISHED"]
