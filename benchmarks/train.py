"""One training step (D and G) against a plain fp32 NCHW eager loop of the same networks: images/s, A B A B, medians.

    python benchmarks/train.py PARAMS [--out FILE] [--resolution 64 ...] [--batch 16] [--rounds 3]

The plain side makes synthetic images twice, judges real and synthetic apart and pays its penalty as often. Beside the
ratio stand the operations of an image (networks/arithmetic.py), the rate reached, and the machine's matrix rate.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from synthcxr import config as configs
from synthcxr.config import GanConfig
from synthcxr.networks import arithmetic
from synthcxr.training import gan, loss, schedule, step
from synthcxr.training.augment import augment

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


def ours(config: GanConfig, batch: int, *, bf16: bool) -> Callable[[int], None]:
    """The step as training takes it."""
    state = gan.new_state(config, torch.device("cpu"))
    moment = schedule.Moment(config.resolution, 1.0, batch, 1.0, 0)
    real = torch.rand(batch, 1, config.resolution, config.resolution) * 2 - 1

    def take(index: int) -> None:
        step.run(state, moment, real, config, bf16=bf16, index=index)
        gan.average(state, batch, config.ema_half_life_nimg)

    return take


def plain(config: GanConfig, batch: int) -> Callable[[int], None]:
    """The same networks, losses and augmentation, written down without a thought for speed."""
    config = dataclasses.replace(config, channels_last=False)
    state = gan.new_state(config, torch.device("cpu"))
    real = torch.rand(batch, 1, config.resolution, config.resolution) * 2 - 1
    d, g = state.discriminator, state.generator
    adam_g, adam_d = (
        torch.optim.Adam(network.parameters(), lr=1e-3, betas=config.betas, foreach=False) for network in (g, d)
    )

    def take(index: int) -> None:
        draws = step.stream(config.seed, index)
        seen = augment(real, config.augment, draws)
        made = augment(g(torch.randn(batch, config.latent)), config.augment, draws).detach()
        total = loss.discriminator_loss(config.loss, real=d(seen), synthetic=d(made), drift=config.drift)
        if index % config.penalty_interval == 0:
            mix = torch.rand(batch, 1, 1, 1)
            due = (
                loss.r1_penalty(d, seen)
                if config.loss == "r1"
                else loss.wgan_penalty(d, real=seen, synthetic=made, mix=mix)
            )
            total = total + config.penalty * config.penalty_interval * due
        adam_d.zero_grad()
        total.backward()
        adam_d.step()
        again = augment(g(torch.randn(batch, config.latent)), config.augment, draws)
        adam_g.zero_grad()
        loss.generator_loss(config.loss, d(again)).backward()
        adam_g.step()
        gan.average(state, batch, config.ema_half_life_nimg)

    return take


def seconds(take: Callable[[int], None], n_steps: int) -> float:
    """Wall seconds of `n_steps` steps, the penalty paid as often as the interval says."""
    started = time.perf_counter()
    for index in range(n_steps):
        take(index)
    return time.perf_counter() - started


def matrix_rate(dtype: torch.dtype, side: int = 1024) -> float:
    """GFLOP/s of a square matrix product, the best of five."""
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best / 1e9


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "cpu": name,
        "flags": [flag for flag in FLAGS if flag in flags],
        "n_cores": os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matrix_gflops": {"fp32": matrix_rate(torch.float32), "bf16": matrix_rate(torch.bfloat16, 512)},
    }


def compare(config: GanConfig, batch: int, rounds: int, *, bf16: bool) -> dict[str, float]:
    """Both sides in turn; images/s are medians over rounds."""
    n_steps = min(config.penalty_interval, 16)
    sides = {"ours": ours(config, batch, bf16=bf16), "plain": plain(config, batch)}
    for take in sides.values():
        take(0)
        take(1)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, take in sides.items():
            rates[name].append(batch * n_steps / seconds(take, n_steps))
    flop = arithmetic.training_step(config.latent, config.channels, config.blocks, config.resolution)
    found = {name: statistics.median(each) for name, each in rates.items()}
    return {
        "resolution": config.resolution,
        "batch": batch,
        "gflop_per_image": flop / 1e9,
        "images_per_s": found["ours"],
        "plain_images_per_s": found["plain"],
        "ratio": found["ours"] / found["plain"],
        "gflops": flop / 1e9 * found["ours"],
    }


def main() -> None:
    """Print a table and, with --out, write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("params", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--resolution", type=int, nargs="+", default=[64])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--bf16", action="store_true")
    asked = parser.parse_args()
    config = configs.load(asked.params).train_gan
    rows = []
    for side in asked.resolution:
        channels = {at: n for at, n in config.channels.items() if at <= side}
        sized = dataclasses.replace(config, resolution=side, channels=channels, device="cpu")
        rows.append(compare(sized, asked.batch, asked.rounds, bf16=asked.bf16))
        print(json.dumps(rows[-1]))
    result = {
        "machine": machine(),
        "params": asked.params.name,
        "precision": "bf16" if asked.bf16 else "fp32",
        "rows": rows,
    }
    print(json.dumps(result["machine"]))
    if asked.out:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
