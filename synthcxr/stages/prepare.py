"""`synthcxr prepare`: pack the films of all sources into one dataset, split by patient and checked."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.films import check_films
from synthcxr.config.schema import PrepareConfig
from synthcxr.data.dataset_kind import ABOUT_FILE
from synthcxr.data.earlier_splits import find_earlier_splits
from synthcxr.data.film_dataset import (
    CHECKS_FILE,
    has_only_dataset_files,
    open_film_dataset,
    write_film_manifest,
)
from synthcxr.data.film_joining import join_same_films
from synthcxr.data.film_packing import OnBad, PackedFilms, pack_films
from synthcxr.data.film_warnings import list_warnings
from synthcxr.data.films import Film
from synthcxr.data.left_out import LeftOut, LeftOutLine, Reason, report_left_out, sum_by_reason
from synthcxr.data.number_format import format_quantity
from synthcxr.data.packing_journal import JOURNAL_FILE, describe_kept
from synthcxr.data.patient_split import check_patients, split_patients
from synthcxr.data.same_films import find_same_films
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers.sources import Source, fingerprint_decoding, merge_films, read_source
from synthcxr.storage import atomic, digests, json_files, output_lock
from synthcxr.storage.progress import print_line

Report = Callable[[str], None]


_MAX_NAMED_GROUPS = 20


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result: counts as in dataset.json, and the outcome of the checks.

    `left_out` are the films that are not packed, by reason. `unreadable` has one line for each film that could not be
    packed, `same_films` the image indices of each group of films with the same picture, and `unlabelled` those of the
    films without a known finding. `warnings` say what later stages will refuse.
    """

    path: Path
    resolution: int
    fingerprint: str
    phantom: bool
    counts: dict[str, Any]
    left_out: tuple[LeftOut, ...]
    unreadable: tuple[str, ...]
    same_films: tuple[tuple[str, ...], ...]
    unlabelled: tuple[str, ...]
    warnings: tuple[str, ...]
    checks: CheckResult


def _refuse_other_content(out: Path) -> None:
    """Raise DataError if `out`, or a folder beside it that this stage replaces, contains anything but packed films."""
    resolved = out.resolve()
    partial, replaced = (atomic.partial_path(resolved, end) for end in (atomic.PARTIAL_SUFFIX, atomic.REPLACED_SUFFIX))
    for folder in (out, partial, replaced):
        if folder.exists() and not (folder.is_dir() and has_only_dataset_files(folder)):
            raise DataError(f"{folder}: contains something other than packed films; choose another folder, or empty it")


@output_lock.replaces_folder(_refuse_other_content)
def run(config: PrepareConfig, *, out: Path, report: Report = print_line) -> Summary:
    """Read, merge, pack, split and check the films of `config.sources`, and replace the folder `out`.

    Films with the same picture are found by their packed pixels and count as one patient. If an earlier run with the
    same sources and resolution was stopped, this one continues it. `report` receives a line about everything that is
    left out or assumed. Raises ConfigError, with the key, for an invalid source, and DataError for invalid films, a
    full disk or a folder with other content; `out` is then unchanged.
    """
    if not config.sources:
        raise ConfigError("prepare.sources: no source of films; add one")
    left_out: list[LeftOut] = []

    def report_line(line: str) -> None:
        left_out.extend(line.parts if isinstance(line, LeftOutLine) else ())
        report(line)

    sources = [
        read_source(f"prepare.sources[{index}]", entry, report_line) for index, entry in enumerate(config.sources)
    ]
    films = _select_films(sources, config.view, report_line)
    earlier = _read_earlier_manifest(config.splits_from, out)
    check_patients(films, config.shares, earlier=_find_splits(films, earlier))
    request = digests.fingerprint([dataclasses.asdict(config), sorted(film.origin for film in films)])
    if atomic.finish_rename(out) == request:
        report(f"{out}: was packed by an earlier run; only moved there now")
        return _read_summary(out)
    with _replace_when_complete(out, request) as partial:
        packed = pack_films(
            films,
            out=partial,
            resolution=config.resolution,
            on_bad=config.on_bad,
            request=fingerprint_decoding(config.sources, config.resolution),
            report=report,
        )
        _report_left_out(packed, report_line)
        groups = find_same_films(partial, config.resolution)
        packed = _join_same_films(packed, groups, config.on_bad, report)
        all_left_out = sum_by_reason(left_out)
        same_films = tuple(tuple(packed.films[row].film.image_index for row in group) for group in groups)
        unlabelled = _list_unlabelled(packed)
        counts = _count_films(all_left_out, same_films, unlabelled)
        dataset = write_film_manifest(
            packed,
            splits=_split_films(packed, config, earlier, report),
            sources=[source.as_dict() for source in sources],
            counts=counts,
            attribution=sorted({source.attribution for source in sources} - {""}),
        )
        checks = check_films(dataset.manifest, resolution=config.resolution, is_direct=True)
        _refuse_failed_checks(checks)
        json_files.write_json(partial / CHECKS_FILE, checks.as_dict())
    warnings = list_warnings(dataset.manifest, config.resolution)
    for warning in warnings:
        report(warning)
    return Summary(
        path=out,
        resolution=config.resolution,
        fingerprint=dataset.fingerprint,
        phantom=dataset.phantom,
        counts=counts | dataset.counts,
        left_out=all_left_out,
        unreadable=dataset.unreadable,
        same_films=same_films,
        unlabelled=unlabelled,
        warnings=warnings,
        checks=checks,
    )


def _read_summary(out: Path) -> Summary:
    """The result of an earlier run, as far as its files state it: without the names of films that it left out."""
    dataset, counts = open_film_dataset(out), json_files.read_json(out / ABOUT_FILE)["counts"]
    return Summary(
        path=out,
        resolution=dataset.resolution,
        fingerprint=dataset.fingerprint,
        phantom=dataset.phantom,
        counts=counts,
        left_out=tuple(
            LeftOut(reason, counts["left_out"][reason.key], "") for reason in Reason if reason.key in counts["left_out"]
        ),
        unreadable=(),
        same_films=(),
        unlabelled=(),
        warnings=list_warnings(dataset.manifest, dataset.resolution),
        checks=check_films(dataset.manifest, resolution=dataset.resolution, is_direct=True),
    )


def format_lines(summary: Summary) -> list[str]:
    """The result as text: what was packed, then a table of the films read, packed and left out, by reason."""
    counts = summary.counts
    splits = ", ".join(f"{n:,} {split}" for split, n in counts["by_split"].items())
    films = f"{format_quantity(counts['films'], 'film')} of {format_quantity(counts['patients'], 'patient')}"
    n_read = counts["films"] + sum(part.n for part in summary.left_out if part.reason is not Reason.ABSENT)
    rows = [("read", n_read, ""), ("packed", counts["films"], "")]
    rows += [(f"left out: {part.reason.value}", part.n, part.first) for part in summary.left_out]
    if summary.same_films:
        first = " and ".join(summary.same_films[0][:2])
        rows.append(("packed: same picture as another film", counts["same_films"], first))
    if summary.unlabelled:
        rows.append(("packed: no label, findings unknown", counts["unlabelled"], summary.unlabelled[0]))
    name_width, number_width = max(len(row[0]) for row in rows), max(len(f"{row[1]:,}") for row in rows)
    return [
        f"{summary.path}: {films}, up to {summary.resolution} px; {splits}",
        *(
            f"  {name:<{name_width}}  {n:>{number_width},}{f'  first: {first}' if first else ''}"
            for name, n, first in rows
        ),
    ]


def _select_films(sources: Sequence[Source], view: str, report: Report) -> list[Film]:
    """Select the films with the view, each once."""
    all_films = [film for source in sources for film in source.films]
    films_of_view = [film for film in all_films if view in {"both", film.view}]
    if not films_of_view:
        raise DataError(
            f"no films found: the sources contain {format_quantity(len(all_films), 'film')}, none of view {view}"
        )
    films = merge_films(films_of_view)
    n_other_view, n_duplicates = len(all_films) - len(films_of_view), len(films_of_view) - len(films)
    if n_other_view:
        first = next(film for film in all_films if film.view != view)
        line = f"left out {format_quantity(n_other_view, 'film')}, not of view {view} or of an unknown view"
        report_left_out(report, line, Reason.OTHER_VIEW, n_other_view, first.origin)
    if n_duplicates:
        packed = {film.origin for film in films}
        first = next(film for film in films_of_view if film.origin not in packed)
        line = f"left out {format_quantity(n_duplicates, 'duplicate')}; the largest film of each is kept"
        report_left_out(report, line, Reason.DUPLICATES, n_duplicates, first.origin)
    return films


def _report_left_out(packed: PackedFilms, report: Report) -> None:
    for film in packed.left_out:
        report(LeftOutLine(f"left out: {film.sentence}", film.part))
    n_implausible = sum(film.reason is Reason.IMPLAUSIBLE for film in packed.left_out)
    if n_implausible:
        report(f"left out {format_quantity(n_implausible, 'film')}, blank or without contrast")


def _join_same_films(
    packed: PackedFilms, groups: Sequence[tuple[int, ...]], on_bad: OnBad, report: Report
) -> PackedFilms:
    """Join the patients of films with the same picture, and report them; DataError for contradictory labels."""
    films = [entry.film for entry in packed.films]
    joined = join_same_films(films, groups)
    for group in groups[:_MAX_NAMED_GROUPS]:
        report(f"the same picture: {', '.join(films[row].origin for row in group)}")
    if groups:
        n_films, n_more = sum(map(len, groups)), len(groups) - _MAX_NAMED_GROUPS
        n_groups = format_quantity(len(groups), "group")
        more = f"; {n_more:,} more groups are not named here but by --json" if n_more > 0 else ""
        report(
            f"the same picture in {format_quantity(n_films, 'film')}, in {n_groups}; each group counts as"
            f" one patient and is in one split{more}"
        )
    for sentence in joined.contradictions:
        report(sentence)
    if joined.contradictions and on_bad == "error":
        raise DataError(
            f"films with the same picture have contradictory labels ({len(joined.contradictions):,} found); the first:"
            f" {joined.contradictions[0]}; correct the table, remove one film, or set prepare.on_bad: skip, which"
            " makes the findings that contradict unknown"
        )
    entries = tuple(
        dataclasses.replace(entry, film=film) for entry, film in zip(packed.films, joined.films, strict=True)
    )
    return dataclasses.replace(packed, films=entries)


def _read_earlier_manifest(splits_from: str | None, out: Path) -> pd.DataFrame | None:
    if splits_from is None:
        return None
    if Path(splits_from).resolve() == out.resolve():
        raise ConfigError(f"prepare.splits_from: {splits_from} is the folder of the output; give a copy of it")
    return open_film_dataset(Path(splits_from)).manifest


def _find_splits(films: Sequence[Film], earlier_manifest: pd.DataFrame | None) -> dict[str, str]:
    return {} if earlier_manifest is None else find_earlier_splits(films, earlier_manifest)


def _split_films(
    packed: PackedFilms, config: PrepareConfig, earlier_manifest: pd.DataFrame | None, report: Report
) -> dict[str, str]:
    """Split the packed films; DataError, with the number of films that are left out, for too few patients."""
    films = [entry.film for entry in packed.films]
    earlier = _find_splits(films, earlier_manifest)
    if earlier_manifest is not None:
        report(f"{config.splits_from}: {format_quantity(len(earlier), 'patient')} keep their split")
    try:
        return split_patients(
            films, config.shares, config.seed, earlier=earlier, unlabelled_test_share=config.unlabelled_test_share
        )
    except DataError as error:
        raise DataError(f"{error} ({format_quantity(len(packed.left_out), 'film')} cannot be packed)") from error


def _list_unlabelled(packed: PackedFilms) -> tuple[str, ...]:
    return tuple(
        entry.film.image_index for entry in packed.films if all(math.isnan(value) for value in entry.film.findings)
    )


def _count_films(
    left_out: Sequence[LeftOut], same_films: Sequence[Sequence[str]], unlabelled: Sequence[str]
) -> dict[str, Any]:
    """The counts that dataset.json gets in addition to those of the packed films; names of films are left out."""
    n_left_out = {part.reason.key: part.n for part in left_out}
    return {
        "other_view": n_left_out.get(Reason.OTHER_VIEW.key, 0),
        "duplicates": n_left_out.get(Reason.DUPLICATES.key, 0),
        "left_out": n_left_out,
        "same_films": sum(map(len, same_films)),
        "unlabelled": len(unlabelled),
    }


def _refuse_failed_checks(checks: CheckResult) -> None:
    if not checks.passed:
        first = checks.failed[0]
        rows = f": {', '.join(first.rows)}" if first.rows else ""
        raise DataError(f"the manifest fails {len(checks.failed)} checks; the first is: {first.sentence}{rows}")


@contextlib.contextmanager
def _replace_when_complete(out: Path, request: str) -> Iterator[Path]:
    """Yield a partial folder that replaces `out` when the block ends.

    If the block fails or the process is killed, `out` keeps its content, and the partial folder is removed unless the
    next run can continue it.
    """
    try:
        with atomic.open_folder(out, request=request, journal=JOURNAL_FILE) as partial:
            yield partial
            (partial / JOURNAL_FILE).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{error.filename or out}: cannot be written ({error.strerror or error}); the previous content of {out} is"
            f" unchanged{describe_kept(atomic.partial_path(out))}"
        ) from error
