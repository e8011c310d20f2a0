"""The stage that trains the GAN: its log, the receiver of the rows, and the fingerprint of a training."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthcxr.config.schema import GanConfig
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.stages import train_gan
from synthcxr.storage import json_files
from synthcxr.training.log_callbacks import RowCallback

if TYPE_CHECKING:
    from conftest import Trained


class LogReceiver:
    """Records what it receives, and can interrupt the training at the row of a given nimg."""

    def __init__(self, stop_nimg: int = -1) -> None:
        self.starts: list[tuple[str, str]] = []
        self.rows: list[dict[str, str]] = []
        self.stop_nimg = stop_nimg

    def start_logging(self, films: str, training: str, parameters: Mapping[str, Any]) -> RowCallback:
        assert parameters["resolution"] == 8
        self.starts.append((films, training))
        return self.receive_row

    def receive_row(self, row: Mapping[str, str]) -> None:
        self.rows.append(dict(row))
        if int(row["nimg"]) == self.stop_nimg:
            raise KeyboardInterrupt


@pytest.fixture
def config(trained: Trained) -> GanConfig:
    """The training of the small project, limited to 8 px and about a second."""
    return dataclasses.replace(
        trained.config.train_gan,
        resolution=8,
        nimg={4: 64, 8: 192},
        fade_nimg={8: 64},
        batch={4: 16, 8: 16},
        report_nimg=32,
        checkpoint_nimg=64,
        snapshot_nimg=256,
    )


def train(config: GanConfig, films: Path, root: Path, receiver: LogReceiver) -> list[dict[str, str]]:
    """Train and return the rows of the CSV file."""
    train_gan.run(
        config,
        films=films,
        out=root / "gan",
        log=root / "train_gan.csv",
        snapshots=root / "snapshots",
        checkpoints=root / "checkpoints",
        start_logging=receiver.start_logging,
    )
    with (root / "train_gan.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_start_logging_receives_the_rows_of_the_log(trained: Trained, config: GanConfig, tmp_path: Path) -> None:
    """It receives the fingerprints once, then every row as in the CSV file; config.json has the same fingerprint."""
    receiver = LogReceiver()
    rows = train(config, trained.data, tmp_path, receiver)
    assert [row["nimg"] for row in rows] == [str(nimg) for nimg in range(32, 257, 32)]
    assert receiver.rows == rows
    description = json_files.read_json(tmp_path / "gan" / "config.json")
    assert receiver.starts == [(open_film_dataset(trained.data).fingerprint, description["fingerprint"])]
    assert (tmp_path / "checkpoints" / description["fingerprint"]).is_dir()


def test_a_resumed_run_repeats_the_rows_after_the_checkpoint(
    trained: Trained, config: GanConfig, tmp_path: Path
) -> None:
    """After a stop beyond the last checkpoint, the CSV file continues from that checkpoint with each row once."""
    stopped, resumed = LogReceiver(stop_nimg=160), LogReceiver()
    with pytest.raises(KeyboardInterrupt):
        train(config, trained.data, tmp_path, stopped)
    rows = train(config, trained.data, tmp_path, resumed)
    assert [int(row["nimg"]) for row in stopped.rows] == [32, 64, 96, 128, 160]
    assert [int(row["nimg"]) for row in resumed.rows] == [160, 192, 224, 256]
    assert [int(row["nimg"]) for row in rows] == list(range(32, 257, 32))
    columns = ("nimg", "resolution", "alpha", "lr", "loss_d", "loss_g")
    assert [stopped.rows[-1][column] for column in columns] == [resumed.rows[0][column] for column in columns]
    assert stopped.starts == resumed.starts
