"""Describe the machine of a benchmark: processor, vector flags, threads and the rate of matrix products."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

import torch

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
BF16 = {"avx512_bf16", "amx_bf16"}


def describe() -> dict[str, object]:
    """Describe everything that the figures depend on, with matrix rates."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").is_file() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "cpu": name,
        "flags": flags(),
        "n_cores": os.cpu_count(),
        "n_cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "matrix_gflops": matrix_rates(),
    }


def flags() -> list[str]:
    """List the FLAGS that this processor has."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    cpu_flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return [flag for flag in FLAGS if flag in cpu_flags]


def has_bf16() -> bool:
    """Whether the processor computes bf16 in hardware; if not, a product takes hundreds of times as long as fp32."""
    return bool(BF16 & set(flags()))


def matrix_rates() -> dict[str, float]:
    """Measure GFLOP/s of a square matrix product in fp32 and bf16, on the current threads."""
    return {"fp32": _rate(torch.float32, 2048), "bf16": _rate(torch.bfloat16, 2048 if has_bf16() else 256)}


def _rate(dtype: torch.dtype, side: int) -> float:
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        started = time.perf_counter()
        a @ b
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best / 1e9
