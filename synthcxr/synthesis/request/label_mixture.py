"""Several sets of findings in one dataset: so many of each finding, or a distribution over sets of findings."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from synthcxr.data import findings as labels
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ConfigError, DataError
from synthcxr.synthesis.request import nih_sets
from synthcxr.synthesis.request.label_condition import Wanted

NIH = "nih"
_COLUMN, _COUNTS = "Finding Labels", ("films", "share", "weight")

Quotas = tuple[tuple[Wanted, int], ...]


def quotas(wanted: Wanted, *, n: int, per_label: int | None, mix: str | None) -> Quotas:
    """What a request asks for and how many images of it; ConfigError where it says so twice."""
    if mix is not None and (per_label is not None or not wanted.anything):
        raise ConfigError("a mix says itself what is wanted: leave labels, without and per_label out")
    if mix is not None:
        return mixed(mix, n)
    if per_label is not None:
        return each(per_label, wanted.findings, wanted.without)
    return ((wanted, n),)


def each(n: int, findings: Sequence[str], without: Sequence[str]) -> Quotas:
    """`n` images of each of the findings (of all 14 where none is named), whatever else they show but `without`."""
    return tuple((Wanted.of([name], without), n) for name in (findings or FINDINGS) if name not in without)


def mixed(source: str, n: int) -> Quotas:
    """`n` images spread over sets of findings as in `source`: "nih", or a CSV file with a column Finding Labels.

    A row counts as its column films, share or weight says, and once without one, so that a table of films will do.
    """
    shares = _heaviest_first(_nih()) if source == NIH else read(Path(source))
    counts = spread(n, list(shares.values()))
    return tuple((Wanted.exactly(names), k) for names, k in zip(shares, counts, strict=True) if k)


def spread(n: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers that sum to `n` and are each within one of their share of it (largest remainders, first first)."""
    shares = np.asarray(weights, dtype=np.float64) * (n / sum(weights))
    counts = np.floor(shares).astype(int)
    order = np.argsort(counts - shares, kind="stable")
    counts[order[: n - counts.sum()]] += 1
    return [int(count) for count in counts]


def read(path: Path) -> dict[tuple[str, ...], float]:
    """The weight of each set of findings in a table, the heaviest first."""
    held: dict[tuple[str, ...], float] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                names = labels.names(labels.parse(row[_COLUMN]))
                held[names] = held.get(names, 0.0) + _weight(row)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; a mix is {NIH!r}, or a CSV file with a column {_COLUMN!r}") from None
    except KeyError:
        raise DataError(f"{path}: has no column {_COLUMN!r}, with findings joined by |") from None
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not readable as a table of sets of findings ({error})") from error
    if not held or min(held.values()) < 0 or not 0 < sum(held.values()) < np.inf:
        raise DataError(f"{path}: holds no set of findings with a weight above 0, or one below it")
    return _heaviest_first(held)


def _heaviest_first(held: Mapping[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return dict(sorted(held.items(), key=lambda item: -item[1]))


def _nih() -> dict[tuple[str, ...], float]:
    return {tuple(names.split(labels.SEPARATOR)): float(n) for names, n in nih_sets.films().items()}


def _weight(row: Mapping[str, str]) -> float:
    return next((float(row[name]) for name in _COUNTS if name in row), 1.0)
