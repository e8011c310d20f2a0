"""A GAN small enough to train in a second: its parameters, its films, and someone who listens."""

import dataclasses
import os
import signal

import numpy as np
from support.paths import REPOSITORY

from synthcxr.config import schema as configs
from synthcxr.training import gan
from synthcxr.training.gan import Listeners

CONFIG = dataclasses.replace(
    configs.load(REPOSITORY / "params.yaml").train_gan,
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


def films(resolution: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(resolution).integers(0, 256, (20, resolution, resolution), dtype=np.uint8)
    return pixels, np.arange(16)


class Heard:
    """Listeners that keep what they hear, and can stop the training from outside at a given row."""

    def __init__(self, stop_at: int = -1) -> None:
        self.rows: list[gan.Row] = []
        self.grids: list[int] = []
        self.said: list[str] = []
        self.began: list[int] = []
        self.stop_at = stop_at

    def row(self, row: gan.Row) -> None:
        self.rows.append(row)
        if row["nimg"] == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    def listeners(self) -> Listeners:
        return Listeners(
            row=self.row,
            grid=lambda nimg, _images: self.grids.append(nimg),
            say=self.said.append,
            resumed=self.began.append,
        )
