"""Runs a `synthcxr` command in a process of its own that gets a signal at one of its changes to a folder."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from support.paths import REPOSITORY

from synthcxr.cli.exit_codes import CommandGroup
from synthcxr.config.schema import load_config
from synthcxr.data import packing_journal
from synthcxr.stages import prepare

FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}


@dataclasses.dataclass(frozen=True)
class Ended:
    """How the process ended: its exit code, negative for SIGKILL, and its number of changes, if it could tell."""

    exit_code: int | None
    n_events: int | None


def run_and_stop(
    run: Callable[[], Any], folder: Path, *, number: signal.Signals = signal.SIGKILL, stop_at: int | None = None
) -> Ended:
    """Call `run`, a function that pickles, in a new process that gets the signal at its file event `stop_at`.

    File events are the attempts to open, make, rename or remove something in `folder`. The process is forked from a
    server that has imported what `run` needs.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["synthcxr.stages.train_gan", "synthcxr.stages.export", "torch._dynamo"])
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_count_and_stop, args=(run, folder, number, stop_at, sender))
    process.start()
    sender.close()
    try:
        n_events = int(receiver.recv())
    except EOFError:
        n_events = None
    finally:
        process.join()
        receiver.close()
    return Ended(process.exitcode, n_events)


def run_prepare(out: Path) -> None:
    """Run `prepare` on small phantoms, and end as the command line does."""
    sources = ({"reader": "phantom", "n_films": 120, "resolution": 8, "seed": 1},)
    config = dataclasses.replace(load_config(REPOSITORY / "params.yaml").prepare, sources=sources, resolution=8)
    group = CommandGroup("synthcxr")

    @group.command("prepare")
    def command() -> None:
        prepare.run(config, out=out, report=lambda line: None)

    group.main(["prepare"], prog_name="synthcxr")


def run_prepare_files(films: Path, out: Path) -> None:
    """Run `prepare` on the films of a folder, and write its journal after each film."""
    sources = ({"reader": "folder", "path": str(films)},)
    config = dataclasses.replace(load_config(REPOSITORY / "params.yaml").prepare, sources=sources, resolution=8)
    packing_journal.INTERVAL_S = 0.0
    prepare.run(config, out=out, report=lambda line: None)


def _count_and_stop(
    run: Callable[[], Any], folder: Path, number: signal.Signals, stop_at: int | None, sender: Connection
) -> None:
    for each in (signal.SIGTERM, signal.SIGHUP):  # tests may run under nohup
        signal.signal(each, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    n_events, prefix = 0, str(folder)

    def count_event(event: str, args: tuple[Any, ...]) -> None:
        nonlocal n_events
        if event in FILE_EVENTS and args and str(args[0]).startswith(prefix):
            n_events += 1
            if n_events == stop_at:
                os.kill(os.getpid(), number)

    sys.addaudithook(count_event)
    try:
        run()
    finally:
        sender.send(n_events)
