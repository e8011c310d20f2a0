"""Runs `generate` in a process that counts its changes to the output folder and can be killed at any of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from synthcxr.config.schema import GenerateConfig
from synthcxr.stages import generate

SETTINGS = {"seed": 1, "without": (), "mix": None, "per_label": None, "with_judge": False, "max_draws": 4000}
SETTINGS |= {"view": None, "sex": None, "age": None, "batch": 16, "device": "cpu", "n": 40, "labels": ("Mass",)}
FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}


def run_generate_stage(model: Path, out: Path, settings: dict[str, Any], **flags: Any) -> None:
    """Run the stage with SETTINGS, some of them changed."""
    config = GenerateConfig(**SETTINGS | settings)
    generate.run(config, model=model, out=out, model_name="exported", **flags)


def run_and_kill(
    kill_at: int | None, model: Path, out: Path, settings: dict[str, Any], flags: dict[str, Any]
) -> int | None:
    """Run the stage in a process of its own, and SIGKILL it at its file event number `kill_at`.

    Return the number of file events below and next to `out`, or None if the process was killed. The process is
    forked from a server that has imported all modules and opened no file.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [generate.__name__, "synthcxr.networks.latent_gradient", "synthcxr.writers.formats.dicom"]
    )
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run_and_count, args=(kill_at, sender, model, out, settings, flags))
    process.start()
    sender.close()
    try:
        n_events = int(receiver.recv())
    except EOFError:
        n_events = None
    finally:
        process.join()
        receiver.close()
    assert process.exitcode == (-signal.SIGKILL if n_events is None else 0)
    return n_events


def _run_and_count(
    kill_at: int | None, sender: Connection, model: Path, out: Path, settings: dict[str, Any], flags: dict[str, Any]
) -> None:
    n_events = 0

    def count_event(event: str, args: tuple[Any, ...]) -> None:
        nonlocal n_events
        if event in FILE_EVENTS and args and str(args[0]).startswith(str(out)):
            n_events += 1
            if n_events == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count_event)
    run_generate_stage(model, out, settings, **flags)
    sender.send(n_events)
