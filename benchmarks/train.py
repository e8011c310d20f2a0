"""Images/s of one training step (D and G) against a plain fp32 NCHW eager step of the same networks; medians.

    python benchmarks/train.py [--profiles starter:16 nih-1024:4] [--resolutions 64 128 256] [--rounds 3] [--out FILE]

One table per profile, given with its batch: `starter` pays R1 every 16th step, `nih-1024` WGAN-GP at each step. Each
side runs in its own process, in turn: A B A B. Besides the ratio the table gives the operations of an image
(networks/flops.py), the rate reached, its share of the matrix rate of the machine (measured before each round, because
it changes on a shared processor), and the time by kind of operation.
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


def make_package_step(config: GanConfig, batch: int, *, bf16: bool) -> Callable[[int], None]:
    """Return the training step of the package."""
    retain_freed_memory()
    state = gan_state.create_state(config, torch.device("cpu"))
    schedule_point = schedule.SchedulePoint(config.resolution, 1.0, batch, 1.0, 0)
    real = torch.rand(batch, 1, config.resolution, config.resolution) * 2 - 1

    def run_step(index: int) -> None:
        step.run_step(state, schedule_point, real, config, bf16=bf16, index=index)
        gan_state.update_ema(state, batch, config.ema_half_life_nimg)

    return run_step


def run_side(side: str, config: GanConfig, batch: int, requests: Connection) -> None:
    """Process of one side: receive a number of steps, run them, send the seconds or (if negative) the time shares."""
    if side == "plain":
        run_step = reference_training_step.make_step(
            config, reference_training_step.create_reference_state(config), batch
        )
    else:
        run_step = make_package_step(config, batch, bf16=side == "bf16")
    run_step(0)
    while (n_steps := requests.recv()) is not None:
        requests.send(profile_steps(run_step, -n_steps) if n_steps < 0 else time_steps(run_step, n_steps))


def time_steps(run_step: Callable[[int], None], n_steps: int) -> float:
    """Measure the wall seconds of `n_steps` steps with the penalty at its interval."""
    started = time.perf_counter()
    for index in range(n_steps):
        run_step(index)
    return time.perf_counter() - started


def profile_steps(run_step: Callable[[int], None], n_steps: int) -> dict[str, float]:
    """Profile the share of wall time of `n_steps` steps by kind of operation; the rest is Python."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        wall_s = time_steps(run_step, n_steps)
    by_kind = dict.fromkeys([*(kind for kind, _ in KINDS), "pointwise and sums"], 0.0)
    for event in profile.key_averages():
        name = event.key.lower().removeprefix("aten::")
        kind = next((kind for kind, parts in KINDS if any(part in name for part in parts)), "pointwise and sums")
        by_kind[kind] += event.self_cpu_time_total / 1e6 / wall_s
    return by_kind | {"outside operations": max(0.0, 1 - sum(by_kind.values()))}


def compare(config: GanConfig, batch: int, rounds: int) -> dict[str, Any]:
    """Run all sides in turn. Rates are medians over rounds; the package's rate is that of its faster precision."""
    n_steps = config.penalty_interval
    sides = ["fp32", "bf16", "plain"] if machine.has_bf16() else ["fp32", "plain"]
    rates_by_round: dict[str, list[float]] = {side: [] for side in sides}
    matrix: list[dict[str, float]] = []
    with ExitStack() as stack:
        connections = {side: _start_side(stack, side, config, batch) for side in sides}
        for _ in range(rounds):
            matrix.append(machine.matrix_rates())
            for side in sides:
                rates_by_round[side].append(batch * n_steps / _request_steps(connections[side], n_steps))
        images_per_s = {side: statistics.median(values) for side, values in rates_by_round.items()}
        precision = max((side for side in sides if side != "plain"), key=lambda side: images_per_s[side])
        profile = _request_steps(connections[precision], -n_steps)
    flop = flops.count_image_flops(
        config.latent, config.channels, config.blocks, config.resolution, penalty_interval=config.penalty_interval
    )
    rates = {kind: statistics.median(rate[kind] for rate in matrix) for kind in matrix[0]}
    gflops = {side: flop / 1e9 * rate for side, rate in images_per_s.items()}
    return {
        "resolution": config.resolution,
        "batch": batch,
        "gflop_per_image": flop / 1e9,
        "images_per_s": images_per_s,
        "rounds": rates_by_round,
        "precision": precision,
        "ratio": images_per_s[precision] / images_per_s["plain"],
        "gflops": gflops,
        "matrix_gflops": rates,
        "share_of_matrix_rate": {
            side: rate / rates["fp32" if side == "plain" else side] for side, rate in gflops.items()
        },
        "profile": profile,
        "largest_difference_of_outputs": reference_training_step.largest_difference(config),
    }


def _start_side(stack: ExitStack, side: str, config: GanConfig, batch: int) -> Connection:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=run_side, args=(side, config, batch, there), daemon=True)
    process.start()
    there.close()
    stack.callback(process.join)
    stack.callback(here.send, None)
    return here


def _request_steps(side: Connection, n_steps: int) -> Any:
    side.send(n_steps)
    return side.recv()


def resize_profile(config: GanConfig, side: int) -> GanConfig:
    """Resize the profile to `side` px; sizes beyond the profile repeat its last width."""
    last = config.channels[max(config.channels)]
    channels = {4 << power: config.channels.get(4 << power, last) for power in range(side.bit_length() - 2)}
    return dataclasses.replace(config, resolution=side, channels=channels, device="cpu")


def main() -> None:
    """Print each row and, with --out, write all rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profiles", nargs="+", default=["starter:16", "nih-1024:4"], metavar="NAME:BATCH")
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    described = machine.describe()
    print(json.dumps(described))
    tables = []
    for profile in arguments.profiles:
        name, batch = profile.split(":")
        config = load_config(PARAMS / f"{name}.yaml").train_gan
        rows = []
        for side in arguments.resolutions:
            rows.append(compare(resize_profile(config, side), int(batch), arguments.rounds))
            print(name, json.dumps(rows[-1]), flush=True)
        widths = {side: resize_profile(config, side).channels for side in arguments.resolutions}[
            max(arguments.resolutions)
        ]
        settings = {"loss": config.loss, "penalty_interval": config.penalty_interval, "blocks": config.blocks}
        tables.append({"profile": name, **settings, "channels": widths, "rows": rows})
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": described, "tables": tables}, indent=2)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
