"""Which films models have seen: found again under any name, split and packing, and named nowhere."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data import film_dataset, images, leakage
from synthcxr.data.film_dataset import Dataset
from synthcxr.data.records import Film
from synthcxr.errors import ArtifactError

SPLITS = ("train", "judge", "val", "test")


def draw(folder: Path, n: int, seed: int) -> list[Path]:
    """Grey PNGs of 32 px: a slope and noise."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    ramp = np.linspace(-60, 60, 32)
    for at in range(n):
        pixels = 128 + rng.normal() * ramp[:, None] + rng.normal() * ramp + rng.normal(0, 10, (32, 32))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{at}.png")
    return sorted(folder.iterdir())


def pack(
    out: Path,
    files: Sequence[Path],
    sides: Sequence[str],
    *,
    resolution: int = 32,
    reader: str = "folder",
    name: str = "",
) -> Dataset:
    """The files as a packed dataset, each on its side, each a patient numbered in order."""
    films = [
        Film(
            image_index=f"{name}{path.name}",
            patient_id=str(at),
            source="here",
            view="PA",
            findings=(0.0,) * 14,
            read=functools.partial(images.read, path),
            read_size=functools.partial(images.read_size, path),
            origin=str(path),
        )
        for at, path in enumerate(files)
    ]
    split = {film.image_index: side for film, side in zip(films, sides, strict=True)}
    sources = [{"reader": reader, "names": ["here"], "films": len(films), "notes": []}]
    film_dataset.build(films, out=out, resolution=resolution, sides=split, on_bad="error", sources=sources)
    return film_dataset.open_dataset(out)


def test_a_film_is_known_again(tmp_path: Path) -> None:
    """Under another name, on another side and packed at another resolution a film that was learned from is counted."""
    files = draw(tmp_path / "films", 16, seed=1)
    learned = leakage.of(pack(tmp_path / "a", files, SPLITS * 4), leakage.LEARNED)
    assert len(learned.films) == 12
    again = pack(tmp_path / "b", files, ("test", "train", "train", "train") * 4, resolution=16, name="other-")
    assert leakage.of(again, ("test",)).among(learned) == (4, 0)


def test_other_films_are_not(tmp_path: Path) -> None:
    """Other films are none of them, though names and numbers of patients are the same; nor are films kept for test."""
    files, others = draw(tmp_path / "films", 16, seed=1), draw(tmp_path / "others", 16, seed=2)
    learned = leakage.of(pack(tmp_path / "a", files, SPLITS * 4), leakage.LEARNED)
    same = pack(tmp_path / "b", others, ["test"] * 16)
    assert leakage.of(same, ("test",)).among(learned) == (0, 0)
    assert leakage.of(film_dataset.open_dataset(tmp_path / "a"), ("test",)).among(learned) == (0, 0)


def test_nih_patients_are_known_by_their_numbers(tmp_path: Path) -> None:
    """Other films of the same NIH patients are seen; a folder's patients with the same numbers are somebody else."""
    files, others = draw(tmp_path / "films", 8, seed=1), draw(tmp_path / "others", 8, seed=2)
    learned = leakage.of(pack(tmp_path / "a", files, ["train"] * 8, reader="nih"), leakage.LEARNED)
    assert len(learned.patients) == 8
    nih = pack(tmp_path / "b", others, SPLITS * 2, reader="nih")
    assert leakage.of(nih, ("test",)).among(learned) == (0, 2)
    folder = pack(tmp_path / "c", others, SPLITS * 2)
    assert leakage.of(folder, ("test",)).among(learned) == (0, 0)


def test_what_ships_names_nobody(tmp_path: Path) -> None:
    """The arrays are sorted numbers and a fingerprint, none for a folder's patients, and come back as they were."""
    files = draw(tmp_path / "films", 8, seed=1)
    learned = leakage.of(pack(tmp_path / "a", files, ["train"] * 8), leakage.LEARNED)
    np.savez(tmp_path / "reference.npz", **learned.arrays(), counts=np.zeros(15))
    read = leakage.read(tmp_path / "reference.npz")
    assert read.training_data == learned.training_data
    assert read.films.tolist() == sorted(learned.films.tolist())
    assert read.films.dtype == np.uint64
    assert len(read.patients) == 0


def test_what_was_seen_earlier_is_kept_apart(tmp_path: Path) -> None:
    """A training that goes on from another's model holds both lists; where there was no other, the second is empty."""
    files = draw(tmp_path / "films", 8, seed=1)
    own, other = (
        leakage.of(pack(tmp_path / split, files, [split] * 4 + ["test"] * 4, name=split), (split,))
        for split in ("train", "val")
    )
    path = tmp_path / "seen.npz"
    np.savez(path, **own.arrays())
    assert len(leakage.read_earlier(path).films) == 0
    assert len(leakage.read_earlier(tmp_path / "absent.npz").films) == 0
    np.savez(path, **other.arrays(own.joined(own)))
    assert leakage.read(path).training_data == other.training_data
    assert leakage.read_earlier(path).films.tolist() == sorted(own.films.tolist())


def test_blank_films_tell_nothing(tmp_path: Path) -> None:
    """Two films of one grey are not taken for the same one."""
    path = tmp_path / "films" / "0.png"
    path.parent.mkdir()
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(path)
    assert len(leakage.of(pack(tmp_path / "a", [path], ["train"]), leakage.LEARNED).films) == 0


def test_a_file_that_does_not_say_is_an_error(tmp_path: Path) -> None:
    """No file, one of an earlier version or one cut short: a line that says to export again."""
    path = tmp_path / "reference.npz"
    with pytest.raises(ArtifactError, match=r"reference.npz: no such file; export"):
        leakage.read(path)
    np.savez(path, counts=np.zeros(15))
    with pytest.raises(ArtifactError, match="does not say which films the models saw"):
        leakage.read(path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ArtifactError, match="does not say which films the models saw"):
        leakage.read(path)


def test_real_nih_films_packed_at_two_resolutions(real_films: Path, tmp_path: Path) -> None:
    """Real films of 1024 px packed at 64 and at 256 px have the same digests, all different."""
    files = sorted((real_films / "nih_release_sample").glob("images_*/images/*.png"))[:8]
    held = [
        leakage.of(pack(tmp_path / str(side), files, ["train"] * len(files), resolution=side), leakage.LEARNED)
        for side in (64, 256)
    ]
    assert held[0].films.tolist() == held[1].films.tolist()
    assert len(set(held[0].films.tolist())) == len(files)
