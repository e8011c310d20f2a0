"""At what rate torch's convolutions run forward, back to their input and back to their weights, by width and layout.

    python benchmarks/kernels.py [--widths MAPS:SIDE ...] [--batch 16] [--rounds 7] [--out FILE]

What a training step can reach is these rates, not the machine's matrix rate: where the gradient of narrow weights is
slow, no arrangement of the step makes it quicker. Widths are `MAPS:SIDE` of a 3 x 3 convolution as wide as its input,
fp32; times are medians, the layouts in turn.
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


def rates(n_maps: int, side: int, batch: int, rounds: int) -> dict[str, dict[str, float]]:
    """GFLOP/s by layout and kind."""
    sets = {name: _tensors(n_maps, side, batch, layout) for name, layout in LAYOUTS.items()}
    took: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in KINDS} for name in sets}
    for number in range(rounds + 1):
        for name, tensors in sets.items():
            for kind in KINDS:
                started = time.perf_counter()
                run(kind, *tensors)
                if number:
                    took[name][kind].append(time.perf_counter() - started)
    gflop = 2 * 9 * n_maps**2 * side**2 * batch / 1e9
    return {name: {kind: gflop / statistics.median(each) for kind, each in held.items()} for name, held in took.items()}


def run(kind: str, x: Tensor, weight: Tensor, grad: Tensor) -> None:
    """One convolution, or one of its gradients, at padding 1."""
    if kind == "forward":
        F.conv2d(x, weight, padding=1)
        return
    wanted = [kind == "input gradient", kind == "weight gradient", False]
    torch.ops.aten.convolution_backward(grad, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)


def _tensors(n_maps: int, side: int, batch: int, layout: torch.memory_format) -> tuple[Tensor, ...]:
    shapes = ((batch, n_maps, side, side), (n_maps, n_maps, 3, 3), (batch, n_maps, side, side))
    return tuple(torch.randn(shape).contiguous(memory_format=layout) for shape in shapes)


def main() -> None:
    """Print each row and, with --out, write all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    widths = ["16:64", "16:128", "32:64", "32:128", "64:32", "128:16"]
    parser.add_argument("--widths", nargs="+", default=widths, metavar="MAPS:SIDE")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    retain_freed_memory()
    described = machine.describe()
    print(json.dumps(described))
    rows: list[dict[str, Any]] = []
    for width in asked.widths:
        n_maps, side = (int(part) for part in width.split(":"))
        rows.append({"maps": n_maps, "side": side, "gflops": rates(n_maps, side, asked.batch, asked.rounds)})
        print(json.dumps(rows[-1]), flush=True)
    if asked.out:
        text = json.dumps({"machine": described, "batch": asked.batch, "rows": rows}, indent=2)
        asked.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
