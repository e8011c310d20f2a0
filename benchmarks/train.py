"""One training step (D and G) beside a plain fp32 NCHW eager one of the same networks: images/s, in turn, medians.

    python benchmarks/train.py [--profiles starter:16 nih-1024:4] [--resolutions 64 128 256] [--rounds 3] [--out FILE]

A table for each profile, named with its batch: `starter` pays r1 every 16th step, `nih-1024` wgan-gp at each. A side
runs in a process of its own, in its turn: A B A B. Beside the ratio stand the operations of an image
(networks/arithmetic.py), the rate reached, its share of the machine's matrix rate, taken before each round since it
moves where others share the processor, and where the time goes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import machine
import reference_training_step
import torch

from synthcxr.config.schema import GanConfig, load_config
from synthcxr.networks import flops
from synthcxr.training import gan_state, schedule, step
from synthcxr.training.malloc import retain_freed_memory

PARAMS = Path(__file__).parents[1] / "params"
KINDS = (
    ("optimiser", ("_foreach_", "adam")),
    ("convolutions and dense layers", ("conv", "addmm", "mm", "linear", "baddbmm")),
    ("copies", ("copy_", "clone", "contiguous", "_to_copy", "cat", "fill_", "zero_", "empty", "resize_")),
)


def ours(config: GanConfig, batch: int, *, bf16: bool) -> Callable[[int], None]:
    """The step as training takes it."""
    retain_freed_memory()
    state = gan_state.create_state(config, torch.device("cpu"))
    schedule_point = schedule.SchedulePoint(config.resolution, 1.0, batch, 1.0, 0)
    real = torch.rand(batch, 1, config.resolution, config.resolution) * 2 - 1

    def take(index: int) -> None:
        step.run_step(state, schedule_point, real, config, bf16=bf16, index=index)
        gan_state.update_ema(state, batch, config.ema_half_life_nimg)

    return take


def work(side: str, config: GanConfig, batch: int, asked: Connection) -> None:
    """A side's process: takes as many steps as it is asked for and tells the seconds, or the shares of its time."""
    if side == "plain":
        take = reference_training_step.step_of(config, reference_training_step.fresh(config), batch)
    else:
        take = ours(config, batch, bf16=side == "bf16")
    take(0)
    while (n_steps := asked.recv()) is not None:
        asked.send(shares(take, -n_steps) if n_steps < 0 else seconds(take, n_steps))


def seconds(take: Callable[[int], None], n_steps: int) -> float:
    """Wall seconds of `n_steps` steps, the penalty paid as often as the interval says."""
    started = time.perf_counter()
    for index in range(n_steps):
        take(index)
    return time.perf_counter() - started


def shares(take: Callable[[int], None], n_steps: int) -> dict[str, float]:
    """Where the wall time of `n_steps` steps goes, by kind of operation; what is left over is Python."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        wall_s = seconds(take, n_steps)
    held = dict.fromkeys([*(kind for kind, _ in KINDS), "pointwise and sums"], 0.0)
    for event in profile.key_averages():
        name = event.key.lower().removeprefix("aten::")
        kind = next((kind for kind, parts in KINDS if any(part in name for part in parts)), "pointwise and sums")
        held[kind] += event.self_cpu_time_total / 1e6 / wall_s
    return held | {"outside operations": max(0.0, 1 - sum(held.values()))}


def compare(config: GanConfig, batch: int, rounds: int) -> dict[str, Any]:
    """All sides in turn; images/s and matrix rates are medians over rounds, ours those of the faster precision."""
    n_steps = config.penalty_interval
    sides = ["fp32", "bf16", "plain"] if machine.has_bf16() else ["fp32", "plain"]
    took: dict[str, list[float]] = {side: [] for side in sides}
    matrix: list[dict[str, float]] = []
    with ExitStack() as stack:
        held = {side: _started(stack, side, config, batch) for side in sides}
        for _ in range(rounds):
            matrix.append(machine.matrix_rates())
            for side in sides:
                took[side].append(batch * n_steps / _ask(held[side], n_steps))
        images_per_s = {side: statistics.median(each) for side, each in took.items()}
        precision = max((side for side in sides if side != "plain"), key=lambda side: images_per_s[side])
        profile = _ask(held[precision], -n_steps)
    flop = flops.count_image_flops(
        config.latent, config.channels, config.blocks, config.resolution, penalty_interval=config.penalty_interval
    )
    rates = {kind: statistics.median(each[kind] for each in matrix) for kind in matrix[0]}
    gflops = {side: flop / 1e9 * rate for side, rate in images_per_s.items()}
    return {
        "resolution": config.resolution,
        "batch": batch,
        "gflop_per_image": flop / 1e9,
        "images_per_s": images_per_s,
        "rounds": took,
        "precision": precision,
        "ratio": images_per_s[precision] / images_per_s["plain"],
        "gflops": gflops,
        "matrix_gflops": rates,
        "share_of_matrix_rate": {
            side: each / rates["fp32" if side == "plain" else side] for side, each in gflops.items()
        },
        "profile": profile,
        "largest_difference_of_outputs": reference_training_step.difference(config),
    }


def _started(stack: ExitStack, side: str, config: GanConfig, batch: int) -> Connection:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=work, args=(side, config, batch, there), daemon=True)
    process.start()
    there.close()
    stack.callback(process.join)
    stack.callback(here.send, None)
    return here


def _ask(side: Connection, n_steps: int) -> Any:
    side.send(n_steps)
    return side.recv()


def sized(config: GanConfig, side: int) -> GanConfig:
    """The profile's training at `side`; beyond its own the last width goes on."""
    last = config.channels[max(config.channels)]
    channels = {4 << power: config.channels.get(4 << power, last) for power in range(side.bit_length() - 2)}
    return dataclasses.replace(config, resolution=side, channels=channels, device="cpu")


def main() -> None:
    """Print each row and, with --out, write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profiles", nargs="+", default=["starter:16", "nih-1024:4"], metavar="NAME:BATCH")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    described = machine.describe()
    print(json.dumps(described))
    tables = []
    for profile in asked.profiles:
        name, batch = profile.split(":")
        config = load_config(PARAMS / f"{name}.yaml").train_gan
        rows = []
        for side in asked.resolutions:
            rows.append(compare(sized(config, side), int(batch), asked.rounds))
            print(name, json.dumps(rows[-1]), flush=True)
        widths = {side: sized(config, side).channels for side in asked.resolutions}[max(asked.resolutions)]
        about = {"loss": config.loss, "penalty_interval": config.penalty_interval, "blocks": config.blocks}
        tables.append({"profile": name, **about, "channels": widths, "rows": rows})
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": described, "tables": tables}, indent=2)
        asked.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
