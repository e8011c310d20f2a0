"""Finding films that show the same picture among packed films."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.in_memory_film import InMemoryFilm

from synthcxr.data import images
from synthcxr.data.film_packing import pack_films
from synthcxr.data.films import Film
from synthcxr.data.same_films import find_same_films
from synthcxr.readers import nih, phantom

N_FILMS = 24
SIDE = 64
ORIGINAL = phantom.draw_film(1, 3, SIDE)


def find_groups(pictures: Mapping[str, np.ndarray], folder: Path, resolution: int = SIDE) -> list[tuple[str, ...]]:
    """The names of the films in each group that `find_same_films` finds among packed pictures."""
    films = []
    for name, pixels in pictures.items():
        picture = InMemoryFilm(pixels)
        films.append(Film(name, name, "here", "PA", (0.0,) * 14, picture.read, picture.read_size, name))
    packed = pack_films(films, out=folder, resolution=resolution, on_bad="error")
    names = [entry.film.image_index for entry in packed.films]
    return [tuple(names[row] for row in group) for group in find_same_films(folder, resolution)]


def draw_films(side: int = SIDE) -> dict[str, np.ndarray]:
    """Films of different patients, of which b03 is the original of the copies."""
    return {f"b{index:02}": phantom.draw_film(1, index, side) for index in range(N_FILMS)}


def encode_as_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """The film after JPEG compression."""
    data = io.BytesIO()
    Image.fromarray(images.quantise(pixels)).save(data, "JPEG", quality=quality)
    return np.asarray(Image.open(data), dtype=np.float32) / 255


def resize(pixels: np.ndarray, side: int) -> np.ndarray:
    """The film at another side, resampled by Lanczos."""
    return np.clip(np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS)), 0, 1)


COPIES = {
    "the same pixels": ORIGINAL,
    "JPEG of quality 90": encode_as_jpeg(ORIGINAL, 90),
    "JPEG of quality 40": encode_as_jpeg(ORIGINAL, 40),
    "half the size": resize(ORIGINAL, SIDE // 2),
    "another size": resize(ORIGINAL, 100),
    "other brightness and contrast": 0.2 + 0.6 * ORIGINAL,
    "another gamma": ORIGINAL**1.1,
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_copies_are_found(copy: np.ndarray, tmp_path: Path) -> None:
    """A copy in another format, size or scale of grey is in one group with its original, and with no other film."""
    assert find_groups(draw_films() | {"c": copy}, tmp_path) == [("b03", "c")]


@pytest.mark.parametrize("side", [8, 16, 32, 64])
def test_different_films_are_not_joined(side: int, tmp_path: Path) -> None:
    """Films of different patients are in no group, at any side."""
    assert find_groups({str(n): phantom.draw_film(1, n, side) for n in range(60)}, tmp_path, side) == []


def test_copies_of_a_copy_are_one_group(tmp_path: Path) -> None:
    """Three copies of one film and two of another give two groups, in the order of their first films."""
    films = draw_films()
    copies = {"c": ORIGINAL, "d": encode_as_jpeg(ORIGINAL, 60), "a": films["b07"]}
    assert find_groups(films | copies, tmp_path) == [("a", "b07"), ("b03", "c", "d")]


def test_films_too_small_to_compare_must_be_equal(tmp_path: Path) -> None:
    """At 8 px, an equal film is a copy, and a similar one is not."""
    films = draw_films(8)
    similar = np.clip(films["b03"] + np.linspace(0, 0.1, 8, dtype=np.float32), 0, 1)
    assert find_groups(films | {"equal": films["b03"], "similar": similar}, tmp_path, 8) == [("b03", "equal")]


def test_noise_that_many_films_share_joins_no_film(tmp_path: Path) -> None:
    """Films that differ in a part of the picture only are not the same, though most of their pixels are."""
    patch = {}
    for index in range(4):
        pixels = ORIGINAL.copy()
        pixels[16 * index : 16 * index + 16, 8:40] = 1 - pixels[16 * index : 16 * index + 16, 8:40]
        patch[str(index)] = pixels
    assert find_groups(patch, tmp_path) == []


def test_real_films_of_different_patients_are_not_joined(tmp_path: Path) -> None:
    """Among 1,282 NIH films, only two films of one patient show the same picture."""
    root = os.environ.get("SYNTHCXR_TEST_FILMS")
    if not root:
        pytest.skip("no real films: set SYNTHCXR_TEST_FILMS to the folder that contains nih_256/")
    films = list(nih.read_films(str(Path(root) / "nih_256")))
    packed = pack_films(films, out=tmp_path, resolution=64, on_bad="error")
    groups = [[packed.films[row].film for row in group] for group in find_same_films(tmp_path, 64)]
    assert [[film.image_index for film in group] for group in groups] == [["00002658_001.png", "00002658_002.png"]]
