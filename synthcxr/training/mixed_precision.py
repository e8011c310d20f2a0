"""Whether a training runs in bf16: as its parameter says, or as its own steps were quicker."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from synthcxr.config.schema import GanConfig
from synthcxr.storage import atomic

TakeStep = Callable[[int], None]
_ROUNDS = 3
_MARGIN = 0.9
"""bf16 must take less than this share of fp32's time, so that noise does not pick it."""
_HOPELESS = 4
"""bf16 is tried once only where that takes this many times as long as fp32: without hardware for it, minutes."""


def choose(config: GanConfig, folder: Path, ready: Callable[[bool], TakeStep], say: Callable[[str], None]) -> bool:
    """Whether to train in bf16; `auto` times both in turn and keeps to its choice in `folder`.

    `ready` gives, for bf16 or not, a function that takes one step of the final resolution.
    """
    if config.precision != "auto":
        return config.precision == "bf16"
    chosen = folder / "precision"
    if not chosen.is_file():
        fp32, bf16 = _seconds([ready(False), ready(True)])
        faster = "bf16" if bf16 < _MARGIN * fp32 else "fp32"
        atomic.text(chosen, faster)
        say(f"precision: a step takes {fp32:.3f} s in fp32 and {bf16:.3f} s in bf16; taking {faster}")
    return chosen.read_text(encoding="utf-8") == "bf16"


def _seconds(sides: list[TakeStep]) -> list[float]:
    """The quickest step of fp32 and of bf16, taken in turn after a first one that counts only where it says enough."""
    firsts = [_timed(take, 1) for take in sides]
    if firsts[1] > _HOPELESS * firsts[0]:
        return firsts
    rounds = [[_timed(take, index) for take in sides] for index in range(2, 2 + _ROUNDS)]
    return [min(held) for held in zip(*rounds, strict=True)]


def _timed(take: TakeStep, index: int) -> float:
    started = time.perf_counter()
    take(index)
    return time.perf_counter() - started
