"""Rates of torch's convolutions: forward, gradient of the input and gradient of the weights, by width and layout.

    python benchmarks/kernels.py [--widths MAPS:SIDE ...] [--batch 16] [--rounds 7] [--out FILE]

These rates, not the matrix rate of the machine, limit a training step: if the weight gradient of a narrow convolution
is slow, no arrangement of the step makes it faster. A width is `MAPS:SIDE` of a 3 x 3 convolution with as many output
as input maps, in fp32. Times are medians; the layouts run in turn.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import machine
import torch
import torch.nn.functional as F
from torch import Tensor

from synthcxr.training.malloc import retain_freed_memory

LAYOUTS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}
KINDS = ("forward", "input gradient", "weight gradient")


def measure_rates(n_maps: int, side: int, batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """Measure GFLOP/s by layout and kind."""
    sets = {name: _make_tensors(n_maps, side, batch, layout) for name, layout in LAYOUTS.items()}
    times_s: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in KINDS} for name in sets}
    for round_number in range(rounds + 1):
        for name, tensors in sets.items():
            for kind in KINDS:
                started = time.perf_counter()
                run_kernel(kind, *tensors)
                if round_number:
                    times_s[name][kind].append(time.perf_counter() - started)
    gflop = 2 * 9 * n_maps**2 * side**2 * batch / 1e9
    return {
        name: {kind: gflop / statistics.median(seconds) for kind, seconds in by_kind.items()}
        for name, by_kind in times_s.items()
    }


def run_kernel(kind: str, x: Tensor, weight: Tensor, grad: Tensor) -> None:
    """Run one convolution with padding 1, or one of its gradients."""
    if kind == "forward":
        F.conv2d(x, weight, padding=1)
        return
    output_mask = [kind == "input gradient", kind == "weight gradient", False]
    torch.ops.aten.convolution_backward(grad, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, output_mask)


def _make_tensors(n_maps: int, side: int, batch: int, layout: torch.memory_format) -> tuple[Tensor, ...]:
    shapes = ((batch, n_maps, side, side), (n_maps, n_maps, 3, 3), (batch, n_maps, side, side))
    return tuple(torch.randn(shape).contiguous(memory_format=layout) for shape in shapes)


def main() -> None:
    """Print each row and, with --out, write all rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    widths = ["16:64", "16:128", "32:64", "32:128", "64:32", "128:16"]
    parser.add_argument("--widths", nargs="+", default=widths, metavar="MAPS:SIDE")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    retain_freed_memory()
    described = machine.describe()
    print(json.dumps(described))
    rows: list[dict[str, Any]] = []
    for width in arguments.widths:
        n_maps, side = (int(part) for part in width.split(":"))
        rows.append(
            {"maps": n_maps, "side": side, "gflops": measure_rates(n_maps, side, arguments.batch, arguments.rounds)}
        )
        print(json.dumps(rows[-1]), flush=True)
    if arguments.out:
        text = json.dumps({"machine": described, "batch": arguments.batch, "rows": rows}, indent=2)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
