"""A training in a separate process that reports each step, so that a test can kill it at any step."""

import dataclasses
import multiprocessing
import multiprocessing.process
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from support.small_gan import CONFIG, ProgressRecorder, read_films

from synthcxr.config.schema import GanConfig
from synthcxr.data.images import UInt8
from synthcxr.training import gan
from synthcxr.training.gan_state import GanState
from synthcxr.training.log_callbacks import LogRow

LONG_CONFIG = dataclasses.replace(
    CONFIG,
    nimg={4: 256, 8: 1792},
    fade_nimg={8: 512},
    report_nimg=8,
    checkpoint_nimg=64,
    snapshot_nimg=256,
    n_val_distance=40,
)
"""256 steps with a row each, a checkpoint every 8 steps, and a measured generator every 256 images after the fade."""

TARGET_STD = 67.5
"""Standard deviation of the grey levels, between those of the first and the last measured generator."""


def std_distance(batches: Iterator[UInt8]) -> float:
    """The distance of the standard deviation of the images from TARGET_STD; an intermediate generator is the best."""
    return abs(float(np.concatenate(list(batches)).std()) - TARGET_STD)


def train(config: GanConfig, folder: Path, recorder: ProgressRecorder) -> GanState:
    """Run the training in this process."""
    return gan.train_gan(
        config,
        read_films,
        fingerprint="f",
        folder=folder,
        callbacks=recorder.callbacks(),
        val_distance=std_distance,
    )


class RowSender(ProgressRecorder):
    """Sends the nimg of each row to another process."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection = connection

    def record_row(self, row: LogRow) -> None:
        self.connection.send(int(row["nimg"]))


def _train_and_send(config: GanConfig, folder: Path, connection: Connection) -> None:
    train(config, folder, RowSender(connection))


@contextmanager
def training_process(
    config: GanConfig, folder: Path
) -> Iterator[tuple[multiprocessing.process.BaseProcess, Connection]]:
    """Yield the training process and the connection on which its rows arrive; kill the process at the end.

    The process is forked from a server that has imported torch but not used it, so a start does not wait for imports.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([gan.__name__, "torch._dynamo"])  # torch._dynamo is imported by the first Adam
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_train_and_send, args=(config, folder, sender))
    process.start()
    sender.close()
    try:
        yield process, receiver
    finally:
        process.kill()
        process.join()
        receiver.close()
