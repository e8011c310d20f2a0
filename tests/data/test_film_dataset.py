"""Building and opening a packed dataset."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.file_digests import digest_files

from synthcxr.data import images
from synthcxr.data.film_dataset import build_film_dataset, has_only_dataset_files, open_film_dataset
from synthcxr.data.films import MANIFEST_FILE, Film
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.storage import digests


def _film(path: Path, *, patient: str = "1", findings: Sequence[float] = (0.0,) * 14, origin: str = "") -> Film:
    return Film(
        image_index=path.name,
        patient_id=patient,
        source="a",
        view="PA",
        findings=tuple(findings),
        read=functools.partial(images.read, path),
        read_size=functools.partial(images.read_shorter_side, path),
        origin=origin or str(path),
    )


def _write(folder: Path, name: str, size: tuple[int, int]) -> Path:
    """Write a grey PNG of noise, seeded by its name."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(sum(name.encode())).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


@pytest.fixture
def films(tmp_path: Path) -> list[Film]:
    """Films of 8, 16, 40 and 32 px, of three patients."""
    folder = tmp_path / "films"
    unknown_mass = [float("nan") if finding == "Mass" else float(finding == "Edema") for finding in FINDINGS]
    return [
        _film(_write(folder, "d.png", (32, 32)), patient="3", findings=unknown_mass),
        _film(_write(folder, "a.png", (8, 8)), patient="1"),
        _film(_write(folder, "c.png", (40, 50)), patient="2"),
        _film(_write(folder, "b.png", (16, 20)), patient="1"),
    ]


SPLITS = {"a.png": "train", "b.png": "train", "c.png": "judge", "d.png": "test"}


def test_a_film_is_packed_only_up_to_its_own_resolution(films: list[Film], tmp_path: Path) -> None:
    """Films of 8, 16, 40 and 32 px give four images at 8 px, three at 16 px and two at 32 px."""
    report = build_film_dataset(films, out=tmp_path / "cxr", resolution=32, splits=SPLITS, on_bad="error")
    assert report.by_resolution == {4: 4, 8: 4, 16: 3, 32: 2}
    packed = open_film_dataset(tmp_path / "cxr")
    assert packed.rows(16).tolist() == [1, 2, 3]
    assert packed.memmap(16).shape == (3, 16, 16)
    assert packed.manifest["size"].tolist() == [8, 16, 40, 32]


def test_rows_match_images_with_the_manifest(films: list[Film], tmp_path: Path) -> None:
    """Each image is the reduced centre square of the film in its manifest row, which has the image's sha256."""
    build_film_dataset(films, out=tmp_path / "cxr", resolution=32, splits=SPLITS, on_bad="error")
    packed = open_film_dataset(tmp_path / "cxr")
    by_name = {film.image_index: film for film in films}
    for pixels, row in zip(packed.memmap(32), packed.rows(32), strict=True):
        entry = packed.manifest.iloc[row]
        film = by_name[entry["image_index"]]
        expected = images.quantise(images.resize(images.crop_square(film.read()), 32))
        np.testing.assert_array_equal(pixels, expected)
        assert entry["sha256"] == digests.sha256_bytes(expected.tobytes())


def test_images_of_splits_have_their_findings_and_patients(films: list[Film], tmp_path: Path) -> None:
    """`images` returns only the images of the splits; `findings` keeps an unknown finding as NaN."""
    build_film_dataset(films, out=tmp_path / "cxr", resolution=16, splits=SPLITS, on_bad="error")
    packed = open_film_dataset(tmp_path / "cxr")
    assert packed.indices(16, ["train", "test"]).tolist() == [0, 2]
    pixels, rows = packed.images(16, ["train", "test"])
    assert pixels.shape == (2, 16, 16)
    assert rows.tolist() == [1, 3]
    assert packed.patients(rows).tolist() == ["1", "3"]
    findings = packed.findings(rows)
    assert findings.dtype == np.float32
    assert np.isnan(findings[1, FINDINGS.index("Mass")])
    assert findings[1, FINDINGS.index("Edema")] == 1.0
    assert packed.images(16, [])[0].shape == (0, 16, 16)


def test_sex_and_age_are_packed_but_do_not_identify_the_films(films: list[Film], tmp_path: Path) -> None:
    """The fingerprint is that of films without them, and a manifest of an earlier version has unknown ones."""
    aged = [dataclasses.replace(film, sex="F", age=40.0) for film in films[:2]] + films[2:]
    for name, some_films in (("plain", films), ("aged", aged)):
        build_film_dataset(some_films, out=tmp_path / name, resolution=16, splits=SPLITS, on_bad="error")
    packed = open_film_dataset(tmp_path / "aged")
    assert packed.fingerprint == open_film_dataset(tmp_path / "plain").fingerprint
    attributes = packed.attributes(np.arange(4))
    np.testing.assert_array_equal(attributes.ages, np.array([40, np.nan, np.nan, 40], np.float32))
    assert attributes.sexes.tolist() == ["F", "", "", "F"]
    assert attributes.views.tolist() == ["PA"] * 4
    assert attributes.are_labelled.tolist() == [True] * 4
    packed.manifest.drop(columns=["sex", "age"]).to_parquet(packed.path / MANIFEST_FILE)
    earlier = open_film_dataset(packed.path).attributes(np.arange(4))
    assert np.isnan(earlier.ages).all()
    assert set(earlier.sexes.tolist()) == {""}


def test_the_same_films_give_the_same_bytes_in_any_order(films: list[Film], tmp_path: Path) -> None:
    """Every file of the dataset, including the manifest, has the same bytes."""
    for name, order in (("one", films), ("two", films[::-1])):
        build_film_dataset(order, out=tmp_path / name, resolution=16, splits=SPLITS, on_bad="error")
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "two")


def test_a_film_is_decoded_once(tmp_path: Path) -> None:
    """All resolutions are made from one call of `read`."""
    read_calls: list[int] = []

    def read() -> images.Float32:
        read_calls.append(1)
        return np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)

    film = Film("a", "1", "a", "PA", (0.0,) * 14, read, lambda: 64, "a")
    build_film_dataset([film], out=tmp_path / "cxr", resolution=32, splits={"a": "train"}, on_bad="error")
    assert len(read_calls) == 1


def _write_broken(folder: Path) -> list[Film]:
    """Write a file that is truncated after its header, an empty file, one that is not an image, and one of 2 px."""
    truncated = _write(folder, "cut.png", (64, 64))
    truncated.write_bytes(truncated.read_bytes()[:2000])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no image")
    _write(folder, "tiny.png", (2, 2))
    return [_film(folder / name) for name in ("cut.png", "empty.png", "text.png", "tiny.png")]


def test_on_bad_skip_leaves_unreadable_films_out(films: list[Film], tmp_path: Path) -> None:
    """The other films are packed as without the unreadable ones, and the report names each of these."""
    broken = _write_broken(tmp_path / "films")
    splits = SPLITS | {film.image_index: "train" for film in broken}
    report = build_film_dataset([*broken, *films], out=tmp_path / "with", resolution=16, splits=splits, on_bad="skip")
    build_film_dataset(films, out=tmp_path / "without", resolution=16, splits=splits, on_bad="error")
    assert len(report.unreadable) == 4
    for name, reason in {
        "cut": "truncated",
        "empty": "empty file",
        "text": "identify",
        "tiny": "2 px is below",
    }.items():
        assert sum(f"{name}.png" in sentence and reason in sentence for sentence in report.unreadable) == 1
    skipped, never_read = digest_files(tmp_path / "with"), digest_files(tmp_path / "without")
    assert json.loads((tmp_path / "with" / "dataset.json").read_text())["counts"]["unreadable"] == 4
    del skipped["dataset.json"]
    del never_read["dataset.json"]
    assert skipped == never_read


def _write_implausible(folder: Path) -> list[Film]:
    """Write a constant film, one of 16 grey levels, one of low contrast, and a black and white mask."""
    noise = np.random.default_rng(5).integers(0, 256, (32, 32))
    pictures = {
        "blank": np.full((32, 32), 7),
        "levels": noise // 16 * 17,
        "contrast": 100 + noise % 19,
        "mask": np.indices((32, 32)).sum(axis=0) // 32 * 255,
    }
    for name, pixels in pictures.items():
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}.png")
    return [_film(folder / f"{name}.png") for name in pictures]


def test_pictures_that_cannot_be_films_are_left_out_and_counted(films: list[Film], tmp_path: Path) -> None:
    """A blank picture, few grey levels, low contrast and a mask are named, counted, and in no file of the dataset."""
    implausible = _write_implausible(tmp_path / "films")
    splits = SPLITS | {film.image_index: "train" for film in implausible}
    out = tmp_path / "cxr"
    report = build_film_dataset([*implausible, *films], out=out, resolution=32, splits=splits, on_bad="skip")
    assert len(report.manifest) == len(films)
    assert report.counts["implausible"] == 4
    reasons = {"blank": "one grey level, 7", "levels": "16 grey lev", "contrast": "19 grey lev", "mask": "grey levels"}
    for name, reason in reasons.items():
        assert sum(f"{name}.png: " in sentence and reason in sentence for sentence in report.implausible) == 1
    assert set(report.implausible) <= set(report.unreadable)


@pytest.mark.parametrize("index", range(4))
def test_a_picture_that_cannot_be_a_film_is_an_error(films: list[Film], tmp_path: Path, index: int) -> None:
    """With `on_bad: error` the first one stops the packing, with its name and what to do."""
    film = _write_implausible(tmp_path / "films")[index]
    with pytest.raises(DataError, match=rf"{film.image_index}: the .*set prepare.on_bad: skip"):
        build_film_dataset([*films, film], out=tmp_path / "cxr", resolution=32, splits=SPLITS, on_bad="error")


@pytest.mark.parametrize("index", range(4))
def test_on_bad_error_raises_for_an_unreadable_film(films: list[Film], tmp_path: Path, index: int) -> None:
    """The error names the film and says what to do."""
    broken = _write_broken(tmp_path / "films")[index]
    with pytest.raises(DataError, match=rf"{broken.image_index}: .*set prepare.on_bad: skip"):
        build_film_dataset([*films, broken], out=tmp_path / "cxr", resolution=16, splits=SPLITS, on_bad="error")


def test_a_resolution_above_every_film_is_refused_before_anything_is_written(films: list[Film], tmp_path: Path) -> None:
    """The message has both resolutions and the one to set."""
    message = "64 px is above the resolution of every film; the largest film has 40 px; set 32 or less"
    with pytest.raises(DataError, match=message):
        build_film_dataset(films, out=tmp_path / "cxr", resolution=64, splits=SPLITS, on_bad="error")
    assert not (tmp_path / "cxr").exists()


def test_a_resolution_that_is_not_a_power_of_two_is_refused(films: list[Film], tmp_path: Path) -> None:
    """24 px is not a power of two."""
    with pytest.raises(DataError, match="24 is not a power of two"):
        build_film_dataset(films, out=tmp_path / "cxr", resolution=24, splits=SPLITS, on_bad="error")


def test_a_dataset_without_an_image_at_its_resolution_is_refused(tmp_path: Path) -> None:
    """A film of 64 px whose pixels cannot be read does not count, and neither do films without a readable header."""
    truncated_path = _write_broken(tmp_path / "films")[0]
    small = _film(_write(tmp_path / "films", "small.png", (8, 8)))
    splits = {"cut.png": "train", "small.png": "train"}
    with pytest.raises(DataError, match=r"no film of 64 px or more can be read; .*cut.png"):
        build_film_dataset([truncated_path, small], out=tmp_path / "cxr", resolution=64, splits=splits, on_bad="skip")
    with pytest.raises(DataError, match=r"no films to pack: .*empty.png"):
        build_film_dataset(
            _write_broken(tmp_path / "films")[1:], out=tmp_path / "cxr", resolution=4, splits={}, on_bad="skip"
        )


def test_a_dataset_with_a_phantom_is_marked_as_phantom(films: list[Film], tmp_path: Path) -> None:
    """One drawn film is enough; a dataset of real films is not marked."""
    phantoms = [_film(Path(film.origin), origin=f"phantom:{index}") for index, film in enumerate(films)]
    assert build_film_dataset(phantoms, out=tmp_path / "drawn", resolution=8, splits=SPLITS, on_bad="error").phantom
    assert open_film_dataset(tmp_path / "drawn").phantom
    mixed = [*films[1:], phantoms[0]]
    assert build_film_dataset(mixed, out=tmp_path / "mixed", resolution=8, splits=SPLITS, on_bad="error").phantom
    assert not build_film_dataset(films, out=tmp_path / "real", resolution=8, splits=SPLITS, on_bad="error").phantom


def test_the_fingerprint_identifies_pixels_labels_and_splits(films: list[Film], tmp_path: Path) -> None:
    """The same films have the same fingerprint; another resolution or another split changes it."""
    build = functools.partial(build_film_dataset, films, on_bad="error")
    first = build(out=tmp_path / "1", resolution=16, splits=SPLITS).fingerprint
    assert open_film_dataset(tmp_path / "1").fingerprint == first
    assert build(out=tmp_path / "2", resolution=16, splits=SPLITS).fingerprint == first
    assert build(out=tmp_path / "3", resolution=32, splits=SPLITS).fingerprint != first
    assert build(out=tmp_path / "4", resolution=16, splits=SPLITS | {"a.png": "val"}).fingerprint != first


def test_an_incomplete_dataset_is_an_error(films: list[Film], tmp_path: Path) -> None:
    """An absent folder, a truncated array, an unknown split and an unpacked resolution each have their message."""
    with pytest.raises(DataError, match="run `synthcxr prepare` first"):
        open_film_dataset(tmp_path / "nowhere")
    build_film_dataset(films, out=tmp_path / "cxr", resolution=16, splits=SPLITS, on_bad="error")
    packed = open_film_dataset(tmp_path / "cxr")
    with pytest.raises(DataError, match="packed at powers of two from 4 to 16 px, not at 32 px"):
        packed.memmap(32)
    with pytest.raises(DataError, match="unknown split 'valid'; known: train, judge, val, test"):
        packed.indices(16, ["valid"])
    file = tmp_path / "cxr" / "images_0016.npy"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r"images_0016.npy: declares"):
        packed.memmap(16)
    (tmp_path / "cxr" / "dataset.json").write_text("[]")
    with pytest.raises(DataError, match=r"dataset\.json: expected a mapping"):
        open_film_dataset(tmp_path / "cxr")


def test_images_that_do_not_fit_their_rows_are_an_error(films: list[Film], tmp_path: Path) -> None:
    """A valid array of fewer images, as from another dataset, is refused before an image is used."""
    build_film_dataset(films, out=tmp_path / "cxr", resolution=16, splits=SPLITS, on_bad="error")
    packed, file = open_film_dataset(tmp_path / "cxr"), tmp_path / "cxr" / "images_0016.npy"
    np.save(file, np.load(file)[:-1])
    with pytest.raises(DataError, match=r"images_0016\.npy: does not fit rows_0016\.npy; run `synthcxr prepare` again"):
        packed.images(16, ["train"])


def test_a_folder_with_another_file_is_recognised(films: list[Film], tmp_path: Path) -> None:
    """A folder with any file that `prepare` does not write is not only a dataset's."""
    out = tmp_path / "cxr"
    build_film_dataset(films, out=out, resolution=16, splits=SPLITS, on_bad="error")
    assert has_only_dataset_files(out)
    (out / "notes.txt").write_text("mine")
    assert not has_only_dataset_files(out)
