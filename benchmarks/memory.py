"""Peak memory, time and operations of one training step (D and G with penalty) at each resolution of a profile.

    python benchmarks/memory.py [--profile nih-1024] [--batch 3] [--resolutions 1024 512 ...] [--out FILE]

Each resolution runs in its own process, so that the peak is that of the resolution. The networks are those of the
full profile, as in training. Batches are those of the profile, at most --batch.
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


def run_step(profile: str, resolution: int, batch: int, results: Connection) -> None:
    """Run one step and send its measurements."""
    config = load_config(PARAMS / f"{profile}.yaml").train_gan
    retain_freed_memory()
    state = gan_state.create_state(config, torch.device("cpu"))
    real = torch.rand(batch, 1, resolution, resolution) * 2 - 1
    before = peak_bytes()
    started, started_cpu = time.perf_counter(), time.process_time()
    step.run_step(state, schedule.SchedulePoint(resolution, 1.0, batch, 1.0, 0), real, config, bf16=False, index=0)
    gan_state.update_ema(state, batch, config.ema_half_life_nimg)
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - started_cpu
    flop = flops.count_step_flops(config.latent, config.channels, config.blocks, resolution)
    flop += flops.count_penalty_flops(config.channels, config.blocks, resolution)
    results.send(
        {
            "resolution": resolution,
            "batch": batch,
            "peak_gib": peak_bytes() / 2**30,
            "networks_gib": before / 2**30,
            "step_s": wall_s,
            "step_cpu_s": cpu_s,
            "gflop": batch * flop / 1e9,
        }
    )


def peak_bytes() -> int:
    """Return the peak memory of this process in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


def measure_step(profile: str, resolution: int, batch: int) -> dict[str, float] | None:
    """Measure a step in its own process. Returns None if the process was killed for its memory."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=run_step, args=(profile, resolution, batch, sender))
    process.start()
    sender.close()
    row: dict[str, float] | None
    try:
        row = receiver.recv()
    except EOFError:
        row = None
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        sys.exit(1)  # the traceback is printed above
    return row


def main() -> None:
    """Print each row and, with --out, write all rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="nih-1024")
    parser.add_argument("--batch", type=int, default=3)
    parser.add_argument("--resolutions", type=int, nargs="+")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    config = load_config(PARAMS / f"{arguments.profile}.yaml").train_gan
    rows = []
    for side in arguments.resolutions or sorted(config.channels, reverse=True):
        batch = min(arguments.batch, config.batch[side])
        rows.append(
            measure_step(arguments.profile, side, batch) or {"resolution": side, "batch": batch, "killed": True}
        )
        print(json.dumps(rows[-1]), flush=True)
    result = {"machine": machine.describe(), "profile": arguments.profile, "precision": "fp32", "rows": rows}
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
