"""Recognising training films and patients among films of any name, split and resolution."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data import images
from synthcxr.data.film_dataset import FilmDataset, build_film_dataset, open_film_dataset
from synthcxr.data.films import Film
from synthcxr.data.leakage import SPLITS_SEEN_IN_TRAINING, TrainingFilms
from synthcxr.errors import ArtifactError

SPLITS = ("train", "judge", "val", "test")


def draw(folder: Path, n: int, seed: int) -> list[Path]:
    """Draw grey PNGs of 32 px: a gradient with noise."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    ramp = np.linspace(-60, 60, 32)
    for index in range(n):
        pixels = 128 + rng.normal() * ramp[:, None] + rng.normal() * ramp + rng.normal(0, 10, (32, 32))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


def pack(
    out: Path,
    files: Sequence[Path],
    splits: Sequence[str],
    *,
    resolution: int = 32,
    reader: str = "folder",
    name: str = "",
) -> FilmDataset:
    """Pack the files, each in its split; patients are numbered in the order of the files."""
    films = [
        Film(
            image_index=f"{name}{path.name}",
            patient_id=str(index),
            source="here",
            view="PA",
            findings=(0.0,) * 14,
            read=functools.partial(images.read, path),
            read_size=functools.partial(images.read_shorter_side, path),
            origin=str(path),
        )
        for index, path in enumerate(files)
    ]
    split_of = {film.image_index: split for film, split in zip(films, splits, strict=True)}
    sources = [{"reader": reader, "names": ["here"], "films": len(films), "notes": []}]
    build_film_dataset(films, out=out, resolution=resolution, splits=split_of, on_bad="error", sources=sources)
    return open_film_dataset(out)


def test_training_films_are_recognised(tmp_path: Path) -> None:
    """A training film is counted under another name, in another split and at another packed resolution."""
    files = draw(tmp_path / "films", 16, seed=1)
    learned = TrainingFilms.from_dataset(pack(tmp_path / "a", files, SPLITS * 4), SPLITS_SEEN_IN_TRAINING)
    assert len(learned.films) == 12
    repacked = pack(tmp_path / "b", files, ("test", "train", "train", "train") * 4, resolution=16, name="other-")
    assert TrainingFilms.from_dataset(repacked, ("test",)).count_overlap(learned) == (4, 0)


def test_other_films_are_not_recognised(tmp_path: Path) -> None:
    """Other films with the same names and patient numbers are not counted, and neither are the test films."""
    files, others = draw(tmp_path / "films", 16, seed=1), draw(tmp_path / "others", 16, seed=2)
    learned = TrainingFilms.from_dataset(pack(tmp_path / "a", files, SPLITS * 4), SPLITS_SEEN_IN_TRAINING)
    namesakes = pack(tmp_path / "b", others, ["test"] * 16)
    assert TrainingFilms.from_dataset(namesakes, ("test",)).count_overlap(learned) == (0, 0)
    assert TrainingFilms.from_dataset(open_film_dataset(tmp_path / "a"), ("test",)).count_overlap(learned) == (0, 0)


def test_nih_patients_are_recognised_by_their_numbers(tmp_path: Path) -> None:
    """Other films of NIH training patients are counted; patients of a folder with the same numbers are not."""
    files, others = draw(tmp_path / "films", 8, seed=1), draw(tmp_path / "others", 8, seed=2)
    learned = TrainingFilms.from_dataset(
        pack(tmp_path / "a", files, ["train"] * 8, reader="nih"), SPLITS_SEEN_IN_TRAINING
    )
    assert len(learned.patients) == 8
    nih = pack(tmp_path / "b", others, SPLITS * 2, reader="nih")
    assert TrainingFilms.from_dataset(nih, ("test",)).count_overlap(learned) == (0, 2)
    folder = pack(tmp_path / "c", others, SPLITS * 2)
    assert TrainingFilms.from_dataset(folder, ("test",)).count_overlap(learned) == (0, 0)


def test_the_arrays_identify_no_patient(tmp_path: Path) -> None:
    """The arrays are sorted digests and a fingerprint, without a folder's patients, and can be read again."""
    files = draw(tmp_path / "films", 8, seed=1)
    learned = TrainingFilms.from_dataset(pack(tmp_path / "a", files, ["train"] * 8), SPLITS_SEEN_IN_TRAINING)
    np.savez(tmp_path / "reference.npz", **learned.to_arrays(), counts=np.zeros(15))
    read = TrainingFilms.read(tmp_path / "reference.npz")
    assert read.training_data == learned.training_data
    assert read.films.tolist() == sorted(learned.films.tolist())
    assert read.films.dtype == np.uint64
    assert len(read.patients) == 0


def test_earlier_training_films_are_a_list_of_their_own(tmp_path: Path) -> None:
    """A training that starts from another model has both lists; without one, the earlier list is empty."""
    files = draw(tmp_path / "films", 8, seed=1)
    own, other = (
        TrainingFilms.from_dataset(pack(tmp_path / split, files, [split] * 4 + ["test"] * 4, name=split), (split,))
        for split in ("train", "val")
    )
    path = tmp_path / "seen.npz"
    np.savez(path, **own.to_arrays())
    assert len(TrainingFilms.read_earlier(path).films) == 0
    assert len(TrainingFilms.read_earlier(tmp_path / "absent.npz").films) == 0
    np.savez(path, **other.to_arrays(own.union(own)))
    assert TrainingFilms.read(path).training_data == other.training_data
    assert TrainingFilms.read_earlier(path).films.tolist() == sorted(own.films.tolist())


def test_uniform_films_are_left_out(tmp_path: Path) -> None:
    """Two films whose smallest square has one grey level are not taken for the same film."""
    path = tmp_path / "films" / "0.png"
    path.parent.mkdir()
    Image.fromarray(np.tile(np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8), (4, 4))).save(path)
    assert len(TrainingFilms.from_dataset(pack(tmp_path / "a", [path], ["train"]), SPLITS_SEEN_IN_TRAINING).films) == 0


def test_a_file_without_digests_is_an_error(tmp_path: Path) -> None:
    """An absent file, one without the arrays and a truncated one each give a line that says to export again."""
    path = tmp_path / "reference.npz"
    with pytest.raises(ArtifactError, match=r"reference.npz: no such file; export"):
        TrainingFilms.read(path)
    np.savez(path, counts=np.zeros(15))
    with pytest.raises(ArtifactError, match=r"lacks the arrays training_data, .*; export"):
        TrainingFilms.read(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ArtifactError, match="not readable as npz .*; export"):
        TrainingFilms.read(path)


def test_real_nih_films_packed_at_two_resolutions(real_films: Path, tmp_path: Path) -> None:
    """Real films of 1024 px have the same, distinct digests when packed at 64 and at 256 px."""
    files = sorted((real_films / "nih_release_sample").glob("images_*/images/*.png"))[:8]
    small, large = [
        TrainingFilms.from_dataset(
            pack(tmp_path / str(side), files, ["train"] * len(files), resolution=side), SPLITS_SEEN_IN_TRAINING
        )
        for side in (64, 256)
    ]
    assert small.films.tolist() == large.films.tolist()
    assert len(set(small.films.tolist())) == len(files)
