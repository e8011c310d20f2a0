"""Annealed importance sampling of latents: move latents to where a score is high, and weight them for the change.

Annealed importance sampling (Neal, Statistics and Computing 11, 2001) goes from the normal distribution p(z) to
p(z) exp(power score(z)) by small increments of the power. Each move, z to sqrt(1 - s^2) z + s n with a normal n and a
step size s, leaves p invariant (preconditioned Crank-Nicolson; Cotter et al., Statistical Science 28, 2013), so latents
stay typical; a Metropolis step accepts or rejects it. For a schedule of any length, the mean weight is an unbiased
estimate of the mean of exp(power score(z)) over p.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Score = Callable[[Float32], Float64]
"""From latents [n, Z] to scores [n], each the logarithm of a value between 0 and 1."""

MOVES_PER_POWER = 4
MAX_POWER = 16.0
"""The largest power of any schedule. If the score is uncertain, a larger one would collect all latents at its peak."""
_N_PILOT_CHAINS, _MAX_N_POWERS = 256, 150
_EFFECTIVE_SHARE = 0.995
"""Effective sample size, as a share of the chains, after an increment of the power."""
_TARGET_ACCEPTANCE_RATE, _MIN_STEP_SIZE, _MAX_STEP_SIZE = 0.3, 0.05, 0.9


@dataclasses.dataclass(frozen=True)
class AnnealingSchedule:
    """The powers of the score in ascending order, and the step size of the moves at each power."""

    powers: tuple[float, ...] = ()
    step_sizes: tuple[float, ...] = ()

    @property
    def n_moves(self) -> int:
        """Moves per latent."""
        return MOVES_PER_POWER * len(self.powers)

    @property
    def final_power(self) -> float:
        """The last power; 0 for an empty schedule."""
        return self.powers[-1] if self.powers else 0.0

    @property
    def reaches_target(self) -> bool:
        """Whether the schedule ends because its pilot chains reached the target, and not at a limit."""
        return self.final_power < MAX_POWER and len(self.powers) < _MAX_N_POWERS


@dataclasses.dataclass(frozen=True)
class AnnealedLatents:
    """Latents [n, Z] with their scores [n] and the logarithms [n] of their importance weights."""

    latents: Float32
    scores: Float64
    log_weights: Float64


def anneal(
    schedule: AnnealingSchedule, score: Score, latents: Float32, noise: Float32, uniforms: Float64
) -> AnnealedLatents:
    """Move latents [n, Z] along a schedule, with normal `noise` [n, n_moves, Z] and `uniforms` [n, n_moves]."""
    state = AnnealedLatents(latents, score(latents), np.zeros(len(latents)))
    previous_power, move = 0.0, 0
    for power, step_size in zip(schedule.powers, schedule.step_sizes, strict=True):
        state = _raise_power(state, power - previous_power)
        for _ in range(MOVES_PER_POWER):
            state, _ = _move(state, score, power, step_size, noise[:, move], uniforms[:, move])
            move += 1
        previous_power = power
    return state


def fit_schedule(
    score: Score, size: int, target_likelihood: float, rng: np.random.Generator
) -> tuple[AnnealingSchedule, float]:
    """Fit a schedule that ends at a mean likelihood, exp(score), of `target_likelihood`, with pilot chains.

    `size` is Z. Returns the schedule and the logarithm of its mean weight. If the pilot chains do not reach the target,
    the schedule ends at MAX_POWER or at _MAX_N_POWERS powers.
    """
    latents = rng.standard_normal((_N_PILOT_CHAINS, size), dtype=np.float32)
    state = AnnealedLatents(latents, score(latents), np.zeros(_N_PILOT_CHAINS))
    powers: list[float] = []
    step_sizes: list[float] = []
    power, step_size = 0.0, 0.5
    while np.exp(state.scores).mean() < target_likelihood and power < MAX_POWER and len(powers) < _MAX_N_POWERS:
        power = float(f"{min(power + _find_power_increment(state), MAX_POWER):.4g}")
        state = _raise_power(state, power - (powers[-1] if powers else 0.0))
        acceptance_rate = 0.0
        for _ in range(MOVES_PER_POWER):
            noise = rng.standard_normal(latents.shape, dtype=np.float32)
            state, accepted_share = _move(state, score, power, step_size, noise, rng.random(_N_PILOT_CHAINS))
            acceptance_rate += accepted_share / MOVES_PER_POWER
        powers.append(power)
        step_sizes.append(step_size)
        scaled = step_size * np.exp(acceptance_rate - _TARGET_ACCEPTANCE_RATE)
        step_size = round(float(np.clip(scaled, _MIN_STEP_SIZE, _MAX_STEP_SIZE)), 3)
    largest = state.log_weights.max()
    log_mean_weight = largest + np.log(np.exp(state.log_weights - largest).mean())
    return AnnealingSchedule(tuple(powers), tuple(step_sizes)), round(float(log_mean_weight), 3)


def _raise_power(state: AnnealedLatents, increment: float) -> AnnealedLatents:
    return dataclasses.replace(state, log_weights=state.log_weights + increment * state.scores)


def _move(
    state: AnnealedLatents, score: Score, power: float, step_size: float, noise: Float32, uniforms: Float64
) -> tuple[AnnealedLatents, float]:
    """Propose one move of each latent; returns the new state and the share of the moves that were accepted."""
    proposed = np.float32(np.sqrt(1 - step_size**2)) * state.latents + np.float32(step_size) * noise
    proposed_scores = score(proposed)
    with np.errstate(divide="ignore"):
        accepted = np.log(uniforms) < power * (proposed_scores - state.scores)
    latents = np.where(accepted[:, None], proposed, state.latents)
    scores = np.where(accepted, proposed_scores, state.scores)
    return AnnealedLatents(latents, scores, state.log_weights), float(accepted.mean())


def _find_power_increment(state: AnnealedLatents) -> float:
    """The largest increment that keeps _EFFECTIVE_SHARE of the weighted chains effective, by bisection."""
    weights = np.exp(state.log_weights - state.log_weights.max())
    weights /= weights.sum()
    low, high = 0.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        factors = np.exp(middle * (state.scores - state.scores.max()))
        effective_share = (weights * factors).sum() ** 2 / (weights * factors**2).sum()
        low, high = (middle, high) if effective_share > _EFFECTIVE_SHARE else (low, middle)
    return low
