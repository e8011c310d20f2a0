"""Tests of memorisation: copies of training films, membership inference, and duplicates among the images.

Each test is run in several spaces, in each of which an image has a nearest film: the features of each extractor, and
pixels. No space shows every kind of copy. So planted copies of films measure the recall of each space.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import images
from synthcxr.data.images import Float32, UInt8
from synthcxr.data.share_interval import wilson_interval
from synthcxr.evaluation.memorisation import nearest_neighbour_test
from synthcxr.evaluation.memorisation.nearest_neighbour_test import FlaggedShare, NearestNeighbourTest
from synthcxr.evaluation.metrics import auroc
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.evaluation.metrics.nearest_neighbours import Groups, Neighbours

Object = NDArray[np.object_]

N_PAIRS = 20
MAX_NULL_TRAINING = 5000
"""The most training films that stand in for held-out films: each is compared with all training films."""
_MIN_SHARE_HELD_OUT = 0.5
_SHIFT_SHARE = 1 / 32
_CONTRAST, _BRIGHTNESS, _NOISE = 0.7, 0.05, 0.03
PLANTED_COPIES = {
    "exact": "the same pixels",
    "shifted": "moved down and to the right by 1/32 of the side, edges repeated",
    "contrast": f"contrast x {_CONTRAST}, brightness + {_BRIGHTNESS} of the range",
    "noisy": f"Gaussian noise of {_NOISE} of the range",
}
"""The kinds of planted copies, each with its rule."""


class FindNearest(Protocol):
    """Finds the nearest reference of each query; `groups` exclude references of the query's own group."""

    def __call__(self, *, queries: Float32, references: Float32, groups: Groups | None = None) -> Neighbours: ...


@dataclasses.dataclass(frozen=True)
class Space:
    """The representations in one space, one row for each image, training film, held-out film and planted copy.

    A stratum is a kind of film, such as the labelled films of one source. `unseen_by_extractor` marks training films
    of the GAN that the space's extractor was not itself trained on. Only they are members in the membership inference.
    """

    find_nearest: FindNearest
    synthetic: Float32
    training: Float32
    held_out: Float32
    planted: Mapping[str, Float32]
    training_strata: NDArray[np.str_]
    held_out_strata: NDArray[np.str_]
    unseen_by_extractor: NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class PlantedCopyRecall:
    """The share of `n` planted copies of one kind that are below the threshold, with Wilson's interval."""

    share: float
    interval: Interval
    n: int


@dataclasses.dataclass(frozen=True)
class MembershipInference:
    """AUROC of telling training films (`n_members`) from held-out films of their stratum by the nearest image.

    None if there are no such pairs.
    """

    auroc: float | None
    interval: tuple[float | None, float | None]
    low: float | None
    n_members: int
    n_controls: int


@dataclasses.dataclass(frozen=True)
class ClosestPair:
    """The indices of an image and its nearest film; `rank` is the share of held-out films with a smaller distance."""

    image: int
    film: int
    distance: float
    rank: float


@dataclasses.dataclass(frozen=True)
class MemorisationResult:
    """The results in one space: `nearest` covers all images, `pairs` the N_PAIRS closest, in order of distance.

    The null of `copies` has the held-out films, and `n_null_training` training films that stand in for missing ones.
    If there are such training films, `held_out_only` is the share of flagged images with the held-out films alone as
    the null.
    """

    n_training: int
    n_null_training: int
    copies: NearestNeighbourTest
    recall: dict[str, PlantedCopyRecall]
    membership: MembershipInference
    duplicates: NearestNeighbourTest
    pairs: tuple[ClosestPair, ...]
    nearest: Neighbours
    held_out_only: FlaggedShare | None

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which images [n] are closer to a training film than the threshold, the null's 1st percentile."""
        return np.asarray(self.nearest.distance < self.copies.threshold)

    def as_dict(self) -> dict[str, Any]:
        """The entry in metrics.json: the fields of `copies` first, without arrays."""
        return dataclasses.asdict(self.copies) | {
            "n_learned": self.n_training,
            "n_null_training": self.n_null_training,
            "held_out_only": None if self.held_out_only is None else dataclasses.asdict(self.held_out_only),
            "found": {kind: dataclasses.asdict(recall) for kind, recall in self.recall.items()},
            "attack": dataclasses.asdict(self.membership),
            "duplicates": dataclasses.asdict(self.duplicates),
            "pairs": [dataclasses.asdict(pair) for pair in self.pairs],
        }


def plant_copies(films: UInt8, rng: np.random.Generator) -> dict[str, UInt8]:
    """Make each kind of PLANTED_COPIES from films uint8 [n, R, R], in their order."""
    unit, step = films.astype(np.float32) / np.float32(255), max(1, round(films.shape[1] * _SHIFT_SHARE))
    shifted = np.pad(unit, ((0, 0), (step, 0), (step, 0)), mode="edge")[:, :-step, :-step]
    noise = rng.standard_normal(unit.shape, dtype=np.float32) * np.float32(_NOISE)
    contrast = np.float32(0.5) + np.float32(_CONTRAST) * (unit - np.float32(0.5)) + np.float32(_BRIGHTNESS)
    copies = {"exact": unit, "shifted": shifted, "contrast": contrast, "noisy": unit + noise}
    return {kind: images.quantise(copies[kind]) for kind in PLANTED_COPIES}


def run_attacks(
    space: Space, *, training_patients: Object, held_out_patients: Object, n_bootstrap: int, rng: np.random.Generator
) -> MemorisationResult:
    """Run every test in one space; the patients are those of its training films and held-out films.

    Films of one stratum can be nearer to each other than films of another, copied or not. So the null has films of all
    strata of the training films, about in their proportions: where a stratum has few held-out films or none, training
    films stand in for them, each compared with those of other patients.
    """
    nearest = space.find_nearest(queries=space.synthetic, references=space.training)
    held_out = null = space.find_nearest(queries=space.held_out, references=space.training).distance
    chosen = _choose_null_training_films(space, rng)
    if len(chosen):
        _, codes = np.unique(training_patients.astype(str), return_inverse=True)
        groups = codes[chosen], codes
        others = space.find_nearest(queries=space.training[chosen], references=space.training, groups=groups)
        null = np.concatenate([null, others.distance])
    copies = nearest_neighbour_test.compare_distances(
        synthetic=nearest.distance,
        null=null,
        null_patients=np.concatenate([held_out_patients, training_patients[chosen]]),
        n_bootstrap=n_bootstrap,
        rng=rng,
    )
    return MemorisationResult(
        n_training=len(space.training),
        n_null_training=len(chosen),
        copies=copies,
        recall={kind: _measure_recall(space, rows, copies.threshold) for kind, rows in space.planted.items()},
        membership=_infer_membership(space, training_patients, held_out_patients, n_bootstrap, rng),
        duplicates=_test_duplicates(space, training_patients, n_bootstrap, rng),
        pairs=_select_closest_pairs(nearest, null),
        nearest=nearest,
        held_out_only=None
        if not len(chosen)
        else nearest_neighbour_test.estimate_flagged_share(
            synthetic=nearest.distance,
            null=held_out,
            null_patients=held_out_patients,
            n_bootstrap=n_bootstrap,
            rng=rng,
        ),
    )


def _choose_null_training_films(space: Space, rng: np.random.Generator) -> NDArray[np.int64]:
    """The training films that stand in for held-out films in the null, at most MAX_NULL_TRAINING.

    Each stratum should have as many held-out films per training film as all of them together, among the strata that
    have both. One that has less than half of that gets training films for what is missing.
    """
    n_training = Counter(space.training_strata.tolist())
    n_held_out = Counter(stratum for stratum in space.held_out_strata.tolist() if stratum in n_training)
    n_with_both = sum(n_training[stratum] for stratum in n_held_out)
    rate = n_held_out.total() / n_with_both if n_with_both else 1.0
    chosen = [np.empty(0, np.int64)]
    for stratum in sorted(n_training):
        due, present = round(rate * n_training[stratum]), n_held_out[stratum]
        if present < _MIN_SHARE_HELD_OUT * due:
            films = np.flatnonzero(space.training_strata == stratum)
            n = min(due - present, len(films))
            chosen.append(films if n == len(films) else np.sort(rng.choice(films, size=n, replace=False)))
    films = np.sort(np.concatenate(chosen))
    if len(films) <= MAX_NULL_TRAINING:
        return films
    return np.sort(rng.choice(films, size=MAX_NULL_TRAINING, replace=False))


def _measure_recall(space: Space, planted: Float32, threshold: float) -> PlantedCopyRecall:
    below = space.find_nearest(queries=planted, references=space.training).distance < threshold
    return PlantedCopyRecall(
        share=float(below.mean()), interval=wilson_interval(int(below.sum()), len(below)), n=len(below)
    )


def _infer_membership(
    space: Space, training_patients: Object, held_out_patients: Object, n_bootstrap: int, rng: np.random.Generator
) -> MembershipInference:
    """Predict that a film is a training film if a synthetic image is near it, among films of one stratum."""
    is_member = space.unseen_by_extractor & np.isin(space.training_strata, space.held_out_strata)
    is_control = np.isin(space.held_out_strata, space.training_strata[is_member])
    n_members, n_controls = int(is_member.sum()), int(is_control.sum())
    if not n_members or not n_controls:
        return MembershipInference(None, (None, None), None, n_members, n_controls)
    films = np.concatenate([space.training[is_member], space.held_out[is_control]])
    distance = space.find_nearest(queries=films, references=space.synthetic).distance
    estimate = auroc.estimate_auroc_within_strata(
        scores=-distance,
        truth=np.arange(len(films)) < n_members,
        strata=np.concatenate([space.training_strata[is_member], space.held_out_strata[is_control]]),
        patients=np.concatenate([training_patients[is_member], held_out_patients[is_control]]),
        n_bootstrap=n_bootstrap,
        rng=rng,
    )
    return MembershipInference(
        auroc=estimate.value,
        interval=(estimate.low, estimate.high),
        low=estimate.low,
        n_members=n_members,
        n_controls=n_controls,
    )


def _test_duplicates(
    space: Space, training_patients: Object, n_bootstrap: int, rng: np.random.Generator
) -> NearestNeighbourTest:
    """Compare the nearest other image of an image with the nearest film of another patient of a film, at equal N."""
    n = min(len(space.synthetic), len(space.training))
    chosen = np.sort(rng.choice(len(space.training), size=n, replace=False))
    films, patients = space.training[chosen], training_patients[chosen]
    synthetic, own_group = space.synthetic[:n], np.arange(n).astype(object)
    synthetic_nearest = space.find_nearest(queries=synthetic, references=synthetic, groups=(own_group, own_group))
    film_nearest = space.find_nearest(queries=films, references=films, groups=(patients, patients))
    return nearest_neighbour_test.compare_distances(
        synthetic=synthetic_nearest.distance,
        null=film_nearest.distance,
        null_patients=patients,
        n_bootstrap=n_bootstrap,
        rng=rng,
    )


def _select_closest_pairs(nearest: Neighbours, null: NDArray[np.float64]) -> tuple[ClosestPair, ...]:
    return tuple(
        ClosestPair(
            image=int(image),
            film=int(nearest.index[image]),
            distance=float(nearest.distance[image]),
            rank=float((null < nearest.distance[image]).mean()),
        )
        for image in np.argsort(nearest.distance, kind="stable")[:N_PAIRS]
    )
