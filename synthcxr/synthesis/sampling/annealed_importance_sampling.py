"""Latents led by random moves to where a score is high, with weights that say what the leading has favoured.

Annealed importance sampling (Neal, Statistics and Computing 11, 2001): from the normal distribution p(z) by small
powers of the score to p(z) exp(power score(z)). Each move, z to sqrt(1 - r^2) z + r n with a normal n, leaves p as it
is (preconditioned Crank-Nicolson; Cotter et al., Statistical Science 28, 2013), so that latents stay typical; a
Metropolis step decides on it. However short the route, the mean weight is that of the score's power over p.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Score = Callable[[Float32], Float64]
"""From latents [n, Z] to a score [n], the logarithm of something between 0 and 1."""

MOVES = 4
"""Moves at each power."""
LARGEST = 16.0
"""The power that no route goes beyond: where the score is vague, a larger one would end at its peak alone."""
_N_PILOT, _MOST_POWERS = 256, 150
_KEPT = 0.995
"""Share of the chains that a step from one power to the next leaves effective."""
_ACCEPTED, _SHORTEST, _LONGEST = 0.3, 0.05, 0.9


@dataclasses.dataclass(frozen=True)
class Route:
    """The powers of the score, rising, and the length r of the moves at each."""

    powers: tuple[float, ...] = ()
    reaches: tuple[float, ...] = ()

    @property
    def n_moves(self) -> int:
        """Of one latent."""
        return MOVES * len(self.powers)

    @property
    def end(self) -> float:
        """The last power; 0 where nothing is led."""
        return self.powers[-1] if self.powers else 0.0


@dataclasses.dataclass(frozen=True)
class Led:
    """Where latents [n, Z] came to, their scores [n] and the logarithms [n] of their weights."""

    latents: Float32
    scores: Float64
    log_weights: Float64


def follow(route: Route, score: Score, begun: Float32, noise: Float32, chances: Float64) -> Led:
    """Lead latents [n, Z] along a route, with normal numbers [n, n_moves, Z] and uniform ones [n, n_moves]."""
    at = Led(begun, score(begun), np.zeros(len(begun)))
    before, move = 0.0, 0
    for power, reach in zip(route.powers, route.reaches, strict=True):
        at = dataclasses.replace(at, log_weights=at.log_weights + (power - before) * at.scores)
        for _ in range(MOVES):
            at, _ = _moved(at, score, power, reach, noise[:, move], chances[:, move])
            move += 1
        before = power
    return at


def find(score: Score, size: int, wanted: float, rng: np.random.Generator) -> tuple[Route, float]:
    """The route that leads to a mean likelihood, exp(score), of `wanted`, and the logarithm of its mean weight.

    It is felt out by a few hundred chains. Where `wanted` is not reached, the route ends where it has come to.
    """
    begun = rng.standard_normal((_N_PILOT, size), dtype=np.float32)
    at = Led(begun, score(begun), np.zeros(_N_PILOT))
    powers: list[float] = []
    reaches: list[float] = []
    power, reach = 0.0, 0.5
    while np.exp(at.scores).mean() < wanted and power < LARGEST and len(powers) < _MOST_POWERS:
        power = float(f"{min(power + _rise(at), LARGEST):.4g}")
        at = dataclasses.replace(at, log_weights=at.log_weights + (power - (powers[-1] if powers else 0.0)) * at.scores)
        accepted = 0.0
        for _ in range(MOVES):
            noise = rng.standard_normal(begun.shape, dtype=np.float32)
            at, share = _moved(at, score, power, reach, noise, rng.random(_N_PILOT))
            accepted += share / MOVES
        powers.append(power)
        reaches.append(reach)
        reach = round(float(np.clip(reach * np.exp(accepted - _ACCEPTED), _SHORTEST, _LONGEST)), 3)
    largest = at.log_weights.max()
    log_mean = largest + np.log(np.exp(at.log_weights - largest).mean())
    return Route(tuple(powers), tuple(reaches)), round(float(log_mean), 3)


def _moved(at: Led, score: Score, power: float, reach: float, noise: Float32, chances: Float64) -> tuple[Led, float]:
    """After one move of each latent, and the share of those that were accepted."""
    kept = np.float32(np.sqrt(1 - reach**2))
    tried = kept * at.latents + np.float32(reach) * noise
    scores = score(tried)
    with np.errstate(divide="ignore"):
        accepted = np.log(chances) < power * (scores - at.scores)
    latents = np.where(accepted[:, None], tried, at.latents)
    moved = Led(latents, np.where(accepted, scores, at.scores), at.log_weights)
    return moved, float(accepted.mean())


def _rise(at: Led) -> float:
    """How much further the power may go in one step: the share _KEPT of the weighted chains stays effective."""
    weights = np.exp(at.log_weights - at.log_weights.max())
    weights /= weights.sum()
    low, high = 0.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        factors = np.exp(middle * (at.scores - at.scores.max()))
        kept = (weights * factors).sum() ** 2 / (weights * factors**2).sum()
        low, high = (middle, high) if kept > _KEPT else (low, middle)
    return low
