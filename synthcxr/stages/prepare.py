"""`synthcxr prepare`: the films of all sources as one packed, split and checked dataset."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from synthcxr.checks.check_result import CheckResult
from synthcxr.config.schema import PrepareConfig
from synthcxr.data.film_dataset import CHECKS_FILE, BuildReport, build_film_dataset, has_only_dataset_files
from synthcxr.data.films import Film
from synthcxr.data.patient_split import split_patients
from synthcxr.errors import ConfigError, DataError
from synthcxr.readers import sources
from synthcxr.readers.sources import Source
from synthcxr.storage import atomic, json_files
from synthcxr.storage.progress import print_line

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What was made: counts as in dataset.json, a sentence for each film left out, and the suite's findings."""

    path: Path
    resolution: int
    fingerprint: str
    phantom: bool
    counts: dict[str, Any]
    unreadable: tuple[str, ...]
    checks: CheckResult


_FEW = 50
"""Of fewer test films nothing is said (evaluation/fidelity.py)."""


def run(config: PrepareConfig, *, out: Path, report: Report = print_line) -> Summary:
    """Read, merge, split, pack and check the films of `config.sources`; the folder `out` is replaced whole.

    `report` gets a line for whatever is left out. Raises ConfigError, naming the key, for a source that cannot be
    used as given, and DataError for films, a disk or a folder that cannot; `out` then is as it was before.
    """
    _refuse_foreign(out)
    if not config.sources:
        raise ConfigError("prepare.sources: names no source of films")
    opened = [sources.read(f"prepare.sources[{at}]", entry, report) for at, entry in enumerate(config.sources)]
    films, left_out = _gather(opened, config.view, report)
    sides = split_patients(films, config.shares, config.seed)
    with _written_whole(out) as partial:
        built = build_film_dataset(
            films,
            out=partial,
            resolution=config.resolution,
            splits=sides,
            on_bad=config.on_bad,
            sources=[source.as_dict() for source in opened],
            counts=left_out,
            attribution=sorted({source.attribution for source in opened} - {""}),
        )
        for sentence in built.unreadable:
            report(f"left out: {sentence}")
        _refuse_emptied(built, set(sides.values()))
        from synthcxr.checks import films as film_checks  # great-expectations takes seconds to import

        checks = film_checks.check_films(built.manifest, resolution=config.resolution)
        _refuse_failed(checks)
        json_files.write_json(partial / CHECKS_FILE, checks.as_dict())
    n_test = built.counts["by_split"]["test"]
    if n_test < _FEW:
        report(f"{n_test:,} test films: a comparison wants at least {_FEW}, so that evaluate will judge little")
    return Summary(
        path=out,
        resolution=config.resolution,
        fingerprint=built.fingerprint,
        phantom=built.phantom,
        counts=left_out | built.counts,
        unreadable=built.unreadable,
        checks=checks,
    )


def _gather(opened: Sequence[Source], view: str, report: Report) -> tuple[list[Film], dict[str, int]]:
    """The films of all sources that have the view, each once, and how many were left out."""
    everything = [film for source in opened for film in source.films]
    viewed = [film for film in everything if view in {"both", film.view}]
    if not viewed:
        raise DataError(f"no films found: the sources hold {len(everything):,}, of view {view} none")
    films = sources.merged(viewed)
    left_out = {"other_view": len(everything) - len(viewed), "duplicates": len(viewed) - len(films)}
    if left_out["other_view"]:
        report(f"{left_out['other_view']:,} films are left out: their view is not known to be {view}")
    if left_out["duplicates"]:
        report(
            f"{left_out['duplicates']:,} films are left out: the sources hold them more than once, the largest stays"
        )
    return films, left_out


def _refuse_emptied(built: BuildReport, sides: set[str]) -> None:
    empty = sorted(sides - set(built.manifest["split"]))
    if empty:
        raise DataError(f"no readable film is left for {', '.join(empty)}; replace the {len(built.unreadable):,} broken ones")


def _refuse_failed(checks: CheckResult) -> None:
    if not checks.passed:
        line = checks.failed[0]
        named = f": {', '.join(line.rows)}" if line.rows else ""
        raise DataError(f"the manifest fails {len(checks.failed)} of its checks, first: {line.sentence}{named}")


@contextlib.contextmanager
def _written_whole(out: Path) -> Iterator[Path]:
    """A folder to write into; it takes the place of `out` when the block ends, and is removed when the block fails.

    A process killed in between leaves `out` as it was, and a folder beside it that the next run clears away.
    """
    for suffix in (atomic.PARTIAL_SUFFIX, atomic.REPLACED_SUFFIX):
        _refuse_foreign(atomic.partial_path(out.resolve(), suffix))
    try:
        with atomic.open_folder(out) as partial:
            yield partial
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error}); what was there is unharmed") from error


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and has_only_dataset_files(folder)):
        raise DataError(f"{folder}: holds something other than a packed dataset; choose another folder, or clear it")
