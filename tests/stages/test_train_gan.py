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


def test_messages_tell_how_good_the_images_are(
    trained: Trained,
    config: GanConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each grid is named with its file, and each distance to the val films with the smallest one so far."""
    distances = iter([3.0, 4.0])
    monkeypatch.setattr(train_gan, "_build_val_distance", lambda *_: lambda images: next(distances))
    config = dataclasses.replace(config, snapshot_nimg=64, n_val_distance=4)
    train(config, trained.data, tmp_path, LogReceiver())
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train-gan: ")]
    grids = {nimg: tmp_path / "snapshots" / f"grid_{nimg:09d}.png" for nimg in (64, 128, 192, 256)}
    assert all(path.is_file() for path in grids.values())
    assert lines == [
        "train-gan: the training shows 256 images, 64 at 4 px, 192 at 8 px; larger images take longer",
        f"train-gan: sample images after showing 64 images: {grids[64]}",
        f"train-gan: sample images after showing 128 images: {grids[128]}",
        "train-gan: distance to the val films after 192 images: 3, the smallest so far",
        f"train-gan: sample images after showing 192 images: {grids[192]}",
        "train-gan: distance to the val films after 256 images: 4, the smallest was that after 192",
        f"train-gan: sample images after showing 256 images: {grids[256]}",
    ]


def test_summary_is_plain() -> None:
    """The lines of a training say how many films and images, how long, and which generator was kept."""
    metrics = {"n_films": 1, "n_films_unlabelled": 0, "nimg": 44_000, "wall_s": 90.0, "images_per_s": 488.9}
    assert list(train_gan.format_lines(metrics | {"chosen_nimg": 40_000})) == [
        "trained on 1 film, 0 of them without labels",
        "44,000 images shown in 1 min 30 s (489 images/s)",
        "kept the generator after 40,000 images",
    ]
