"""Latent class optimisation: latents are led along the classifier's gradient to where their images show what is wanted.

Segal et al., arXiv 2010.03975. A generator of ours normalises its latent, so every latent stands for a point on the
sphere of radius sqrt(Z), where a normal latent lies all but exactly; the search walks on that sphere and every point
it comes to is as typical as its start. A block of candidates is searched together and depends on no other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import random_streams
from synthcxr.model_files import predictions
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.sampling.rejection import Drawn, Sampler, ranged

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Differentiate = Callable[[Float32], tuple[Float32, Callable[[Float32], Float32]]]
"""From latents [n, Z] to logits [n, 14] and the function that takes dL/dlogits to dL/dz."""

MAX_STEPS = 40
ANGLE = 0.1
"""Length of a step along the sphere, in radians; two latents that have nothing in common are 1.57 apart."""
REACH = 0.8
"""No latent ends further than this from its start, in radians: a start keeps its character, and starts are distinct."""
APART = 0.4
"""Of two latents of a block that end nearer than this, in radians, the later is left out."""
MARGIN = 0.2
"""How far beyond its threshold a logit is led, in standard deviations of it among the block's starts."""


@dataclasses.dataclass(frozen=True)
class Search:
    """Leads candidates of `sampler` to `wanted` by `differentiate`; what is accepted, the sampler's sessions decide."""

    sampler: Sampler
    differentiate: Differentiate
    wanted: Wanted

    def draw(self, *, seed: int, start: int, stop: int) -> Iterator[Drawn]:
        """The accepted among candidates start .. stop - 1, block by block, in candidate order."""
        return ranged(lambda at: self.block(seed, at), self.sampler.batch, start, stop)

    def block(self, seed: int, start: int) -> Drawn:
        """What the search makes of candidates start .. start + batch - 1; `start` is a multiple of the batch."""
        size = self.sampler.batch
        begun = on_sphere(random_streams.latents(seed, start, size, self.sampler.generator.contract.latent))
        latents, steps, runs = self._walk(begun)
        pixels, probabilities = self.sampler.seen(latents)
        kept = _distinct(latents, self.sampler.accepts(probabilities, self.wanted))
        indices = np.arange(start, start + size, dtype=np.int64)
        weights = np.ones(size)
        found = Drawn(start + size, runs + size, indices, pixels, probabilities, weights, latents, steps)
        return found.kept(kept)

    def _walk(self, begun: Float32) -> tuple[Float32, NDArray[np.int64], int]:
        """Where each latent comes to, in how many steps, and how many images that took; each stops for itself."""
        least = predictions.logits(predictions.least(self.sampler.classifier.contract.thresholds))
        latents, steps, runs = begun.copy(), np.zeros(len(begun), np.int64), 0
        walking = np.arange(len(begun))
        margin = np.zeros(len(least))
        for at in range(MAX_STEPS):
            logits, pull = self.differentiate(latents[walking])
            runs += len(walking)
            margin = MARGIN * logits.std(axis=0, dtype=np.float64) if at == 0 else margin
            rising = uphill(logits, least, margin, self.wanted)
            short = rising.any(axis=1)
            if not short.any():
                break
            gradient = pull(rising)[short]
            walking = walking[short]
            latents[walking] = _step(latents[walking], gradient, begun[walking])
            steps[walking] += 1
        return latents, steps, runs


def uphill(logits: Float32, least: Float64, margin: Float64, wanted: Wanted) -> Float32:
    """The direction [n, 14] in which each logit has to go: 1 up, -1 down, 0 where it is beyond by the margin."""
    signs = wanted.signs()
    short = signs * (logits - least) < margin
    return np.asarray(np.where(short, signs, 0), dtype=np.float32)


def on_sphere(latents: NDArray[np.floating]) -> Float32:
    """Latents [n, Z] brought to length sqrt(Z), which changes no image."""
    wide = latents.astype(np.float64)
    return np.asarray(wide * (np.sqrt(wide.shape[1]) / np.linalg.norm(wide, axis=1, keepdims=True)), np.float32)


def angles(one: NDArray[np.floating], other: NDArray[np.floating]) -> Float64:
    """The angle in radians between each row of `one` [n, Z] and each of `other` [m, Z], as [n, m]."""
    a, b = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one.astype(float), other.astype(float)))
    return np.asarray(np.arccos(np.clip(a @ b.T, -1.0, 1.0)))


def _step(latents: Float32, gradient: Float32, begun: Float32) -> Float32:
    """One step of ANGLE along the gradient, and back to REACH from the start where it led beyond."""
    unit = _unit(latents)
    led = np.cos(ANGLE) * unit + np.sin(ANGLE) * _unit(_across(gradient.astype(np.float64), unit))
    home = _unit(begun)
    cosine = (led * home).sum(axis=1, keepdims=True)
    edge = np.cos(REACH) * home + np.sin(REACH) * _unit(_across(led, home))
    return on_sphere(np.where(cosine < np.cos(REACH), edge, led))


def _across(vectors: Float64, unit: Float64) -> Float64:
    """The part of `vectors` at right angles to `unit`."""
    return np.asarray(vectors - (vectors * unit).sum(axis=1, keepdims=True) * unit)


def _unit(vectors: NDArray[np.floating]) -> Float64:
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300))


def _distinct(latents: Float32, accepted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The accepted, without those that came too near to an earlier one."""
    kept = np.zeros(len(latents), np.bool_)
    for row in np.flatnonzero(accepted):
        kept[row] = not (kept.any() and angles(latents[row : row + 1], latents[kept]).min() < APART)
    return kept
