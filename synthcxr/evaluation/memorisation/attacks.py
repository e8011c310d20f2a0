"""Whether synthetic images copy films that were learnt from, whether films betray that they were, and duplicates.

Everything is asked in several spaces, in each of which an image has a nearest film: features of each extractor, and
pixels. No space sees every kind of copy, so each is tried on planted ones and says how many it found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthcxr.evaluation.memorisation import nearest_neighbour_test
from synthcxr.evaluation.memorisation.nearest_neighbour_test import Nearness
from synthcxr.evaluation.metrics import auroc, bootstrap
from synthcxr.evaluation.metrics.auroc import Estimate
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.evaluation.metrics.nearest_neighbours import Groups, Nearest

Float32 = NDArray[np.float32]
Object = NDArray[np.object_]

N_PAIRS = 20


class Near(Protocol):
    """The nearest of `held` to each of `queries`; `groups` keep a query from those of its own group."""

    def __call__(self, *, queries: Float32, held: Float32, groups: Groups | None = None) -> Nearest: ...


@dataclasses.dataclass(frozen=True)
class Space:
    """One space: what images, films learnt from, held-out films and planted copies become in it, a row each.

    `unseen` marks the learnt films that the space's own extractor did not learn on: only they are fair members.
    """

    near: Near
    synthetic: Float32
    learned: Float32
    held_out: Float32
    planted: Mapping[str, Float32]
    unseen: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Found:
    """The share of `n` planted copies of one kind that lie below the threshold, with Wilson's interval."""

    share: float
    interval: Interval
    n: int


@dataclasses.dataclass(frozen=True)
class Attack:
    """AUROC of telling films learnt from (`n_members`) from held-out ones by how near a synthetic image comes."""

    auroc: float
    interval: Interval
    low: float
    n_members: int
    n_controls: int


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its nearest film, by their positions; `rank` is the share of held-out films that lie nearer."""

    image: int
    film: int
    distance: float
    rank: float


@dataclasses.dataclass(frozen=True)
class Examined:
    """What one space says. `nearest` is of all images; `pairs` are the N_PAIRS closest, the closest first."""

    n_learned: int
    copies: Nearness
    found: dict[str, Found]
    attack: Attack
    duplicates: Nearness
    pairs: tuple[Pair, ...]
    nearest: Nearest

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which images [n] lie nearer to a learnt film than the null's 1st percentile."""
        return np.asarray(self.nearest.distance < self.copies.threshold)

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json: the figures of `copies` first, and no array."""
        return dataclasses.asdict(self.copies) | {
            "n_learned": self.n_learned,
            "found": {kind: dataclasses.asdict(found) for kind, found in self.found.items()},
            "attack": dataclasses.asdict(self.attack),
            "duplicates": dataclasses.asdict(self.duplicates),
            "pairs": [dataclasses.asdict(pair) for pair in self.pairs],
        }


def examine(
    space: Space, *, learned_patients: Object, held_out_patients: Object, n_bootstrap: int, rng: np.random.Generator
) -> Examined:
    """Ask everything of one space; the patients are those of its `learned` and `held_out` films."""
    found = space.near(queries=space.synthetic, held=space.learned)
    null = space.near(queries=space.held_out, held=space.learned).distance
    copies = nearest_neighbour_test.compare(
        synthetic=found.distance, null=null, null_patients=held_out_patients, n_bootstrap=n_bootstrap, rng=rng
    )
    return Examined(
        n_learned=len(space.learned),
        copies=copies,
        found={kind: _found(space, rows, copies.threshold) for kind, rows in space.planted.items()},
        attack=_attack(space, learned_patients, held_out_patients, n_bootstrap, rng),
        duplicates=_duplicates(space, learned_patients, n_bootstrap, rng),
        pairs=_pairs(found, null),
        nearest=found,
    )


def _found(space: Space, planted: Float32, threshold: float) -> Found:
    below = space.near(queries=planted, held=space.learned).distance < threshold
    return Found(float(below.mean()), bootstrap.wilson(int(below.sum()), len(below)), len(below))


def _attack(
    space: Space, learned_patients: Object, held_out_patients: Object, n_bootstrap: int, rng: np.random.Generator
) -> Attack:
    """Guess that a film was learnt from where a synthetic image lies near it."""
    films = np.concatenate([space.learned[space.unseen], space.held_out])
    distance = space.near(queries=films, held=space.synthetic).distance
    n_members = int(space.unseen.sum())
    guessed: Estimate = auroc.auroc_estimate(
        scores=-distance,
        truth=np.arange(len(films)) < n_members,
        patients=np.concatenate([learned_patients[space.unseen], held_out_patients]),
        n_bootstrap=n_bootstrap,
        rng=rng,
    )
    return Attack(guessed.value, (guessed.low, guessed.high), guessed.low, n_members, len(films) - n_members)


def _duplicates(space: Space, learned_patients: Object, n_bootstrap: int, rng: np.random.Generator) -> Nearness:
    """The nearest other synthetic image, against the nearest film of another patient, at equal N."""
    n = min(len(space.synthetic), len(space.learned))
    chosen = np.sort(rng.choice(len(space.learned), size=n, replace=False))
    films, patients = space.learned[chosen], learned_patients[chosen]
    made, each = space.synthetic[:n], np.arange(n).astype(object)
    return nearest_neighbour_test.compare(
        synthetic=space.near(queries=made, held=made, groups=(each, each)).distance,
        null=space.near(queries=films, held=films, groups=(patients, patients)).distance,
        null_patients=patients,
        n_bootstrap=n_bootstrap,
        rng=rng,
    )


def _pairs(found: Nearest, null: NDArray[np.float64]) -> tuple[Pair, ...]:
    ordered = np.sort(null)
    closest = np.argsort(found.distance, kind="stable")[:N_PAIRS]
    return tuple(
        Pair(int(i), int(found.at[i]), float(found.distance[i]), float((ordered < found.distance[i]).mean()))
        for i in closest
    )
