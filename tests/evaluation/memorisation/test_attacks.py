from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from synthcxr.data import images
from synthcxr.evaluation.memorisation import attacks, pixel_index, planted_copies
from synthcxr.evaluation.memorisation.attacks import Examined, Space
from synthcxr.evaluation.metrics import nearest_neighbours

SIDE, N_LEARNED, N_HELD_OUT, N = 32, 240, 160, 200


def films(n: int, *, seed: int) -> np.ndarray:
    """Film-like uint8 [n, 32, 32]: one shared shape, and soft structure of each film's own."""
    shared = gaussian_filter(np.random.default_rng(0).standard_normal((SIDE, SIDE)), 5)
    own = gaussian_filter(np.random.default_rng(seed).standard_normal((n, SIDE, SIDE)), (0, 2.5, 2.5))
    unit = 0.5 + 0.2 * shared / shared.std() + 0.1 * own / own.std()
    return images.quantise(unit.astype(np.float32))


def features(pixels: np.ndarray) -> np.ndarray:
    """Stand-in features that forgive a little of everything: a few low frequencies of the image, scaled."""
    small = pixel_index.reduced(pixels)[:, 2:-2, 2:-2]
    centred = small - small.mean(axis=(1, 2), keepdims=True)
    centred /= centred.std(axis=(1, 2), keepdims=True)
    spectrum = np.abs(np.fft.rfft2(centred))[:, :6, :6].reshape(len(pixels), -1)
    return spectrum.astype(np.float32)


SPACES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], attacks.Near]] = {
    "pixels": (pixel_index.reduced, pixel_index.neighbours),
    "features": (features, nearest_neighbours.neighbours),
}
LEARNED, HELD_OUT = films(N_LEARNED, seed=1), films(N_HELD_OUT, seed=2)


def examine(name: str, synthetic: np.ndarray, *, learned: np.ndarray = LEARNED) -> Examined:
    see, near = SPACES[name]
    copied = planted_copies.copies(learned[:40], np.random.default_rng(4))
    space = Space(
        near=near,
        synthetic=see(synthetic),
        learned=see(learned),
        held_out=see(HELD_OUT),
        planted={kind: see(pixels) for kind, pixels in copied.items()},
        unseen=np.ones(len(learned), dtype=bool),
    )
    return attacks.examine(
        space,
        learned_patients=np.array([f"l{i // 2}" for i in range(len(learned))], dtype=object),
        held_out_patients=np.array([f"h{i // 2}" for i in range(N_HELD_OUT)], dtype=object),
        n_bootstrap=60,
        rng=np.random.default_rng(3),
    )


@pytest.mark.parametrize("name", SPACES)
def test_fresh_images_copy_nothing(name: str) -> None:
    """Images of the films' distribution: flagged as rarely as chance says, no film betrayed, no duplicate."""
    found = examine(name, films(N, seed=9))
    assert found.copies.share_low <= found.copies.expected
    assert found.copies.n_below_null <= 3
    assert found.attack.interval[0] < 0.5 < found.attack.interval[1]
    assert found.duplicates.share_low <= found.duplicates.expected
    assert found.flagged.sum() == round(found.copies.share * N)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", planted_copies.RULES)
def test_a_planted_copy_is_found(name: str, kind: str) -> None:
    """One copy of each kind among fresh images: flagged, the closest pair of all, beside the film it copies."""
    synthetic = films(N, seed=9)
    synthetic[17] = planted_copies.copies(LEARNED[[100]], np.random.default_rng(6))[kind][0]
    found = examine(name, synthetic)
    assert found.flagged[17]
    assert (found.pairs[0].image, found.pairs[0].film, found.pairs[0].rank) == (17, 100, 0.0)
    assert found.found[kind].share > (0.9 if name == "pixels" else 0.3)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", planted_copies.RULES)
def test_a_generator_that_copies_is_caught_by_every_question(name: str, kind: str) -> None:
    """Half of the images are copies of the same ninety films, of each kind: copies and betrayed members show."""
    synthetic = films(N, seed=9)
    synthetic[::2] = planted_copies.copies(LEARNED[np.arange(100) % 90], np.random.default_rng(6))[kind]
    found = examine(name, synthetic)
    assert found.copies.share_low > (0.3 if name == "pixels" else 0.05)
    assert found.attack.low > 0.5
    assert found.duplicates.n_below_null >= 10


@pytest.mark.parametrize(
    ("name", "kind"),
    [("pixels", kind) for kind in planted_copies.RULES]
    + [("features", kind) for kind in ("exact", "contrast", "noisy")],
)  # the stand-in features see a moved copy as a stranger; pixels are compared at every shift
def test_a_copy_of_another_image_is_a_duplicate(name: str, kind: str) -> None:
    """One image and an altered copy of it among fresh ones: both lie nearer to each other than chance brings films."""
    synthetic = films(N, seed=9)
    alone = examine(name, synthetic).duplicates
    synthetic[17] = planted_copies.copies(synthetic[[100]], np.random.default_rng(6))[kind][0]
    found = examine(name, synthetic).duplicates
    assert found.share == pytest.approx(alone.share + 2 / N)
    assert found.n_below_null == alone.n_below_null + 2


def test_duplicates_do_not_grow_with_the_set() -> None:
    """Of five times as many images as films the first are compared: in a larger crowd everybody has a nearer one."""
    found = examine("features", films(5 * N_LEARNED, seed=9)).duplicates
    assert (found.n, found.n_null) == (N_LEARNED, N_LEARNED)
    assert found.share_low <= found.expected


def test_what_the_extractor_learnt_on_is_no_member() -> None:
    """Only films that the space's extractor never learnt on stand for members in the attack."""
    see, near = SPACES["features"]
    unseen = np.arange(N_LEARNED) < 150
    space = Space(near, see(films(N, seed=9)), see(LEARNED), see(HELD_OUT), {}, unseen)
    found = attacks.examine(
        space,
        learned_patients=np.arange(N_LEARNED).astype(object),
        held_out_patients=np.arange(N_HELD_OUT).astype(object),
        n_bootstrap=10,
        rng=np.random.default_rng(3),
    )
    assert (found.attack.n_members, found.attack.n_controls, found.n_learned) == (150, N_HELD_OUT, N_LEARNED)


def test_the_figures_are_json_without_arrays() -> None:
    """`as_dict` holds the shares and twenty pairs, and survives JSON."""
    held = json.loads(json.dumps(examine("features", films(N, seed=9)).as_dict()))
    assert {"share", "share_low", "median_ratio", "detectable", "found", "attack", "duplicates", "pairs"} <= set(held)
    assert len(held["pairs"]) == attacks.N_PAIRS
    assert [pair["distance"] for pair in held["pairs"]] == sorted(pair["distance"] for pair in held["pairs"])
    assert set(held["found"]) == set(planted_copies.RULES)
    assert "nearest" not in held


def test_the_same_numbers_each_time() -> None:
    """No chance but that of the stream handed in."""
    first, second = (examine("pixels", films(N, seed=9)) for _ in range(2))
    assert dataclasses.astuple(first.copies) == dataclasses.astuple(second.copies)
    assert first.attack == second.attack
