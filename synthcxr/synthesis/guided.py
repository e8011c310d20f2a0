"""Candidates in order, of which a guide has some tried: scored by the thousand, made by the batch.

Which candidates share a batch follows from their numbers alone: stretches of candidates are aligned to their index,
and those tried in one fill its batches in order, the last one padded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from synthcxr import seeds
from synthcxr.synthesis.proposal import Guide
from synthcxr.synthesis.sampler import Drawn, Sampler

GRAIN = 1024
"""Candidates that are scored at a time."""
_MOST_GRAINS = 256
_BATCHES = 4
"""Full batches that a stretch is to hold on average, so that little is padded."""


@dataclasses.dataclass(frozen=True)
class Guided:
    """Rejection among the candidates that a guide has tried, each with the weight that makes up for the others."""

    sampler: Sampler
    guide: Guide

    @property
    def stretch(self) -> int:
        """Candidates of one stretch: a power of two of grains."""
        wanted = _BATCHES * self.sampler.batch / (self.guide.share * GRAIN)
        return GRAIN * min(_MOST_GRAINS, 1 << max(0, int(np.ceil(np.log2(wanted)))))

    def draw(self, *, seed: int, start: int, stop: int) -> Iterator[Drawn]:
        """The accepted among candidates start .. stop - 1, batch by batch, in candidate order."""
        size = self.stretch
        for at in range(start - start % size, stop if start < stop else 0, size):
            yield from self._stretch(seed, at, start, min(stop, at + size))

    __call__ = draw

    def _stretch(self, seed: int, at: int, start: int, stop: int) -> Iterator[Drawn]:
        indices, latents, chances = self._tried(seed, at)
        size, ends = self.sampler.batch, [*indices[self.sampler.batch :: self.sampler.batch].tolist(), stop]
        for first, end in zip(range(0, max(len(indices), 1), size), ends, strict=False):
            rows = slice(first, first + size)
            if end > start and (first == 0 or indices[first] < stop):
                yield self._batch(indices[rows], latents[rows], chances[rows], start, min(int(end), stop))

    def _batch(
        self,
        indices: NDArray[np.int64],
        latents: NDArray[np.float32],
        chances: NDArray[np.float64],
        start: int,
        stop: int,
    ) -> Drawn:
        """The accepted of one batch among start .. stop - 1, `stop` being where the next batch begins."""
        n, batch = len(indices), self.sampler.batch
        side = self.sampler.generator.contract.resolution
        if not n:
            return Drawn(stop, 0, indices, np.empty((0, side, side), np.uint8), np.empty((0, 14)), 1 / chances)
        padded = np.concatenate([latents, np.repeat(latents[:1], batch - n, axis=0)])
        pixels, probabilities = self.sampler.seen(padded)
        pixels, probabilities = pixels[:n], probabilities[:n]
        held = self.sampler.accepts(probabilities, self.guide.wanted) & (indices >= start) & (indices < stop)
        return Drawn(stop, batch, indices, pixels, probabilities, 1 / chances).kept(held)

    def _tried(self, seed: int, at: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
        """Index, latent and chance of each candidate of the stretch from `at` that is tried."""
        held = [self._grain(seed, first) for first in range(at, at + self.stretch, GRAIN)]
        indices, latents, chances = (np.concatenate(parts) for parts in zip(*held, strict=True))
        return indices, latents, chances

    def _grain(self, seed: int, at: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float64]]:
        latents = seeds.latents(seed, at, GRAIN, self.sampler.generator.contract.latent)
        chances = self.guide.chances(latents)
        tried = np.flatnonzero(seeds.uniforms(seed, at, GRAIN) < chances)
        return at + tried.astype(np.int64), latents[tried], chances[tried]
