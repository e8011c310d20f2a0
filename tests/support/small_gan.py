"""A GAN that trains in about a second: its parameters, its films, and callbacks that record its progress."""

import dataclasses
import os
import signal

import numpy as np
from support.paths import REPOSITORY

from synthcxr.config.schema import load_config
from synthcxr.training.log_callbacks import LogRow, ProgressCallbacks

CONFIG = dataclasses.replace(
    load_config(REPOSITORY / "params.yaml").train_gan,
    resolution=8,
    latent=8,
    channels={4: 8, 8: 8},
    nimg={4: 64, 8: 192},
    fade_nimg={8: 64},
    batch={4: 8, 8: 8},
    precision="fp32",
    penalty_interval=4,
    report_nimg=16,
    checkpoint_nimg=32,
    snapshot_nimg=128,
    device="cpu",
)


def read_films(resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 20 random films and the positions of the training films, the first 16."""
    pixels = np.random.default_rng(resolution).integers(0, 256, (20, resolution, resolution), dtype=np.uint8)
    return pixels, np.arange(16)


class ProgressRecorder:
    """Records the progress of a training, and can interrupt it with SIGINT at the row of a given nimg."""

    def __init__(self, stop_nimg: int = -1) -> None:
        self.rows: list[LogRow] = []
        self.grids: list[int] = []
        self.messages: list[str] = []
        self.resumed_from: list[int] = []
        self.stop_nimg = stop_nimg

    def record_row(self, row: LogRow) -> None:
        self.rows.append(row)
        if row["nimg"] == self.stop_nimg:
            os.kill(os.getpid(), signal.SIGINT)

    def callbacks(self) -> ProgressCallbacks:
        return ProgressCallbacks(
            on_resume=self.resumed_from.append,
            on_row=self.record_row,
            on_grid=lambda nimg, _images: self.grids.append(nimg),
            on_message=self.messages.append,
        )
