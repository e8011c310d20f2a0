"""Selects whether a training runs in bf16: by its parameter, or by timing its steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from synthcxr.config.schema import GanConfig
from synthcxr.storage import atomic

RunStep = Callable[[int], None]
"""Runs the training step of an index."""
_N_ROUNDS = 3
_MAX_TIME_RATIO = 0.9
"""bf16 must take less than this share of the time of fp32, so that noise does not select it."""
_GIVE_UP_RATIO = 4
"""bf16 runs once only if it takes this many times as long as fp32: without hardware support a step takes minutes."""


def choose_bf16(
    config: GanConfig,
    folder: Path,
    create_step: Callable[[bool], RunStep],
    on_message: Callable[[str], None],
) -> bool:
    """Return whether to train in bf16; "auto" times both and stores its choice in `folder`, which later runs use.

    `create_step(bf16)` returns a function that runs one step at the final resolution.
    """
    if config.precision != "auto":
        return config.precision == "bf16"
    choice = folder / "precision"
    if not choice.is_file():
        on_message("precision: measuring whether fp32 or bf16 is faster; takes up to a minute on a CPU without bf16")
        fp32_s, bf16_s = _time_steps([create_step(False), create_step(True)])
        faster = "bf16" if bf16_s < _MAX_TIME_RATIO * fp32_s else "fp32"
        atomic.write_text(choice, faster)
        on_message(f"precision: a step takes {fp32_s:.3f} s in fp32 and {bf16_s:.3f} s in bf16; using {faster}")
    return choice.read_bytes() == b"bf16"


def _time_steps(steps: list[RunStep]) -> list[float]:
    """Return the time of the fastest fp32 and bf16 step in s; the warm-up step counts only if bf16 is far slower."""
    warm_up = [_time_step(run_step, 1) for run_step in steps]
    if warm_up[1] > _GIVE_UP_RATIO * warm_up[0]:
        return warm_up
    rounds = [[_time_step(run_step, index) for run_step in steps] for index in range(2, 2 + _N_ROUNDS)]
    return [min(durations) for durations in zip(*rounds, strict=True)]


def _time_step(run_step: RunStep, index: int) -> float:
    started = time.perf_counter()
    run_step(index)
    return time.perf_counter() - started
