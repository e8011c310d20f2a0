"""Copies of films, plain and altered, to see whether a test for copies would have found them."""

from __future__ import annotations

import numpy as np

from synthcxr.data import images
from synthcxr.data.images import UInt8

SHIFT_SHARE = 1 / 32
CONTRAST, BRIGHTNESS, NOISE = 0.7, 0.05, 0.03
RULES = {
    "exact": "the same pixels",
    "shifted": "moved down and to the right by 1/32 of the side, edges repeated",
    "contrast": f"contrast x {CONTRAST}, brightness + {BRIGHTNESS} of the range",
    "noisy": f"Gaussian noise of {NOISE} of the range",
}


def copies(films: UInt8, rng: np.random.Generator) -> dict[str, UInt8]:
    """Each kind of RULES of the films uint8 [n, R, R], in their order."""
    unit, step = films.astype(np.float32) / np.float32(255), max(1, round(films.shape[1] * SHIFT_SHARE))
    moved = np.pad(unit, ((0, 0), (step, 0), (step, 0)), mode="edge")[:, :-step, :-step]
    noise = rng.standard_normal(unit.shape, dtype=np.float32) * np.float32(NOISE)
    contrast = np.float32(0.5) + np.float32(CONTRAST) * (unit - np.float32(0.5)) + np.float32(BRIGHTNESS)
    altered = {"exact": unit, "shifted": moved, "contrast": contrast, "noisy": unit + noise}
    return {kind: images.quantise(altered[kind]) for kind in RULES}
