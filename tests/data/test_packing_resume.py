"""Packing that was stopped and continues: each film is decoded once, and the files are those of one run."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synthcxr.data import packing_journal
from synthcxr.data.film_packing import PackedFilms, pack_films
from synthcxr.data.films import Film
from synthcxr.data.packing_journal import JOURNAL_FILE
from synthcxr.errors import DataError

N, RESOLUTION = 12, 16
BAD = 4
"""The film without contrast."""


class Films:
    """Films in files of 8, 16 or 32 px. `decoded` lists those that were read.

    `stop_before` names a film that stops the run, `unreadable` one that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.decoded: list[str] = []
        self.stop_before: str | None = None
        self.unreadable: str | None = None
        folder.mkdir()
        for index in range(N):
            self.draw(index, seed=index)

    def draw(self, index: int, *, seed: int) -> None:
        side = 8 << index % 3
        pixels = np.random.default_rng(seed).integers(0, 255, (side, side), dtype=np.uint8)
        Image.fromarray(pixels * (seed != BAD)).save(self.folder / f"{index:02d}.png")

    def read(self, path: Path) -> np.ndarray:
        if path.stem == self.stop_before:
            raise KeyboardInterrupt
        self.decoded.append(path.stem)
        if path.stem == self.unreadable:
            raise DataError(f"{path}: no answer from the disk")
        with Image.open(path) as image:
            return np.asarray(image, dtype=np.float32) / 255

    def list(self) -> list[Film]:
        return [self.make(path) for path in sorted(self.folder.iterdir())]

    def make(self, path: Path) -> Film:
        def read_size() -> int:
            with Image.open(path) as image:
                return min(image.size)

        read = functools.partial(self.read, path)
        return Film(path.stem, path.stem, "", "PA", (0.0,) * 14, read, read_size, origin=str(path), file=path)


@pytest.fixture
def films(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Films:
    monkeypatch.setattr(packing_journal, "INTERVAL_S", 0.0)
    return Films(tmp_path / "films")


def pack(films: Films, out: Path, *, request: str = "a", resolution: int = RESOLUTION) -> PackedFilms:
    films.decoded.clear()
    return pack_films(films.list(), out=out, resolution=resolution, on_bad="skip", request=request, report=print)


def stop(films: Films, out: Path, *, before: str) -> None:
    films.stop_before = before
    with pytest.raises(KeyboardInterrupt):
        pack(films, out)
    films.stop_before = None


def read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != JOURNAL_FILE}


def compare(packed: PackedFilms, expected: PackedFilms) -> None:
    """The same files, and the same description of them."""
    assert read_files(packed.path) == read_files(expected.path)
    assert [(film.film.image_index, film.size, film.sha256) for film in packed.films] == [
        (film.film.image_index, film.size, film.sha256) for film in expected.films
    ]
    assert packed.by_resolution == expected.by_resolution
    assert [film.sentence for film in packed.left_out] == [film.sentence for film in expected.left_out]


@pytest.mark.parametrize("before", [1, 3, 5, 8, 11])
def test_the_same_call_continues(films: Films, tmp_path: Path, capsys: pytest.CaptureFixture[str], before: int) -> None:
    """Films that were packed are not decoded again; only the one that was left out is."""
    expected = pack(films, tmp_path / "whole")
    stop(films, tmp_path / "out", before=f"{before:02d}")
    packed = pack(films, tmp_path / "out")
    compare(packed, expected)
    again = {f"{BAD:02d}"} if before > BAD else set()
    assert set(films.decoded) == {f"{index:02d}" for index in range(before, N)} | again
    assert f"continuing: {before} of 12 films are done already" in capsys.readouterr().out


def test_a_finished_packing_is_continued_too(films: Films, tmp_path: Path) -> None:
    """A stop after the last film, while the manifest is made, costs no decoding."""
    expected = pack(films, tmp_path / "whole")
    packed = pack(films, tmp_path / "whole")
    assert films.decoded == [f"{BAD:02d}"]
    compare(packed, expected)


def change_file(films: Films, _out: Path) -> None:
    films.draw(3, seed=99)


def touch_file(films: Films, _out: Path) -> None:
    os.utime(films.folder / "03.png", ns=(0, 0))


def swap_files(films: Films, _out: Path) -> None:
    first, second = films.folder / "00.png", films.folder / "03.png"
    times = first.stat().st_mtime_ns
    first.rename(films.folder / "x")
    second.rename(first)
    (films.folder / "x").rename(second)
    for path in (first, second):
        os.utime(path, ns=(times, times))


def remove_film(films: Films, _out: Path) -> None:
    (films.folder / "03.png").unlink()


def add_film(films: Films, _out: Path) -> None:
    (films.folder / "025.png").write_bytes((films.folder / "05.png").read_bytes())


def cut_images(_films: Films, out: Path) -> None:
    path = out / f"images_{RESOLUTION:04d}.npy"
    path.write_bytes(path.read_bytes()[:200])


def cut_journal(_films: Films, out: Path) -> None:
    path = out / JOURNAL_FILE
    path.write_bytes(path.read_bytes()[:-1300])


def spoil_journal(_films: Films, out: Path) -> None:
    (out / JOURNAL_FILE).write_bytes(b"\x00\xff not JSON\n")


def spoil_entry(_films: Films, out: Path) -> None:
    lines = (out / JOURNAL_FILE).read_text().splitlines()
    lines[4] = lines[4].replace('"sha256"', '"other"')
    (out / JOURNAL_FILE).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "change",
    [change_file, touch_file, swap_files, remove_film, add_film, cut_images, cut_journal, spoil_journal, spoil_entry],
    ids=lambda change: change.__name__,
)
def test_what_changed_is_decoded_again(films: Films, tmp_path: Path, change: Callable[[Films, Path], None]) -> None:
    """A changed, new or absent film, and damaged files of the earlier run: the result is that of a new run."""
    stop(films, tmp_path / "out", before="09")
    change(films, tmp_path / "out")
    packed = pack(films, tmp_path / "out")
    n_decoded = len(films.decoded)
    compare(packed, pack(films, tmp_path / "new"))
    assert n_decoded >= 8, "from the changed film on, all are decoded"


def test_another_request_starts_over(films: Films, tmp_path: Path) -> None:
    """With another resolution or request nothing is taken over, also if the earlier run had packed all."""
    pack(films, tmp_path / "out")
    compare(pack(films, tmp_path / "out", request="b", resolution=8), pack(films, tmp_path / "new", resolution=8))
    assert len(films.decoded) == N
    packed = pack(films, tmp_path / "out", request="")
    assert len(films.decoded) == N
    assert not (packed.path / JOURNAL_FILE).exists()


def test_a_film_that_can_be_read_now_is_packed(films: Films, tmp_path: Path) -> None:
    """A film that was left out for a reason that is not in its file, such as its labels, is packed in its place."""
    expected = pack(films, tmp_path / "whole")
    films.unreadable = "02"
    stop(films, tmp_path / "out", before="08")
    films.unreadable = None
    compare(pack(films, tmp_path / "out"), expected)


def test_films_without_a_file_are_not_continued(films: Films, tmp_path: Path) -> None:
    """Whether their content changed cannot be seen, so that they are read again."""

    def pack_named(out: Path) -> PackedFilms:
        films.decoded.clear()
        named = [dataclasses.replace(film, file=None) for film in films.list()]
        return pack_films(named, out=out, resolution=RESOLUTION, on_bad="skip", request="a", report=print)

    expected = pack_named(tmp_path / "out")
    assert not (tmp_path / "out" / JOURNAL_FILE).exists()
    compare(pack_named(tmp_path / "out"), expected)
    assert len(films.decoded) == N


def test_a_short_run_has_no_journal(films: Films, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the first seconds nothing is worth keeping."""
    monkeypatch.setattr(packing_journal, "INTERVAL_S", 60.0)
    stop(films, tmp_path / "out", before="08")
    assert not (tmp_path / "out" / JOURNAL_FILE).exists()
