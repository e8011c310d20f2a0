"""Latents led to a high score, on a score whose integrals are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from synthcxr.synthesis.sampling import annealed_importance_sampling
from synthcxr.synthesis.sampling.annealed_importance_sampling import LARGEST, MOVES, Led, Route

SIZE, BEYOND = 6, 3.0


def score(latents: annealed_importance_sampling.Float32) -> annealed_importance_sampling.Float64:
    """Log of how surely the first number lies beyond three standard deviations."""
    return np.minimum(special.log_ndtr((latents[:, 0].astype(np.float64) - BEYOND) / 0.5), np.log(0.6))


@pytest.fixture(scope="module")
def found() -> tuple[Route, float]:
    return annealed_importance_sampling.find(score, SIZE, 0.5, np.random.default_rng(0))


@pytest.fixture(scope="module")
def led(found: tuple[Route, float]) -> Led:
    rng, n, moves = np.random.default_rng(1), 4000, found[0].n_moves
    begun = rng.standard_normal((n, SIZE), dtype=np.float32)
    noise = rng.standard_normal((n, moves, SIZE), dtype=np.float32)
    return annealed_importance_sampling.follow(found[0], score, begun, noise, rng.random((n, moves)))


def test_the_route_rises_to_what_was_wanted(found: tuple[Route, float], led: Led) -> None:
    """Powers rise, and latents that were led have about the wanted likelihood, which drawn ones have not."""
    route, _ = found
    assert (np.diff((0.0, *route.powers)) > 0).all() and route.n_moves == MOVES * len(route.powers)
    assert np.exp(led.scores).mean() == pytest.approx(0.5, abs=0.05)
    drawn = np.random.default_rng(2).standard_normal((4000, SIZE), dtype=np.float32)
    assert np.exp(score(drawn)).mean() < 0.01


def test_the_mean_weight_is_the_integral(found: tuple[Route, float], led: Led) -> None:
    """Of the score's power over the normal distribution, by quadrature; so is what the pilot found."""
    route, log_mean = found
    x = np.linspace(-9, 9, 100_001, dtype=np.float32)[:, None]
    density = np.exp(-(x[:, 0].astype(np.float64) ** 2) / 2) / np.sqrt(2 * np.pi)
    exact = np.log((density * np.exp(route.end * score(x))).sum() * 18 / 100_000)
    weights = np.exp(led.log_weights - exact)
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(len(weights))
    assert log_mean == pytest.approx(exact, abs=0.5)


def test_latents_stay_typical(led: Led) -> None:
    """What the score does not ask about is as it was: normal, of the same length, and no two latents alike."""
    others = led.latents[:, 1:].astype(np.float64)
    assert np.abs(others.mean(axis=0)).max() < 0.1 and np.abs(others.std(axis=0) - 1).max() < 0.05
    assert len(np.unique(led.latents, axis=0)) == len(led.latents)


def test_moves_forget_nothing_of_a_normal_distribution() -> None:
    """Where the score is the same everywhere, every move is accepted, weights say nothing, and z stays normal."""
    route, rng = Route((0.5, 1.0), (0.4, 0.8)), np.random.default_rng(3)
    begun = rng.standard_normal((5000, 3), dtype=np.float32)
    noise = rng.standard_normal((5000, route.n_moves, 3), dtype=np.float32)
    came = annealed_importance_sampling.follow(
        route, lambda z: np.full(len(z), -1.0), begun, noise, rng.random((5000, route.n_moves))
    )
    np.testing.assert_allclose(came.log_weights, -1.0)
    assert np.abs(came.latents.std(axis=0) - 1).max() < 0.05
    assert np.abs(np.corrcoef(begun[:, 0], came.latents[:, 0])[0, 1]) < 0.2


def test_what_is_common_or_out_of_reach() -> None:
    """A score that is high everywhere needs no route; one that is never reached ends at the largest power."""
    rng = np.random.default_rng(4)
    assert annealed_importance_sampling.find(lambda z: np.zeros(len(z)), SIZE, 0.5, rng) == (Route(), 0.0)
    route, _ = annealed_importance_sampling.find(lambda z: np.full(len(z), -5.0), SIZE, 0.5, rng)
    assert route.end == LARGEST
