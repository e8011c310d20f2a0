"""The table of a GAN's training, who follows it, and the fingerprint that names it."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthcxr.config.schema import GanConfig
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.stages import train_gan
from synthcxr.storage import json_files

if TYPE_CHECKING:
    from conftest import Trained


class Follower:
    """Keeps what it is told, and can end the training with an error at a row."""

    def __init__(self, stop_at: int = -1) -> None:
        self.told: list[tuple[str, str]] = []
        self.rows: list[dict[str, str]] = []
        self.stop_at = stop_at

    def follow(self, films: str, training: str, parameters: Mapping[str, Any]) -> Callable[[Mapping[str, str]], None]:
        assert parameters["resolution"] == 8
        self.told.append((films, training))
        return self.hear

    def hear(self, row: Mapping[str, str]) -> None:
        self.rows.append(dict(row))
        if int(row["nimg"]) == self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture
def config(trained: Trained) -> GanConfig:
    """The project's training at 8 px, of a second."""
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


def train(config: GanConfig, data: Path, root: Path, follower: Follower) -> list[dict[str, str]]:
    """The rows of the table after training."""
    train_gan.run(
        config,
        data=data,
        out=root / "gan",
        log=root / "train_gan.csv",
        snapshots=root / "snapshots",
        checkpoints=root / "checkpoints",
        follow=follower.follow,
    )
    with (root / "train_gan.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_follower_hears_the_table(trained: Trained, config: GanConfig, tmp_path: Path) -> None:
    """Told the films and the training once, then every row as the table holds it; config.json has the same name."""
    follower = Follower()
    rows = train(config, trained.data, tmp_path, follower)
    assert [row["nimg"] for row in rows] == [str(nimg) for nimg in range(32, 257, 32)]
    assert follower.rows == rows
    about = json_files.read_json(tmp_path / "gan" / "config.json")
    assert follower.told == [(open_film_dataset(trained.data).fingerprint, about["fingerprint"])]
    assert (tmp_path / "checkpoints" / about["fingerprint"]).is_dir()


def test_rows_are_made_again_from_the_checkpoint(trained: Trained, config: GanConfig, tmp_path: Path) -> None:
    """Stopped after a row beyond the last checkpoint, the table goes on from that checkpoint, each row once."""
    stopped, again = Follower(stop_at=160), Follower()
    with pytest.raises(KeyboardInterrupt):
        train(config, trained.data, tmp_path, stopped)
    rows = train(config, trained.data, tmp_path, again)
    assert [int(row["nimg"]) for row in stopped.rows] == [32, 64, 96, 128, 160]
    assert [int(row["nimg"]) for row in again.rows] == [160, 192, 224, 256]
    assert [int(row["nimg"]) for row in rows] == list(range(32, 257, 32))
    same = ("nimg", "resolution", "alpha", "lr", "loss_d", "loss_g")
    assert [stopped.rows[-1][name] for name in same] == [again.rows[0][name] for name in same]
    assert stopped.told == again.told
