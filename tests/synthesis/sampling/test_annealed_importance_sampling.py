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
def fitted() -> tuple[AnnealingSchedule, float]:
    return fit_schedule(score, SIZE, 0.5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def annealed(fitted: tuple[AnnealingSchedule, float]) -> AnnealedLatents:
    rng, n, n_moves = np.random.default_rng(1), 4000, fitted[0].n_moves
    latents = rng.standard_normal((n, SIZE), dtype=np.float32)
    noise = rng.standard_normal((n, n_moves, SIZE), dtype=np.float32)
    return anneal(fitted[0], score, latents, noise, rng.random((n, n_moves)))


def test_a_schedule_reaches_its_target(fitted: tuple[AnnealingSchedule, float], annealed: AnnealedLatents) -> None:
    """Powers increase, and annealed latents have the target likelihood, unlike latents as drawn."""
    schedule, _ = fitted
    assert (np.diff((0.0, *schedule.powers)) > 0).all()
    assert schedule.n_moves == MOVES_PER_POWER * len(schedule.powers)
    assert np.exp(annealed.scores).mean() == pytest.approx(0.5, abs=0.05)
    latents = np.random.default_rng(2).standard_normal((4000, SIZE), dtype=np.float32)
    assert np.exp(score(latents)).mean() < 0.01


def test_the_mean_weight_is_the_integral(fitted: tuple[AnnealingSchedule, float], annealed: AnnealedLatents) -> None:
    """The mean weight, and the pilot's estimate of it, agree with quadrature over the normal distribution."""
    schedule, log_mean_weight = fitted
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
    assert fit_schedule(lambda z: np.zeros(len(z)), SIZE, 0.5, rng) == (AnnealingSchedule(), 0.0)
    schedule, _ = fit_schedule(lambda z: np.full(len(z), -5.0), SIZE, 0.5, rng)
    assert schedule.final_power == MAX_POWER
