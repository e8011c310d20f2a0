"""A GAN that trains in about a second: its parameters, its films, and callbacks that record its progress."""

import dataclasses
import os
import signal

import numpy as np
from support.paths import REPOSITORY

from synthcxr.config.gan_sections import ConditionFadeConfig
from synthcxr.config.schema import load_config
from synthcxr.data.condition import FilmAttributes, encode_conditions
from synthcxr.data.condition_table import ConditionTable
from synthcxr.training.film_order import ShownFilms
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


def read_films(resolution: int) -> ShownFilms:
    """Return 20 random films, of which the first 16 are training films."""
    pixels = np.random.default_rng(resolution).integers(0, 256, (20, resolution, resolution), dtype=np.uint8)
    return ShownFilms(pixels, np.arange(16))


CONDITIONAL = dataclasses.replace(
    CONFIG, condition=("findings", "view"), condition_fade=ConditionFadeConfig(start_nimg=64, end_nimg=160)
)
"""The condition fades in over steps 8 to 20 of 32."""


def build_attributes() -> FilmAttributes:
    """Films 0 to 11 show one finding each, film 12 shows none, and films 13 to 15 are unlabelled; every other is AP."""
    findings = np.zeros((16, 14), np.float32)
    findings[range(12), range(12)] = 1
    findings[13:] = np.nan
    return FilmAttributes(findings, np.array(["PA", "AP"] * 8), np.array(["F"] * 16), np.full(16, 50, np.float32))


TABLE = ConditionTable.from_films(build_attributes(), CONDITIONAL.condition)


def read_conditional_films(resolution: int) -> ShownFilms:
    """Return the films of `read_films` with conditions."""
    conditions = encode_conditions(build_attributes(), CONDITIONAL.condition)
    return dataclasses.replace(read_films(resolution), conditions=conditions)


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
