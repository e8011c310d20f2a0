"""A training in a process of its own that tells each step, so that a test can kill it at any of them."""

import dataclasses
import multiprocessing
import multiprocessing.process
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from small_gan import CONFIG, Heard, films
from tqdm import tqdm

from synthcxr.config import GanConfig
from synthcxr.training import gan

LONG = dataclasses.replace(
    CONFIG, nimg={4: 256, 8: 1792}, fade_nimg={8: 512}, report_nimg=8, checkpoint_nimg=64, snapshot_nimg=4096
)
"""256 steps, each with a row; a checkpoint every eighth."""


def train(config: GanConfig, folder: Path, told: Connection) -> None:
    """What the process does: train, and send each row's nimg."""
    tqdm.set_lock(threading.RLock())  # its own, between processes, would be reported as lost at each kill
    heard = Heard()
    listeners = dataclasses.replace(heard.listeners(), row=lambda row: told.send(int(row["nimg"])))
    gan.train(config, films, fingerprint="f", folder=folder, listeners=listeners)


@contextmanager
def running(config: GanConfig, folder: Path) -> Iterator[tuple[multiprocessing.process.BaseProcess, Connection]]:
    """The process and where its rows arrive; killed when the block ends.

    It is forked from a server that has imported torch and done nothing with it: a start costs no import.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([gan.__name__, "torch._dynamo"])  # the second comes with the first Adam
    rows, told = context.Pipe(duplex=False)
    process = context.Process(target=train, args=(config, folder, told))
    process.start()
    told.close()
    try:
        yield process, rows
    finally:
        process.kill()
        process.join()
        rows.close()
