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
_MIN_EFFECTIVE_CHAINS = 32
"""With fewer effective pilot chains near power 1, the effective share is not estimated and counts as 0."""


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


@dataclasses.dataclass(frozen=True)
class FittedSchedule:
    """A schedule, and what its pilot chains predict.

    `log_mean_weight` is the logarithm of the mean weight. `likelihood` is the mean likelihood, exp(score), at the end
    of the schedule, and `base_likelihood` that of latents as drawn. `effective_share` is the effective sample size
    (Kish 1965) of the weights of latents that are accepted with the probability exp(score), as a share of their number.
    """

    schedule: AnnealingSchedule
    log_mean_weight: float
    likelihood: float
    base_likelihood: float
    effective_share: float


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
    score: Score, size: int, target_likelihood: float, rng: np.random.Generator, *, min_effective_share: float = 0.0
) -> FittedSchedule:
    """Fit a schedule with pilot chains; `size` is Z.

    It ends at a mean likelihood, exp(score), of `target_likelihood`, or before the effective share falls below
    `min_effective_share`, but at MAX_POWER or at _MAX_N_POWERS powers at the latest. It is empty if no power keeps
    `min_effective_share`, or if the pilot chains are too few to tell.
    """
    latents = rng.standard_normal((_N_PILOT_CHAINS, size), dtype=np.float32)
    state = AnnealedLatents(latents, score(latents), np.zeros(_N_PILOT_CHAINS))
    pilot = _Pilot([0.0], [state])
    step_sizes: list[float] = []
    step_size = 0.5
    while np.exp(state.scores).mean() < target_likelihood and pilot.powers[-1] < MAX_POWER:
        if len(step_sizes) == _MAX_N_POWERS or (pilot.reaches_one and pilot.effective_share(-1) < min_effective_share):
            break
        power = float(f"{min(pilot.powers[-1] + _find_power_increment(state), MAX_POWER):.4g}")
        state = _raise_power(state, power - pilot.powers[-1])
        acceptance_rate = 0.0
        for _ in range(MOVES_PER_POWER):
            noise = rng.standard_normal(latents.shape, dtype=np.float32)
            state, accepted_share = _move(state, score, power, step_size, noise, rng.random(_N_PILOT_CHAINS))
            acceptance_rate += accepted_share / MOVES_PER_POWER
        pilot.add(power, state)
        step_sizes.append(step_size)
        scaled = step_size * np.exp(acceptance_rate - _TARGET_ACCEPTANCE_RATE)
        step_size = round(float(np.clip(scaled, _MIN_STEP_SIZE, _MAX_STEP_SIZE)), 3)
    n_powers = len(step_sizes)
    if min_effective_share:
        n_powers = next(
            (k - 1 for k in range(1, n_powers + 1) if pilot.effective_share(k) < min_effective_share), n_powers
        )
    schedule = AnnealingSchedule(tuple(pilot.powers[1 : n_powers + 1]), tuple(step_sizes[:n_powers]))
    return pilot.describe(schedule)


@dataclasses.dataclass
class _Pilot:
    """The states of the pilot chains after each of the `powers`, which start at 0."""

    powers: list[float]
    states: list[AnnealedLatents]

    @property
    def reaches_one(self) -> bool:
        return self.powers[-1] >= 1

    def add(self, power: float, state: AnnealedLatents) -> None:
        self.powers.append(power)
        self.states.append(state)

    def log_mean_weight(self, index: int) -> float:
        log_weights = self.states[index].log_weights
        largest = log_weights.max()
        return float(largest + np.log(np.exp(log_weights - largest).mean()))

    def effective_share(self, index: int) -> float:
        """The effective share at a power: that of exact weights, times that of the noise of the walk's weights.

        Latents that are accepted with the probability exp(score) have the distribution of power 1, so the chains
        nearest to it represent them. Their exact weights are proportional to exp(-power score).
        """
        scores, shares, _ = self._accepted_latents()
        if _effective_size(shares) < _MIN_EFFECTIVE_CHAINS:
            return 1.0 if self.powers[index] == 0 else 0.0
        power = self.powers[index]
        log_share = -_log_sum_exp(power * scores, shares) - _log_sum_exp(-power * scores, shares)
        noise = np.exp(self.states[index].log_weights - self.states[index].log_weights.max())
        return float(np.exp(log_share) * _effective_size(noise) / len(noise))

    def describe(self, schedule: AnnealingSchedule) -> FittedSchedule:
        """What the chains predict of a schedule that consists of their first powers."""
        index, log_mean_weight = len(schedule.powers), self.log_mean_weight(len(schedule.powers))
        scores, shares, base_likelihood = self._accepted_latents()
        gain = float(np.exp(_log_sum_exp(schedule.final_power * scores, shares) - log_mean_weight))
        return FittedSchedule(
            schedule, round(log_mean_weight, 3), gain * base_likelihood, base_likelihood, self.effective_share(index)
        )

    def _accepted_latents(self) -> tuple[Float64, Float64, float]:
        """Scores of the chains nearest to power 1, their shares of what is accepted, and the base likelihood."""
        index = min(range(len(self.powers)), key=lambda index: abs(self.powers[index] - 1))
        state = self.states[index]
        log_likelihoods = state.log_weights + (1 - self.powers[index]) * state.scores
        likelihoods = np.exp(log_likelihoods - log_likelihoods.max())
        base_likelihood = float(np.exp(log_likelihoods.max()) * likelihoods.mean())
        return state.scores, likelihoods / likelihoods.sum(), base_likelihood


def _log_sum_exp(values: Float64, weights: Float64) -> float:
    """The log of the weighted sum of exp(values)."""
    from scipy import special  # only a guided search pays for its import

    return float(special.logsumexp(values, b=weights))


def _effective_size(weights: Float64) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())


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
