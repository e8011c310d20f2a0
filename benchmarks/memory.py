"""One training step (D and G, penalty paid) at each resolution of a profile: peak memory, time, operations.

    python benchmarks/memory.py [--profile nih-1024] [--batch 3] [--resolutions 1024 512 ...] [--out FILE]

Every resolution has a process of its own, whose peak is its alone. The networks are those of the whole profile, as
training holds them; batches are the profile's, but at most --batch.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import machine
import torch

from synthcxr.config.schema import load_config
from synthcxr.networks import flops
from synthcxr.training import gan_state, schedule, step
from synthcxr.training.malloc import retain_freed_memory

PARAMS = Path(__file__).parents[1] / "params"
UNIT = 1 if sys.platform == "darwin" else 1024  # bytes of ru_maxrss


def one_step(profile: str, resolution: int, batch: int, told: Connection) -> None:
    """Send what a step took."""
    config = load_config(PARAMS / f"{profile}.yaml").train_gan
    retain_freed_memory()
    state = gan_state.create_state(config, torch.device("cpu"))
    real = torch.rand(batch, 1, resolution, resolution) * 2 - 1
    before = peak_bytes()
    started, started_cpu = time.perf_counter(), time.process_time()
    step.run_step(state, schedule.SchedulePoint(resolution, 1.0, batch, 1.0, 0), real, config, bf16=False, index=0)
    gan_state.update_ema(state, batch, config.ema_half_life_nimg)
    took_s, took_cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    flop = flops.count_step_flops(config.latent, config.channels, config.blocks, resolution)
    flop += flops.count_penalty_flops(config.channels, config.blocks, resolution)
    told.send(
        {
            "resolution": resolution,
            "batch": batch,
            "peak_gib": peak_bytes() / 2**30,
            "networks_gib": before / 2**30,
            "step_s": took_s,
            "step_cpu_s": took_cpu_s,
            "gflop": batch * flop / 1e9,
        }
    )


def peak_bytes() -> int:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


def measured(profile: str, resolution: int, batch: int) -> dict[str, float] | None:
    """A step in a process of its own; None where it was killed for its memory."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=one_step, args=(profile, resolution, batch, there))
    process.start()
    there.close()
    try:
        row = here.recv()
    except EOFError:
        row = None
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        sys.exit(1)  # its traceback stands above
    return row


def main() -> None:
    """Print each row and, with --out, write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="nih-1024")
    parser.add_argument("--batch", type=int, default=3)
    parser.add_argument("--resolutions", type=int, nargs="+")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    config = load_config(PARAMS / f"{asked.profile}.yaml").train_gan
    rows = []
    for side in asked.resolutions or sorted(config.channels, reverse=True):
        batch = min(asked.batch, config.batch[side])
        rows.append(measured(asked.profile, side, batch) or {"resolution": side, "batch": batch, "killed": True})
        print(json.dumps(rows[-1]), flush=True)
    result = {"machine": machine.describe(), "profile": asked.profile, "precision": "fp32", "rows": rows}
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
