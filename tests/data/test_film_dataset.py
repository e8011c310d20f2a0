"""The packed dataset, built and opened."""

from __future__ import annotations

import errno
import functools
import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data import film_dataset, images
from synthcxr.data import findings as labels
from synthcxr.data.records import Film
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
        read_size=functools.partial(images.read_size, path),
        origin=origin or str(path),
    )


def _write(folder: Path, name: str, size: tuple[int, int]) -> Path:
    """A grey PNG of noise, its seed the name."""
    folder.mkdir(exist_ok=True)
    pixels = np.random.default_rng(sum(name.encode())).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


@pytest.fixture
def films(tmp_path: Path) -> list[Film]:
    """Films of 8, 16, 40 and 32 px, of three patients."""
    folder = tmp_path / "films"
    unknown_mass = [float("nan") if finding == "Mass" else float(finding == "Edema") for finding in labels.FINDINGS]
    return [
        _film(_write(folder, "d.png", (32, 32)), patient="3", findings=unknown_mass),
        _film(_write(folder, "a.png", (8, 8)), patient="1"),
        _film(_write(folder, "c.png", (40, 50)), patient="2"),
        _film(_write(folder, "b.png", (16, 20)), patient="1"),
    ]


SIDES = {"a.png": "train", "b.png": "train", "c.png": "judge", "d.png": "test"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small file system cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_film_joins_only_resolutions_up_to_its_own(films: list[Film], tmp_path: Path) -> None:
    """Of films of 8, 16, 40 and 32 px, four are there at 8 px, three at 16 px and two at 32 px."""
    report = film_dataset.build(films, out=tmp_path / "cxr", resolution=32, sides=SIDES, on_bad="error")
    assert report.by_resolution == {4: 4, 8: 4, 16: 3, 32: 2}
    packed = film_dataset.open_dataset(tmp_path / "cxr")
    assert packed.rows(16).tolist() == [1, 2, 3]
    assert packed.memmap(16).shape == (3, 16, 16)
    assert packed.films["size"].tolist() == [8, 16, 40, 32]


def test_an_array_s_rows_lead_to_the_film_they_show(films: list[Film], tmp_path: Path) -> None:
    """The pixels at a row are the box-reduced centre square of the film that the manifest names there."""
    film_dataset.build(films, out=tmp_path / "cxr", resolution=32, sides=SIDES, on_bad="error")
    packed = film_dataset.open_dataset(tmp_path / "cxr")
    by_name = {film.image_index: film for film in films}
    for pixels, row in zip(packed.memmap(32), packed.rows(32), strict=True):
        entry = packed.films.iloc[row]
        film = by_name[entry["image_index"]]
        wanted = images.quantise(images.resize(images.square(film.read()), 32))
        np.testing.assert_array_equal(pixels, wanted)
        assert entry["sha256"] == digests.sha256_bytes(wanted.tobytes())


def test_splits_findings_and_patients_are_found_by_row(films: list[Film], tmp_path: Path) -> None:
    """Choosing splits gives their images alone; an unknown finding stays NaN."""
    film_dataset.build(films, out=tmp_path / "cxr", resolution=16, sides=SIDES, on_bad="error")
    packed = film_dataset.open_dataset(tmp_path / "cxr")
    assert packed.indices(16, ["train", "test"]).tolist() == [0, 2]
    pixels, rows = packed.images(16, ["train", "test"])
    assert pixels.shape == (2, 16, 16)
    assert rows.tolist() == [1, 3]
    assert packed.patients(rows).tolist() == ["1", "3"]
    findings = packed.findings(rows)
    assert findings.dtype == np.float32
    assert np.isnan(findings[1, labels.FINDINGS.index("Mass")])
    assert findings[1, labels.FINDINGS.index("Edema")] == 1.0
    assert packed.images(16, [])[0].shape == (0, 16, 16)


def test_the_same_films_give_the_same_bytes_in_any_order(films: list[Film], tmp_path: Path) -> None:
    """Every file of the dataset, the manifest included, is byte for byte the same."""
    for name, order in (("one", films), ("two", films[::-1])):
        film_dataset.build(order, out=tmp_path / name, resolution=16, sides=SIDES, on_bad="error")
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_a_film_is_read_once(tmp_path: Path) -> None:
    """All resolutions come from one decoding."""
    reads: list[int] = []

    def read() -> images.Float32:
        reads.append(1)
        return np.zeros((64, 64), dtype=np.float32)

    film = Film("a", "1", "a", "PA", (0.0,) * 14, read, lambda: 64, "a")
    film_dataset.build([film], out=tmp_path / "cxr", resolution=32, sides={"a": "train"}, on_bad="error")
    assert len(reads) == 1


def _broken(folder: Path) -> list[Film]:
    """An empty file, one cut short behind its header, one that is no image, one of 2 px."""
    whole = _write(folder, "cut.png", (64, 64))
    whole.write_bytes(whole.read_bytes()[:2000])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no image")
    _write(folder, "tiny.png", (2, 2))
    return [_film(folder / name) for name in ("cut.png", "empty.png", "text.png", "tiny.png")]


def test_broken_films_are_left_out_and_named(films: list[Film], tmp_path: Path) -> None:
    """With `skip` the others are packed as if the broken ones had never been there, and each is named."""
    broken = _broken(tmp_path / "films")
    sides = SIDES | {film.image_index: "train" for film in broken}
    report = film_dataset.build([*broken, *films], out=tmp_path / "with", resolution=16, sides=sides, on_bad="skip")
    film_dataset.build(films, out=tmp_path / "without", resolution=16, sides=sides, on_bad="error")
    assert len(report.bad) == 4
    for name, why in {"cut": "truncated", "empty": "empty file", "text": "identify", "tiny": "2 px is below"}.items():
        assert sum(f"{name}.png" in sentence and why in sentence for sentence in report.bad) == 1
    with_them, without = _bytes(tmp_path / "with"), _bytes(tmp_path / "without")
    assert json.loads(with_them.pop("dataset.json"))["counts"]["unreadable"] == 4
    del without["dataset.json"]
    assert with_them == without


@pytest.mark.parametrize("at", range(4))
def test_a_broken_film_is_an_error_otherwise(films: list[Film], tmp_path: Path, at: int) -> None:
    """With `error` the first broken film is named, with what to do about it."""
    broken = _broken(tmp_path / "films")[at]
    with pytest.raises(DataError, match=rf"{broken.image_index}: .*set prepare.on_bad: skip"):
        film_dataset.build([*films, broken], out=tmp_path / "cxr", resolution=16, sides=SIDES, on_bad="error")


def test_a_resolution_above_every_film_is_refused_before_anything_is_written(films: list[Film], tmp_path: Path) -> None:
    """The message has both sizes and the one to set."""
    with pytest.raises(DataError, match="64 px is above every film's own, the largest has 40 px; set 32 or less"):
        film_dataset.build(films, out=tmp_path / "cxr", resolution=64, sides=SIDES, on_bad="error")
    assert not (tmp_path / "cxr").exists()


def test_a_resolution_that_is_no_power_of_two_is_refused(films: list[Film], tmp_path: Path) -> None:
    """24 px is named as what it is."""
    with pytest.raises(DataError, match="24 is no power of two"):
        film_dataset.build(films, out=tmp_path / "cxr", resolution=24, sides=SIDES, on_bad="error")


def test_no_film_left_at_the_resolution_is_refused(tmp_path: Path) -> None:
    """A header that promises 64 px is not enough when the pixels behind it cannot be read."""
    cut = _broken(tmp_path / "films")[0]
    small = _film(_write(tmp_path / "films", "small.png", (8, 8)))
    sides = {"cut.png": "train", "small.png": "train"}
    with pytest.raises(DataError, match=r"no film of 64 px or more can be read; .*cut.png"):
        film_dataset.build([cut, small], out=tmp_path / "cxr", resolution=64, sides=sides, on_bad="skip")
    with pytest.raises(DataError, match=r"no films to pack: .*empty.png"):
        film_dataset.build(_broken(tmp_path / "films")[1:], out=tmp_path / "cxr", resolution=4, sides={}, on_bad="skip")


def test_disk_space_is_checked_before_a_film_is_read(small_disk: Path) -> None:
    """A dataset of 1.4 MB is refused on a disk of 256 kB, and no film was decoded for it."""

    def read() -> images.Float32:
        raise AssertionError("a film was read")

    film = Film("a", "1", "a", "PA", (0.0,) * 14, read, lambda: 1024, "a")
    with pytest.raises(DataError, match=r"1\.4 MB are needed, 0\.3 MB are free"):
        film_dataset.build([film], out=small_disk / "cxr", resolution=1024, sides={"a": "train"}, on_bad="error")


def test_a_disk_that_fills_up_while_writing_is_an_error_and_no_crash(small_disk: Path) -> None:
    """Another process may take the space that was there at first: writing then raises, as it must not with a map."""

    def read() -> images.Float32:
        (small_disk / "another").write_bytes(bytes(180_000))
        return np.zeros((256, 256), dtype=np.float32)

    film = Film("a", "1", "a", "PA", (0.0,) * 14, read, lambda: 256, "a")
    with pytest.raises(OSError, match="No space left") as caught:
        film_dataset.build([film], out=small_disk / "cxr", resolution=256, sides={"a": "train"}, on_bad="error")
    assert caught.value.errno == errno.ENOSPC


def test_phantoms_are_known_as_such(films: list[Film], tmp_path: Path) -> None:
    """One drawn film makes it a dataset of phantoms, and its description says so; real films alone do not."""
    drawn = [_film(Path(film.origin), origin=f"phantom:{at}") for at, film in enumerate(films)]
    assert film_dataset.build(drawn, out=tmp_path / "drawn", resolution=8, sides=SIDES, on_bad="error").phantom
    assert film_dataset.open_dataset(tmp_path / "drawn").phantom
    mixed = [*films[1:], drawn[0]]
    assert film_dataset.build(mixed, out=tmp_path / "mixed", resolution=8, sides=SIDES, on_bad="error").phantom
    assert not film_dataset.build(films, out=tmp_path / "real", resolution=8, sides=SIDES, on_bad="error").phantom


def test_the_fingerprint_names_pixels_labels_and_split(films: list[Film], tmp_path: Path) -> None:
    """Another resolution or another side gives another fingerprint; the same films the same."""
    build = functools.partial(film_dataset.build, films, on_bad="error")
    first = build(out=tmp_path / "1", resolution=16, sides=SIDES).fingerprint
    assert film_dataset.open_dataset(tmp_path / "1").fingerprint == first
    assert build(out=tmp_path / "2", resolution=16, sides=SIDES).fingerprint == first
    assert build(out=tmp_path / "3", resolution=32, sides=SIDES).fingerprint != first
    assert build(out=tmp_path / "4", resolution=16, sides=SIDES | {"a.png": "val"}).fingerprint != first


def test_what_is_no_dataset_is_refused_by_name(films: list[Film], tmp_path: Path) -> None:
    """An absent folder, an array cut short, an unknown split and a resolution that is not there: each is said."""
    with pytest.raises(DataError, match="run `synthcxr prepare` first"):
        film_dataset.open_dataset(tmp_path / "nowhere")
    film_dataset.build(films, out=tmp_path / "cxr", resolution=16, sides=SIDES, on_bad="error")
    packed = film_dataset.open_dataset(tmp_path / "cxr")
    with pytest.raises(DataError, match="holds 4 to 16 px by powers of two, not 32"):
        packed.memmap(32)
    with pytest.raises(DataError, match="unknown split 'valid'; known: train, judge, val, test"):
        packed.indices(16, ["valid"])
    file = tmp_path / "cxr" / "images_0016.npy"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=r"images_0016.npy: missing or broken"):
        packed.memmap(16)
    (tmp_path / "cxr" / "dataset.json").write_text("[]")
    with pytest.raises(DataError, match="describes no packed dataset"):
        film_dataset.open_dataset(tmp_path / "cxr")


def test_only_a_dataset_s_own_files_are_known(films: list[Film], tmp_path: Path) -> None:
    """A folder with any other file in it is somebody else's."""
    out = tmp_path / "cxr"
    film_dataset.build(films, out=out, resolution=16, sides=SIDES, on_bad="error")
    assert film_dataset.holds_only_ours(out)
    (out / "notes.txt").write_text("mine")
    assert not film_dataset.holds_only_ours(out)
