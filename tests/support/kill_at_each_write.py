"""A `generate` in a process of its own that counts its touches of the disk and may die at any of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from synthcxr.config.schema import GenerateConfig
from synthcxr.stages import generate

PLAIN = {"seed": 1, "without": (), "mix": None, "per_label": None, "with_judge": False, "max_draws": 4000}
PLAIN |= {"batch": 16, "device": "cpu", "n": 40, "labels": ("Mass",)}
TOUCHES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}


def make(model: Path, out: Path, asked: dict, **flags: object) -> None:
    """Run the stage."""
    config = GenerateConfig(**PLAIN | asked)
    generate.run(config, model=model, out=out, model_name="exported", **flags)  # type: ignore[arg-type]


def _touching(at: int | None, told: Connection, model: Path, out: Path, asked: dict, flags: dict) -> None:
    touched = 0

    def count(event: str, args: tuple) -> None:
        nonlocal touched
        if event in TOUCHES and args and str(args[0]).startswith(str(out)):
            touched += 1
            if touched == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    make(model, out, asked, **flags)
    told.send(touched)


def run(at: int | None, model: Path, out: Path, asked: dict, flags: dict) -> int | None:
    """SIGKILL it at its `at`-th touch; the touches of a run that ended, or None where it was killed.

    It is forked from a server that has imported everything and opened nothing.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [generate.__name__, "synthcxr.networks.latent_gradient", "synthcxr.writers.formats.dicom"]
    )
    heard, told = context.Pipe(duplex=False)
    child = context.Process(target=_touching, args=(at, told, model, out, asked, flags))
    child.start()
    told.close()
    try:
        touched = int(heard.recv())
    except EOFError:
        touched = None
    finally:
        child.join()
        heard.close()
    assert child.exitcode == (-signal.SIGKILL if touched is None else 0)
    return touched
