from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.evaluation.memorisation import attacks, pixel_index
from synthcxr.evaluation.memorisation.attacks import FindNearest, MemorisationResult, Space, plant_copies
from synthcxr.evaluation.metrics import nearest_neighbours

SIDE, N_TRAINING, N_HELD_OUT, N_IMAGES = 32, 240, 160, 200


def draw_films(n: int, *, seed: int) -> np.ndarray:
    """Film-like uint8 [n, 32, 32]: a shared shape, and smooth structure that differs between films."""
    shared = gaussian_filter(np.random.default_rng(0).standard_normal((SIDE, SIDE)), 5)
    individual = gaussian_filter(np.random.default_rng(seed).standard_normal((n, SIDE, SIDE)), (0, 2.5, 2.5))
    unit = 0.5 + 0.2 * shared / shared.std() + 0.1 * individual / individual.std()
    return images.quantise(unit.astype(np.float32))


def compute_spectrum(pixels: np.ndarray) -> np.ndarray:
    """Stub features that change little under small alterations: a few low frequencies of the normalised image."""
    reduced = pixel_index.smooth_and_reduce(pixels)[:, 2:-2, 2:-2]
    normalised = reduced - reduced.mean(axis=(1, 2), keepdims=True)
    normalised /= normalised.std(axis=(1, 2), keepdims=True)
    spectrum = np.abs(np.fft.rfft2(normalised))[:, :6, :6].reshape(len(pixels), -1)
    return spectrum.astype(np.float32)


SPACES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], FindNearest]] = {
    "pixels": (pixel_index.smooth_and_reduce, pixel_index.find_nearest),
    "features": (compute_spectrum, nearest_neighbours.find_nearest),
}
TRAINING, HELD_OUT = draw_films(N_TRAINING, seed=1), draw_films(N_HELD_OUT, seed=2)


def run_attacks(space_name: str, synthetic: np.ndarray) -> MemorisationResult:
    represent, find_nearest = SPACES[space_name]
    copies = plant_copies(TRAINING[:40], np.random.default_rng(4))
    space = Space(
        find_nearest=find_nearest,
        synthetic=represent(synthetic),
        training=represent(TRAINING),
        held_out=represent(HELD_OUT),
        planted={kind: represent(pixels) for kind, pixels in copies.items()},
        training_strata=np.full(N_TRAINING, "films"),
        held_out_strata=np.full(N_HELD_OUT, "films"),
        unseen_by_extractor=np.ones(N_TRAINING, dtype=bool),
    )
    return attacks.run_attacks(
        space,
        training_patients=np.array([f"l{i // 2}" for i in range(N_TRAINING)], dtype=object),
        held_out_patients=np.array([f"h{i // 2}" for i in range(N_HELD_OUT)], dtype=object),
        n_bootstrap=60,
        rng=np.random.default_rng(3),
    )


@pytest.mark.parametrize("space_name", SPACES)
def test_new_images_show_no_memorisation(space_name: str) -> None:
    """Images of the films' distribution: as many flags as expected, no membership inference, no duplicates."""
    result = run_attacks(space_name, draw_films(N_IMAGES, seed=9))
    assert result.copies.share_low <= result.copies.expected
    assert result.copies.n_below_null <= 3
    assert result.membership.interval[0] < 0.5 < result.membership.interval[1]
    assert result.duplicates.share_low <= result.duplicates.expected
    assert result.flagged.sum() == round(result.copies.share * N_IMAGES)


@pytest.mark.parametrize("space_name", SPACES)
@pytest.mark.parametrize("kind", attacks.PLANTED_COPIES)
def test_one_copy_is_flagged_and_is_the_closest_pair(space_name: str, kind: str) -> None:
    """One copy of each kind among new images is flagged, and is the closest pair with the film that it copies."""
    synthetic = draw_films(N_IMAGES, seed=9)
    synthetic[17] = plant_copies(TRAINING[[100]], np.random.default_rng(6))[kind][0]
    result = run_attacks(space_name, synthetic)
    assert result.flagged[17]
    closest = result.pairs[0]
    assert (closest.image, closest.film, closest.rank) == (17, 100, 0.0)
    assert result.recall[kind].share > (0.9 if space_name == "pixels" else 0.3)


@pytest.mark.parametrize("space_name", SPACES)
@pytest.mark.parametrize("kind", attacks.PLANTED_COPIES)
def test_a_generator_that_copies_is_detected_by_every_test(space_name: str, kind: str) -> None:
    """If half of the images copy the same ninety films, copies, membership inference and duplicates show it."""
    synthetic = draw_films(N_IMAGES, seed=9)
    synthetic[::2] = plant_copies(TRAINING[np.arange(100) % 90], np.random.default_rng(6))[kind]
    result = run_attacks(space_name, synthetic)
    assert result.copies.share_low > (0.3 if space_name == "pixels" else 0.05)
    assert result.membership.low > 0.5
    assert result.duplicates.n_below_null >= 10


@pytest.mark.parametrize(
    ("space_name", "kind"),
    [("pixels", kind) for kind in attacks.PLANTED_COPIES]
    + [("features", kind) for kind in ("exact", "contrast", "noisy")],
)  # the stub features change with a shift; pixels are compared at every shift
def test_a_copy_of_another_image_is_a_duplicate(space_name: str, kind: str) -> None:
    """One image and an altered copy of it among new images are both closer to each other than films are."""
    synthetic = draw_films(N_IMAGES, seed=9)
    without_copy = run_attacks(space_name, synthetic).duplicates
    synthetic[17] = plant_copies(synthetic[[100]], np.random.default_rng(6))[kind][0]
    with_copy = run_attacks(space_name, synthetic).duplicates
    assert with_copy.share == pytest.approx(without_copy.share + 2 / N_IMAGES)
    assert with_copy.n_below_null == without_copy.n_below_null + 2


def test_duplicates_do_not_increase_with_the_size_of_the_set() -> None:
    """Of more images than films only as many are compared, since in a larger set all neighbours are closer."""
    duplicates = run_attacks("features", draw_films(5 * N_TRAINING, seed=9)).duplicates
    assert (duplicates.n, duplicates.n_null) == (N_TRAINING, N_TRAINING)
    assert duplicates.share_low <= duplicates.expected


def test_films_that_the_extractor_was_trained_on_are_not_members() -> None:
    """Membership inference counts only training films that the space's extractor was not trained on."""
    represent, find_nearest = SPACES["features"]
    space = Space(
        find_nearest=find_nearest,
        synthetic=represent(draw_films(N_IMAGES, seed=9)),
        training=represent(TRAINING),
        held_out=represent(HELD_OUT),
        planted={},
        training_strata=np.full(N_TRAINING, "films"),
        held_out_strata=np.full(N_HELD_OUT, "films"),
        unseen_by_extractor=np.arange(N_TRAINING) < 150,
    )
    result = attacks.run_attacks(
        space,
        training_patients=np.arange(N_TRAINING).astype(object),
        held_out_patients=np.arange(N_HELD_OUT).astype(object),
        n_bootstrap=10,
        rng=np.random.default_rng(3),
    )
    counts = result.membership.n_members, result.membership.n_controls, result.n_training
    assert counts == (150, N_HELD_OUT, N_TRAINING)


SPREAD = 0.02


def run_attacks_on_two_sources(synthetic: np.ndarray, *, seed: int = 3) -> MemorisationResult:
    """Features of two sources, the second with training films only, which are nearer to each other than the others."""
    rng = np.random.default_rng(8)
    first, held_out = rng.standard_normal((60, 12)), rng.standard_normal((60, 12))
    second = 5 + SPREAD * rng.standard_normal((240, 12))
    space = Space(
        find_nearest=nearest_neighbours.find_nearest,
        synthetic=synthetic.astype(np.float32),
        training=np.concatenate([first, second]).astype(np.float32),
        held_out=held_out.astype(np.float32),
        planted={},
        training_strata=np.repeat(["first", "second"], (60, 240)),
        held_out_strata=np.full(60, "first"),
        unseen_by_extractor=np.ones(300, dtype=bool),
    )
    return attacks.run_attacks(
        space,
        training_patients=np.arange(300).astype(object),
        held_out_patients=np.array([f"h{i}" for i in range(60)], dtype=object),
        n_bootstrap=60,
        rng=np.random.default_rng(seed),
    )


def test_a_source_without_held_out_films_is_compared_with_its_own_films() -> None:
    """New images like a dense source of training films are no copies, although held-out films are never so near."""
    new_images = 5 + SPREAD * np.random.default_rng(9).standard_normal((200, 12))
    result = run_attacks_on_two_sources(new_images)
    assert result.n_null_training == 240
    assert result.copies.n_null == 60 + 240
    assert result.held_out_only is not None and result.held_out_only.n_null == 60
    assert result.held_out_only.share > 0.9, "the dense source seems copied without films of its kind"
    assert result.copies.share_low <= result.copies.expected
    assert (result.membership.n_members, result.membership.n_controls) == (60, 60)
    assert result.membership.interval[0] < 0.5 < result.membership.interval[1]


def test_copies_of_a_source_without_held_out_films_are_flagged() -> None:
    """Images that repeat films of the dense source are flagged."""
    rng = np.random.default_rng(8)
    rng.standard_normal((120, 12))
    copied = 5 + SPREAD * rng.standard_normal((240, 12))
    result = run_attacks_on_two_sources(copied[:40] + SPREAD / 50)
    assert result.flagged.all()


def run_attacks_on_strata(n_training: dict[str, int], n_held_out: dict[str, int]) -> MemorisationResult:
    """Random features of these numbers of films by stratum."""
    training = np.repeat(list(n_training), list(n_training.values()))
    held_out = np.repeat(list(n_held_out), list(n_held_out.values()))
    rng = np.random.default_rng(2)
    space = Space(
        find_nearest=nearest_neighbours.find_nearest,
        synthetic=rng.standard_normal((50, 4)).astype(np.float32),
        training=rng.standard_normal((len(training), 4)).astype(np.float32),
        held_out=rng.standard_normal((len(held_out), 4)).astype(np.float32),
        planted={},
        training_strata=training,
        held_out_strata=held_out,
        unseen_by_extractor=np.ones(len(training), dtype=bool),
    )
    return attacks.run_attacks(
        space,
        training_patients=np.arange(len(training)).astype(object),
        held_out_patients=np.array([f"h{i}" for i in range(len(held_out))], dtype=object),
        n_bootstrap=5,
        rng=np.random.default_rng(3),
    )


@pytest.mark.parametrize(
    ("n_training", "n_held_out", "n_null_training"),
    [
        ({"a": 60, "b": 240}, {"a": 30}, 120),  # half as many films of b as of its training films, as of a
        ({"a": 60, "b": 240}, {"a": 30, "b": 2}, 0.1067 * 240 - 2),  # 32 of 300: two films of b are too few
        ({"a": 60, "b": 240}, {"a": 30, "b": 100}, 0),
        ({"b": 240}, {"a": 30}, 240),  # no held-out film is of the kind of a training film
    ],
)
def test_training_films_stand_in_for_held_out_films_that_are_missing(
    n_training: dict[str, int], n_held_out: dict[str, int], n_null_training: float
) -> None:
    """The null has each kind of film about as often as the training films."""
    result = run_attacks_on_strata(n_training, n_held_out)
    assert result.n_null_training == pytest.approx(n_null_training, abs=1)


def test_membership_inference_without_films_of_one_kind_is_undefined() -> None:
    """No pair of a training film and a held-out film of its kind: no AUROC, and still JSON."""
    result = run_attacks_on_strata({"b": 240}, {"a": 30})
    assert dataclasses.astuple(result.membership) == (None, (None, None), None, 0, 0)
    json.dumps(result.as_dict(), allow_nan=False)


def test_the_result_is_json_without_arrays() -> None:
    """`as_dict` contains the shares and twenty pairs, and no array."""
    entry = json.loads(json.dumps(run_attacks("features", draw_films(N_IMAGES, seed=9)).as_dict()))
    assert {"share", "share_low", "median_ratio", "detectable", "found", "attack", "duplicates", "pairs"} <= set(entry)
    assert len(entry["pairs"]) == attacks.N_PAIRS
    assert [pair["distance"] for pair in entry["pairs"]] == sorted(pair["distance"] for pair in entry["pairs"])
    assert set(entry["found"]) == set(attacks.PLANTED_COPIES)
    assert "nearest" not in entry


def test_results_are_reproducible() -> None:
    """All random numbers come from the given stream."""
    first, second = (run_attacks("pixels", draw_films(N_IMAGES, seed=9)) for _ in range(2))
    assert dataclasses.astuple(first.copies) == dataclasses.astuple(second.copies)
    assert first.membership == second.membership
