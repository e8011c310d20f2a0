"""Latent class optimisation: move latents along the classifier's gradient until their images meet a label condition.

Segal et al., arXiv 2010.03975. The generator normalises its latent, so each latent stands for a point on the sphere of
radius sqrt(Z), where the norm of a normal latent concentrates. The optimisation stays on this sphere, so every
optimised latent is as typical as its start. One block of candidates is optimised together and depends on no other.
The condition of a conditional generator stays as it was drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import random_streams
from synthcxr.model_files import predictions
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler, draw_blocks

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

MAX_STEPS = 40
STEP_ANGLE = 0.1
"""Length of a step along the sphere, in radians; two independent latents are about 1.57 apart."""
MAX_ANGLE = 0.8
"""Largest angle between a latent and its start, in radians: keeps results near their starts, and so distinct."""
MIN_SEPARATION = 0.4
"""If two latents of a block end nearer than this, in radians, the later one is dropped."""
LOGIT_MARGIN = 0.2
"""How far beyond its threshold a logit must go, in standard deviations of that logit over the block's starts."""


class DifferentiableLogits(Protocol):
    """From latents [n, Z] and conditions [n, C] to logits [n, 14] and the function that maps dL/dlogits to dL/dz."""

    def __call__(
        self, latents: Float32, condition: Float32 | None = None
    ) -> tuple[Float32, Callable[[Float32], Float32]]: ...


@dataclasses.dataclass(frozen=True)
class LatentOptimiser:
    """Optimises the latents of candidates for `condition`. The sampler's sessions decide which images are accepted."""

    sampler: RejectionSampler
    differentiate: DifferentiableLogits
    condition: LabelCondition

    def draw(self, *, seed: int, start: int, stop: int) -> Iterator[ImageBatch]:
        """The accepted images among candidates start .. stop - 1, block by block, in candidate order."""
        return draw_blocks(lambda block_start: self.draw_block(seed, block_start), self.sampler.batch_size, start, stop)

    def draw_block(self, seed: int, start: int) -> ImageBatch:
        """The accepted images among candidates start .. start + batch_size - 1; `start` is a multiple of it."""
        n, size = self.sampler.batch_size, self.sampler.generator.metadata.latent
        starts = project_to_sphere(random_streams.draw_latents(seed, start, n, size))
        conditions = self.sampler.draw_conditions(seed, start)
        latents, steps, optimisation_runs = self._optimise(starts, conditions)
        pixels, probabilities = self.sampler.generate(latents, conditions)
        distinct = _select_distinct(latents, self.sampler.accept(probabilities, self.condition))
        indices = np.arange(start, start + n, dtype=np.int64)
        runs = optimisation_runs + n
        block = ImageBatch(start + n, runs, indices, pixels, probabilities, np.ones(n), latents, conditions, steps)
        return block.select(distinct)

    def _optimise(self, starts: Float32, conditions: Float32 | None) -> tuple[Float32, NDArray[np.int64], int]:
        """Optimised latents, steps per latent, and the number of generator runs; each latent stops on its own."""
        threshold_logits = predictions.to_logits(
            predictions.stack_thresholds(self.sampler.classifier.metadata.thresholds)
        )
        latents, steps, runs = starts.copy(), np.zeros(len(starts), np.int64), 0
        active = np.arange(len(starts))
        margin = np.zeros(len(threshold_logits))
        for step in range(MAX_STEPS):
            active_conditions = None if conditions is None else conditions[active]
            logits, backpropagate = self.differentiate(latents[active], active_conditions)
            runs += len(active)
            margin = LOGIT_MARGIN * logits.std(axis=0, dtype=np.float64) if step == 0 else margin
            directions = find_directions(logits, threshold_logits, margin, self.condition)
            unmet = directions.any(axis=1)
            if not unmet.any():
                break
            gradient = backpropagate(directions)[unmet]
            active = active[unmet]
            latents[active] = _step(latents[active], gradient, starts[active])
            steps[active] += 1
        return latents, steps, runs


def find_directions(logits: Float32, threshold_logits: Float64, margin: Float64, condition: LabelCondition) -> Float32:
    """The direction [n, 14] in which each logit must change: 1 up, -1 down, 0 if it is beyond by the margin."""
    signs = condition.signs()
    unmet = signs * (logits - threshold_logits) < margin
    return np.asarray(np.where(unmet, signs, 0), dtype=np.float32)


def project_to_sphere(latents: NDArray[np.floating]) -> Float32:
    """Latents [n, Z] scaled to length sqrt(Z); their images stay the same."""
    wide = latents.astype(np.float64)
    return np.asarray(wide * (np.sqrt(wide.shape[1]) / np.linalg.norm(wide, axis=1, keepdims=True)), np.float32)


def pairwise_angles(a: NDArray[np.floating], b: NDArray[np.floating]) -> Float64:
    """The angle in radians between each row of `a` [n, Z] and each row of `b` [m, Z], as [n, m]."""
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a.astype(float), b.astype(float))]
    return np.asarray(np.arccos(np.clip(units[0] @ units[1].T, -1.0, 1.0)))


def _step(latents: Float32, gradient: Float32, starts: Float32) -> Float32:
    """Move by STEP_ANGLE along the gradient; a latent that goes beyond MAX_ANGLE from its start moves back to it."""
    unit = _normalise(latents)
    tangent = _normalise(_orthogonal_part(gradient.astype(np.float64), unit))
    stepped = np.cos(STEP_ANGLE) * unit + np.sin(STEP_ANGLE) * tangent
    start_unit = _normalise(starts)
    cosine = (stepped * start_unit).sum(axis=1, keepdims=True)
    boundary = np.cos(MAX_ANGLE) * start_unit + np.sin(MAX_ANGLE) * _normalise(_orthogonal_part(stepped, start_unit))
    return project_to_sphere(np.where(cosine < np.cos(MAX_ANGLE), boundary, stepped))


def _orthogonal_part(vectors: Float64, unit: Float64) -> Float64:
    """The component of `vectors` orthogonal to `unit`."""
    return np.asarray(vectors - (vectors * unit).sum(axis=1, keepdims=True) * unit)


def _normalise(vectors: NDArray[np.floating]) -> Float64:
    wide = vectors.astype(np.float64)
    return np.asarray(wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-300))


def _select_distinct(latents: Float32, accepted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The accepted latents, without those nearer than MIN_SEPARATION to an earlier accepted one."""
    distinct = np.zeros(len(latents), np.bool_)
    for row in np.flatnonzero(accepted):
        near = pairwise_angles(latents[row : row + 1], latents[distinct]) < MIN_SEPARATION
        distinct[row] = not near.any()
    return distinct
