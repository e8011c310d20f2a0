"""A training in a process of its own that tells each step, so that a test can kill it at any of them."""

import dataclasses
import multiprocessing
import multiprocessing.process
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from support.small_gan import CONFIG, Heard, films
from tqdm import tqdm

from synthcxr.config.schema import GanConfig
from synthcxr.data.images import UInt8
from synthcxr.training import gan
from synthcxr.training.checkpoint import State

LONG = dataclasses.replace(
    CONFIG,
    nimg={4: 256, 8: 1792},
    fade_nimg={8: 512},
    report_nimg=8,
    checkpoint_nimg=64,
    snapshot_nimg=256,
    n_val_distance=40,
)
"""256 steps, each with a row; a checkpoint every eighth, a generator measured every 256 images past the fade."""

SPREAD = 67.5
"""Between what the first of those generators reaches and the last."""


def distance(batches: Iterator[UInt8]) -> float:
    """Of the images' standard deviation from SPREAD, so that the nearest generator is one in between."""
    return abs(float(np.concatenate(list(batches)).std()) - SPREAD)


def train(config: GanConfig, folder: Path, heard: Heard) -> State:
    """The training, whoever runs it."""
    listeners = heard.listeners()
    return gan.train(config, films, fingerprint="f", folder=folder, listeners=listeners, val_distance=distance)


class Telling(Heard):
    """Sends each row's nimg to another process."""

    def __init__(self, told: Connection) -> None:
        super().__init__()
        self.told = told

    def row(self, row: gan.Row) -> None:
        self.told.send(int(row["nimg"]))


def _alone(config: GanConfig, folder: Path, told: Connection) -> None:
    tqdm.set_lock(threading.RLock())  # its own, between processes, would be reported as lost at each kill
    train(config, folder, Telling(told))


@contextmanager
def running(config: GanConfig, folder: Path) -> Iterator[tuple[multiprocessing.process.BaseProcess, Connection]]:
    """The process and where its rows arrive; killed when the block ends.

    It is forked from a server that has imported torch and done nothing with it: a start costs no import.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([gan.__name__, "torch._dynamo"])  # the second comes with the first Adam
    rows, told = context.Pipe(duplex=False)
    process = context.Process(target=_alone, args=(config, folder, told))
    process.start()
    told.close()
    try:
        yield process, rows
    finally:
        process.kill()
        process.join()
        rows.close()
