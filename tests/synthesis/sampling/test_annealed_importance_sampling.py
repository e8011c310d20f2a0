"""Annealed importance sampling, on a score whose integrals are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from synthcxr.synthesis.sampling.annealed_importance_sampling import (
    MAX_POWER,
    MOVES_PER_POWER,
    AnnealedLatents,
    AnnealingSchedule,
    FittedSchedule,
    Float32,
    Float64,
    anneal,
    fit_schedule,
)

SIZE, LOWER_BOUND = 6, 3.0


def score(latents: Float32) -> Float64:
    """Log of a smooth probability that the first number is above three, at most log 0.6."""
    return np.minimum(special.log_ndtr((latents[:, 0].astype(np.float64) - LOWER_BOUND) / 0.5), np.log(0.6))


@pytest.fixture(scope="module")
def fitted() -> FittedSchedule:
    return fit_schedule(score, SIZE, 0.5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def annealed(fitted: FittedSchedule) -> AnnealedLatents:
    rng, n, n_moves = np.random.default_rng(1), 4000, fitted.schedule.n_moves
    latents = rng.standard_normal((n, SIZE), dtype=np.float32)
    noise = rng.standard_normal((n, n_moves, SIZE), dtype=np.float32)
    return anneal(fitted.schedule, score, latents, noise, rng.random((n, n_moves)))


def test_a_schedule_reaches_its_target(fitted: FittedSchedule, annealed: AnnealedLatents) -> None:
    """Powers increase, and annealed latents have the target likelihood, unlike latents as drawn."""
    schedule = fitted.schedule
    assert (np.diff((0.0, *schedule.powers)) > 0).all()
    assert schedule.n_moves == MOVES_PER_POWER * len(schedule.powers)
    assert np.exp(annealed.scores).mean() == pytest.approx(0.5, abs=0.05)
    latents = np.random.default_rng(2).standard_normal((4000, SIZE), dtype=np.float32)
    assert np.exp(score(latents)).mean() < 0.01


def test_the_mean_weight_is_the_integral(fitted: FittedSchedule, annealed: AnnealedLatents) -> None:
    """The mean weight, and the pilot's estimate of it, agree with quadrature over the normal distribution."""
    schedule, log_mean_weight = fitted.schedule, fitted.log_mean_weight
    x = np.linspace(-9, 9, 100_001, dtype=np.float32)[:, None]
    density = np.exp(-(x[:, 0].astype(np.float64) ** 2) / 2) / np.sqrt(2 * np.pi)
    exact = np.log((density * np.exp(schedule.final_power * score(x))).sum() * 18 / 100_000)
    weights = np.exp(annealed.log_weights - exact)
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(len(weights))
    assert log_mean_weight == pytest.approx(exact, abs=0.5)


def test_annealed_latents_stay_typical(annealed: AnnealedLatents) -> None:
    """The dimensions that the score ignores stay normal, and no two latents are equal."""
    ignored = annealed.latents[:, 1:].astype(np.float64)
    assert np.abs(ignored.mean(axis=0)).max() < 0.1 and np.abs(ignored.std(axis=0) - 1).max() < 0.05
    assert len(np.unique(annealed.latents, axis=0)) == len(annealed.latents)


def test_a_constant_score_leaves_the_normal_distribution_invariant() -> None:
    """With a constant score, all weights are equal, and latents stay normal and forget their start."""
    schedule, rng = AnnealingSchedule((0.5, 1.0), (0.4, 0.8)), np.random.default_rng(3)
    latents = rng.standard_normal((5000, 3), dtype=np.float32)
    noise = rng.standard_normal((5000, schedule.n_moves, 3), dtype=np.float32)
    uniforms = rng.random((5000, schedule.n_moves))
    annealed = anneal(schedule, lambda z: np.full(len(z), -1.0), latents, noise, uniforms)
    np.testing.assert_allclose(annealed.log_weights, -1.0)
    assert np.abs(annealed.latents.std(axis=0) - 1).max() < 0.05
    assert np.abs(np.corrcoef(latents[:, 0], annealed.latents[:, 0])[0, 1]) < 0.2


def test_a_schedule_is_empty_or_ends_at_the_largest_power() -> None:
    """A score that is high everywhere needs no annealing; a target that is never reached ends at MAX_POWER."""
    rng = np.random.default_rng(4)
    fitted = fit_schedule(lambda z: np.zeros(len(z)), SIZE, 0.5, rng)
    assert fitted == FittedSchedule(AnnealingSchedule(), 0.0, 1.0, 1.0, 1.0)
    fitted = fit_schedule(lambda z: np.full(len(z), -5.0), SIZE, 0.5, rng)
    assert fitted.schedule.final_power == MAX_POWER


def steep_score(latents: Float32) -> Float64:
    """Log of a probability that doubles three times for each unit of the first number."""
    return np.minimum(2.0 * latents[:, 0].astype(np.float64) - 6.0, np.log(0.7))


def measure_effective_share(schedule: AnnealingSchedule) -> float:
    """The effective share among 40,000 annealed latents, each accepted with the probability exp(score)."""
    rng, n = np.random.default_rng(9), 40_000
    latents = rng.standard_normal((n, SIZE), dtype=np.float32)
    noise = rng.standard_normal((n, schedule.n_moves, SIZE), dtype=np.float32)
    annealed = anneal(schedule, steep_score, latents, noise, rng.random((n, schedule.n_moves)))
    is_accepted = rng.random(n) < np.exp(annealed.scores)
    weights = np.exp(annealed.log_weights - schedule.final_power * annealed.scores)[is_accepted]
    return float(weights.sum() ** 2 / (weights**2).sum() / len(weights))


@pytest.mark.parametrize("floor", [0.3, 0.5, 0.8])
def test_a_schedule_ends_before_the_effective_share_falls_below_its_minimum(floor: float) -> None:
    """The share that accepted latents have is at least the minimum, and not far above; without one it is lower."""
    limited = fit_schedule(steep_score, SIZE, 0.55, np.random.default_rng(0), min_effective_share=floor)
    unlimited = fit_schedule(steep_score, SIZE, 0.55, np.random.default_rng(0))
    assert limited.schedule.powers == unlimited.schedule.powers[: len(limited.schedule.powers)]
    assert floor <= limited.effective_share < floor + 0.1
    assert 0.9 * floor < measure_effective_share(limited.schedule) < floor + 0.2
    assert measure_effective_share(unlimited.schedule) < 0.2
    assert limited.base_likelihood < limited.likelihood < unlimited.likelihood


def test_a_schedule_whose_effective_share_cannot_be_estimated_is_empty() -> None:
    """The pilot chains do not reach latents that are accepted, so nothing is known about their weights."""

    def score_far_away(latents: Float32) -> Float64:
        return -200.0 * np.abs(latents.astype(np.float64) - 9.0).sum(axis=1)

    fitted = fit_schedule(score_far_away, SIZE, 0.55, np.random.default_rng(0), min_effective_share=0.5)
    assert fitted.schedule == AnnealingSchedule()
