"""`synthcxr prepare`: pack the films of all sources into one dataset, split by patient and checked."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from synthcxr.checks.check_result import CheckResult
from synthcxr.config.schema import PrepareConfig
from synthcxr.data.film_dataset import (
    ABOUT_FILE,
    CHECKS_FILE,
    BuildReport,
    build_film_dataset,
    has_only_dataset_files,
    open_film_dataset,
)
from synthcxr.data.films import Film
from synthcxr.data.patient_split import split_patients
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers.sources import Source, merge_films, read_source
from synthcxr.storage import atomic, digests, json_files, output_lock
from synthcxr.storage.progress import print_line

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result: counts as in dataset.json, one line for each unreadable film, and the outcome of the checks."""

    path: Path
    resolution: int
    fingerprint: str
    phantom: bool
    counts: dict[str, Any]
    unreadable: tuple[str, ...]
    checks: CheckResult


# The value of metrics_schema.MIN_FILMS_FOR_DISTANCE. Importing it would make `dvc repro` rerun this stage, and so all
# training, whenever the schema of metrics.json changes.
_MIN_TEST_FILMS = 50


def _refuse_other_content(out: Path) -> None:
    """Raise DataError if `out`, or a folder beside it that this stage replaces, contains anything but packed films."""
    resolved = out.resolve()
    partial, replaced = (atomic.partial_path(resolved, end) for end in (atomic.PARTIAL_SUFFIX, atomic.REPLACED_SUFFIX))
    for folder in (out, partial, replaced):
        if folder.exists() and not (folder.is_dir() and has_only_dataset_files(folder)):
            raise DataError(f"{folder}: contains something other than packed films; choose another folder, or empty it")


@output_lock.replaces_folder(_refuse_other_content)
def run(config: PrepareConfig, *, out: Path, report: Report = print_line) -> Summary:
    """Read, merge, split, pack and check the films of `config.sources`, and replace the folder `out`.

    `report` receives a line about everything that is left out. Raises ConfigError, with the key, for an invalid source,
    and DataError for invalid films, a full disk or a folder with other content; `out` is then unchanged.
    """
    if not config.sources:
        raise ConfigError("prepare.sources: no source of films; add one")
    sources = [read_source(f"prepare.sources[{index}]", entry, report) for index, entry in enumerate(config.sources)]
    films, counts_left_out = _select_films(sources, config.view, report)
    splits = split_patients(films, config.shares, config.seed)
    request = digests.fingerprint([dataclasses.asdict(config), sorted(film.origin for film in films)])
    if atomic.finish_rename(out) == request:
        report(f"{out}: was packed by an earlier run; only moved there now")
        return _read_summary(out)
    with _replace_when_complete(out, request) as partial:
        dataset = build_film_dataset(
            films,
            out=partial,
            resolution=config.resolution,
            splits=splits,
            on_bad=config.on_bad,
            sources=[source.as_dict() for source in sources],
            counts=counts_left_out,
            attribution=sorted({source.attribution for source in sources} - {""}),
        )
        for message in dataset.unreadable:
            report(f"left out: {message}")
        if dataset.implausible:
            report(f"{len(dataset.implausible):,} films are left out: they are blank or have lost their contrast")
        _refuse_empty_splits(dataset, set(splits.values()))
        from synthcxr.checks.films import check_films  # great-expectations takes seconds to import

        checks = check_films(dataset.manifest, resolution=config.resolution)
        _refuse_failed_checks(checks)
        json_files.write_json(partial / CHECKS_FILE, checks.as_dict())
    n_test = dataset.counts["by_split"]["test"]
    if n_test < _MIN_TEST_FILMS:
        report(f"{n_test:,} test films: below {_MIN_TEST_FILMS}, `evaluate` reports distances as not applicable")
    return Summary(
        path=out,
        resolution=config.resolution,
        fingerprint=dataset.fingerprint,
        phantom=dataset.phantom,
        counts=counts_left_out | dataset.counts,
        unreadable=dataset.unreadable,
        checks=checks,
    )


def _read_summary(out: Path) -> Summary:
    from synthcxr.checks.films import check_films  # great-expectations takes seconds to import

    dataset, about = open_film_dataset(out), json_files.read_json(out / ABOUT_FILE)
    return Summary(
        path=out,
        resolution=dataset.resolution,
        fingerprint=dataset.fingerprint,
        phantom=dataset.phantom,
        counts=about["counts"],
        unreadable=(),
        checks=check_films(dataset.manifest, resolution=dataset.resolution),
    )


def _select_films(sources: Sequence[Source], view: str, report: Report) -> tuple[list[Film], dict[str, int]]:
    """Select the films with the view, each once; also return how many are left out, by reason."""
    all_films = [film for source in sources for film in source.films]
    films_of_view = [film for film in all_films if view in {"both", film.view}]
    if not films_of_view:
        raise DataError(f"no films found: the sources contain {len(all_films):,} films, none of view {view}")
    films = merge_films(films_of_view)
    n_other_view, n_duplicates = len(all_films) - len(films_of_view), len(films_of_view) - len(films)
    if n_other_view:
        report(f"{n_other_view:,} films are left out: their view is not {view}, or not known")
    if n_duplicates:
        report(f"{n_duplicates:,} films are left out: they are duplicates, of which the largest is kept")
    return films, {"other_view": n_other_view, "duplicates": n_duplicates}


def _refuse_empty_splits(dataset: BuildReport, splits: set[str]) -> None:
    empty = sorted(splits - set(dataset.manifest["split"]))
    if empty:
        raise DataError(
            f"no readable film in split {', '.join(empty)}; replace the {len(dataset.unreadable):,} unreadable films"
        )


def _refuse_failed_checks(checks: CheckResult) -> None:
    if not checks.passed:
        first = checks.failed[0]
        rows = f": {', '.join(first.rows)}" if first.rows else ""
        raise DataError(f"the manifest fails {len(checks.failed)} checks; the first is: {first.sentence}{rows}")


@contextlib.contextmanager
def _replace_when_complete(out: Path, request: str) -> Iterator[Path]:
    """Yield a partial folder that replaces `out` when the block ends, and is removed when the block fails.

    If the process is killed, the next run keeps the previous content of `out` and removes the partial folder.
    """
    try:
        with atomic.open_folder(out, request=request) as partial:
            yield partial
    except OSError as error:
        raise DataError(
            f"{error.filename or out}: cannot be written ({error.strerror or error}); the previous content of {out} is"
            " unchanged"
        ) from error
