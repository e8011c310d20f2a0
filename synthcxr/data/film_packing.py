"""Packing films: each is read once and written as uint8 squares at every power of two up to its own size."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal

from synthcxr.data import images, pyramid
from synthcxr.data.films import Film
from synthcxr.data.findings import ContradictoryLabelsError
from synthcxr.data.images import UInt8
from synthcxr.data.left_out import LeftOut, Reason
from synthcxr.data.packing_journal import FileState, JournalEntry, PackingJournal, SizedFilm
from synthcxr.data.pyramid import SMALLEST_SIDE, ImageStack, list_packed_sides
from synthcxr.errors import DataError
from synthcxr.storage import digests
from synthcxr.storage.progress import print_line

_BYTES_PER_ROW = 1024  # an upper bound for a film's share of the manifest and the row files

OnBad = Literal["error", "skip"]


@dataclasses.dataclass(frozen=True)
class PackedFilm:
    """A film whose squares are written, with its shorter side in pixels and the sha256 of its largest square."""

    film: Film
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class PackedFilms:
    """The films in the folder `path`, in the order of their images, and how many have an image at each side.

    `left_out` has a sentence, with its reason, for each film that is not packed.
    """

    path: Path
    resolution: int
    films: tuple[PackedFilm, ...]
    by_resolution: Mapping[int, int]
    left_out: tuple[LeftOutFilm, ...]


@dataclasses.dataclass(frozen=True)
class LeftOutFilm:
    """Why a film is not packed, and the sentence that names it."""

    reason: Reason
    sentence: str
    origin: str

    @property
    def part(self) -> LeftOut:
        """The film as an entry for `left_out.sum_by_reason`."""
        return LeftOut(self.reason, 1, self.origin)


def pack_films(
    films: Sequence[Film],
    *,
    out: Path,
    resolution: int,
    on_bad: OnBad,
    request: str = "",
    report: Callable[[str], None] = print_line,
) -> PackedFilms:
    """Write the images and rows of films to the folder `out`, in the order of their image indices.

    If an earlier call with the same `request` was stopped, films that it packed are not decoded again, as long as their
    files did not change; the result is the same. `request` must name all that decides how a file is read; "" starts
    over. The journal stays in `out` until the caller removes it.

    Raises DataError for a resolution above that of every film, for too little disk space (before a film is written)
    and, with `on_bad` "error", for an unreadable film and for one that shows no film (`images.find_flaw`); OSError if
    writing fails.
    """
    left_out = _LeftOutFilms(on_bad)
    sized_films = _read_sizes(sorted(films, key=lambda film: film.image_index), left_out)
    _check_resolution(resolution, [entry.size for entry in sized_films])
    out.mkdir(parents=True, exist_ok=True)
    journal = PackingJournal(out, request)
    kept = _find_kept(sized_films, journal.read(), out, resolution)
    n_kept = len(kept.entries)
    if n_kept:
        report(f"continuing: {n_kept:,} of {len(sized_films):,} films are done already")
    else:
        pyramid.remove_array_files(out)
    journal.restart(kept.entries)
    kept_rows = _list_rows(kept.entries, resolution)
    with contextlib.ExitStack() as stack_files:
        stacks = {side: stack_files.enter_context(ImageStack(out, side, rows)) for side, rows in kept_rows.items()}
        _check_disk_space(out, [pyramid.fit_side(entry.size, resolution) for entry in sized_films[n_kept:]])
        packed = tuple(_write_films(sized_films, kept, stacks, left_out, journal))
    journal.close()
    if not stacks[resolution].rows:
        raise DataError(f"no film of {resolution} px or more can be read; {left_out.films[0].sentence}")
    by_resolution = {side: len(stack.rows) for side, stack in stacks.items()}
    return PackedFilms(out, resolution, packed, by_resolution, tuple(left_out.films))


class _ImplausibleFilmError(DataError):
    """A film that can be read, but is blank or has lost its contrast."""


class _LeftOutFilms:
    """Collects the films that cannot be packed, or raises for the first."""

    def __init__(self, on_bad: OnBad) -> None:
        self.on_bad = on_bad
        self.films: list[LeftOutFilm] = []

    def add(self, film: Film, error: DataError) -> None:
        if self.on_bad == "error":
            raise DataError(f"{error}; replace or remove it, or set prepare.on_bad: skip") from error
        self.films.append(LeftOutFilm(_find_reason(error), str(error), film.origin))


def _find_reason(error: DataError) -> Reason:
    if isinstance(error, _ImplausibleFilmError):
        return Reason.IMPLAUSIBLE
    return Reason.CONTRADICTORY if isinstance(error, ContradictoryLabelsError) else Reason.UNREADABLE


def _read_sizes(films: Sequence[Film], left_out: _LeftOutFilms) -> list[SizedFilm]:
    """The films whose header can be read."""
    sized_films = []
    with contextlib.closing(pyramid.map_in_threads(_read_size, films, title="sizes")) as futures:
        for film, future in zip(films, futures, strict=True):
            try:
                sized_films.append(future.result())
            except DataError as error:
                left_out.add(film, error)
    if not sized_films:
        reason = left_out.films[0].sentence if left_out.films else "the sources contain none"
        raise DataError(f"no films to pack: {reason}")
    return sized_films


def _read_size(film: Film) -> SizedFilm:
    file, size = FileState.read(film.file), film.read_size()
    if size < SMALLEST_SIDE:
        raise DataError(f"{film.origin}: {size} px is below the smallest packed side, {SMALLEST_SIDE} px")
    return SizedFilm(film, size, file)


@dataclasses.dataclass(frozen=True)
class _KeptFilms:
    """The first entries of the journal, which are still true, and by position the errors of those that are left out."""

    entries: Sequence[JournalEntry] = ()
    errors: Mapping[int, DataError] = dataclasses.field(default_factory=dict)


def _find_kept(
    sized_films: Sequence[SizedFilm], entries: Sequence[JournalEntry], out: Path, resolution: int
) -> _KeptFilms:
    """Compare the journal with the films, up to the first film that is new or has changed.

    Films that were left out are read again, because that may have had another reason than their files.
    """
    pairs = zip(entries, sized_films, strict=False)
    kept = [entry for entry, _ in itertools.takewhile(lambda pair: pair[0].is_of(pair[1]), pairs)]
    positions, errors = [position for position, entry in enumerate(kept) if not entry.sha256], {}
    left_out = [sized_films[position] for position in positions]
    with contextlib.closing(_reduce_films(left_out, resolution, title="films left out before")) as futures:
        for position, future in zip(positions, futures, strict=True):
            try:
                future.result()
            except DataError as error:
                errors[position] = error
            else:
                kept = kept[:position]
                break
    rows = _list_rows(kept, resolution)
    are_written = all(ImageStack.has_images(out, side, len(rows[side])) for side in rows)
    return _KeptFilms(kept, errors) if are_written else _KeptFilms()


def _list_rows(kept: Sequence[JournalEntry], resolution: int) -> dict[int, list[int]]:
    """The manifest rows of the kept films by side."""
    packed = [entry for entry in kept if entry.sha256]
    return {
        side: [row for row, entry in enumerate(packed) if pyramid.fit_side(entry.size, resolution) >= side]
        for side in list_packed_sides(resolution)
    }


def _check_resolution(resolution: int, sizes: Sequence[int]) -> None:
    if resolution not in list_packed_sides(resolution):
        raise DataError(f"prepare.resolution: {resolution} is not a power of two from {SMALLEST_SIDE} up")
    if max(sizes) < resolution:
        raise DataError(
            f"prepare.resolution: {resolution} px is above the resolution of every film; the largest film has"
            f" {max(sizes)} px; set {pyramid.fit_side(max(sizes), resolution)} or less"
        )


def _check_disk_space(out: Path, largest_sides: Sequence[int]) -> None:
    n_pixels = sum(side * side for largest in largest_sides for side in list_packed_sides(largest))
    needed = n_pixels + _BYTES_PER_ROW * len(largest_sides)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise DataError(
            f"{out}: {needed / 1e6:,.1f} MB are needed, {free / 1e6:,.1f} MB are free on that disk; "
            "make room there or lower prepare.resolution"
        )


def _write_films(
    sized_films: Sequence[SizedFilm],
    kept: _KeptFilms,
    stacks: Mapping[int, ImageStack],
    left_out: _LeftOutFilms,
    journal: PackingJournal,
) -> Iterator[PackedFilm]:
    """Yield each film that is packed; append those after the kept ones to the stacks up to their own sizes."""
    row = 0
    for position, (entry, sized) in enumerate(zip(kept.entries, sized_films, strict=False)):
        if entry.sha256:
            row += 1
            yield PackedFilm(sized.film, sized.size, entry.sha256)
        else:
            left_out.add(sized.film, kept.errors[position])

    def flush() -> None:
        for stack in stacks.values():
            stack.flush()

    remaining = sized_films[len(kept.entries) :]
    with contextlib.closing(_reduce_films(remaining, max(stacks), title="films")) as futures:
        for sized, future in zip(remaining, futures, strict=True):
            try:
                squares, sha256 = future.result()
            except DataError as error:
                left_out.add(sized.film, error)
                journal.add(sized, "", flush=flush)
                continue
            for square in squares:
                stacks[square.shape[0]].append(square, row)
            row += 1
            journal.add(sized, sha256, flush=flush)
            yield PackedFilm(sized.film, sized.size, sha256)


def _reduce_films(
    sized_films: Sequence[SizedFilm], resolution: int, *, title: str
) -> Generator[Future[tuple[list[UInt8], str]]]:
    tasks = [(sized.film, pyramid.fit_side(sized.size, resolution)) for sized in sized_films]
    return pyramid.map_in_threads(_reduce_film, tasks, title=title)


def _reduce_film(task: tuple[Film, int]) -> tuple[list[UInt8], str]:
    """The squares of a film, largest first, and the sha256 of the first; an error if the first shows no film."""
    film, largest_side = task
    squares = pyramid.build_pyramid(film.read(), largest_side)
    flaw = images.find_flaw(squares[0])
    if flaw:
        raise _ImplausibleFilmError(f"{film.origin}: {flaw}")
    return squares, digests.sha256_bytes(squares[0].tobytes())
