"""Candidates in order, each led by a guide to where what is wanted is likely, and then made and looked at."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from synthcxr.synthesis.sampling.importance_guide import Guide
from synthcxr.synthesis.sampling.rejection import Drawn, Sampler, ranged


@dataclasses.dataclass(frozen=True)
class Guided:
    """Rejection among candidates that a guide has led, each with the weight that makes up for the leading."""

    sampler: Sampler
    guide: Guide

    def draw(self, *, seed: int, start: int, stop: int) -> Iterator[Drawn]:
        """The accepted among candidates start .. stop - 1, block by block, in candidate order."""
        return ranged(lambda at: self.block(seed, at), self.sampler.batch, start, stop)

    __call__ = draw

    def block(self, seed: int, start: int) -> Drawn:
        """The accepted among candidates start .. start + batch - 1; `start` is a multiple of the batch."""
        size = self.sampler.batch
        latents, weights = self.guide.led(seed, start, size)
        pixels, probabilities = self.sampler.seen(latents)
        indices = np.arange(start, start + size, dtype=np.int64)
        moved = latents if self.guide.route.powers else None
        found = Drawn(start + size, size, indices, pixels, probabilities, weights, moved)
        return found.kept(self.sampler.accepts(probabilities, self.guide.wanted))
