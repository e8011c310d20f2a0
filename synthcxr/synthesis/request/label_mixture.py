"""How many images of which label condition a request asks for: one condition, a number per finding, or a mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from synthcxr.config.schema import GenerateConfig
from synthcxr.data import random_streams
from synthcxr.data.findings import FINDINGS, parse_finding_labels, to_finding_names
from synthcxr.errors import ConfigError, DataError
from synthcxr.storage import csv_files, guarded_files
from synthcxr.synthesis.request.label_condition import LabelCondition

NIH = "nih"
NIH_LABEL_SETS = Path(__file__).with_name("nih_label_sets.csv")
"""Films of NIH ChestX-ray14 per set of findings, counted in Data_Entry_2017_v2020.csv.

The 223 sets that ten or more films carry; they cover 98.7 % of the 112,120 films.
"""
_LABEL_COLUMN, _WEIGHT_COLUMNS = "Finding Labels", ("films", "share", "weight")

Quotas = tuple[tuple[LabelCondition, int], ...]
"""Each condition with the number of images that must meet it."""


def plan_quotas(config: GenerateConfig) -> Quotas:
    """Check a section `generate` and return its quotas; DataError lists all findings when one is unknown."""
    for name in ("n", "max_draws", "batch"):
        if getattr(config, name) < 1:
            raise ConfigError(f"generate.{name}: must be at least 1, is {getattr(config, name)}")
    if not 0 <= config.seed <= random_streams.MAX_SEED:
        raise ConfigError(f"generate.seed: must be in 0 .. {random_streams.MAX_SEED}, is {config.seed}")
    condition = LabelCondition.from_names(config.labels, config.without)
    if config.mix is not None and (config.per_label is not None or not condition.is_unconditional):
        raise ConfigError("a mix already sets the labels; remove labels, without and per_label")
    if config.mix is not None:
        return quotas_of_mixture(config.mix, config.n)
    if config.per_label is not None:
        return quotas_per_finding(config.per_label, condition.findings, condition.without)
    return ((condition, config.n),)


def quotas_per_finding(n: int, required: Sequence[str], excluded: Sequence[str]) -> Quotas:
    """`n` images for each required finding (all 14 if none is named); each may show others, but none excluded."""
    names = [name for name in (required or FINDINGS) if name not in excluded]
    return tuple((LabelCondition.from_names([name], excluded), n) for name in names)


def quotas_of_mixture(source: str, n: int) -> Quotas:
    """Distribute `n` images over sets of findings as in `source`: "nih", or the path of a table for `read_mixture`."""
    weights = read_mixture(NIH_LABEL_SETS if source == NIH else Path(source))
    counts = apportion(n, list(weights.values()))
    return tuple(
        (LabelCondition.from_exact_set(names), count) for names, count in zip(weights, counts, strict=True) if count
    )


def apportion(n: int, weights: Sequence[float]) -> list[int]:
    """Divide `n` in proportion to `weights` by largest remainders; ties go to the earlier weight.

    The counts sum to `n`, and each is within one of its exact share.
    """
    shares = np.asarray(weights, dtype=np.float64) * (n / sum(weights))
    counts = np.floor(shares).astype(int)
    order = np.argsort(counts - shares, kind="stable")
    counts[order[: n - counts.sum()]] += 1
    return [int(count) for count in counts]


def read_mixture(path: Path) -> dict[tuple[str, ...], float]:
    """Read the weight of each set of findings from a CSV file, heaviest first.

    The column Finding Labels holds findings joined by |. A row weighs what its column films, share or weight says, and
    1 without such a column, so a table with one row per film works.
    """
    weights: dict[tuple[str, ...], float] = {}
    advice = f"a mix is {NIH!r}, or a CSV file with a column {_LABEL_COLUMN!r} (findings joined by |)"
    rows = csv_files.read_rows(path, (_LABEL_COLUMN,), advice=advice)
    with guarded_files.report_failure(path, "a table of sets of findings"):
        for row in rows:
            names = to_finding_names(parse_finding_labels(row[_LABEL_COLUMN]))
            weights[names] = weights.get(names, 0.0) + _parse_weight(row)
    if not weights or min(weights.values()) < 0 or not 0 < sum(weights.values()) < np.inf:
        raise DataError(f"{path}: weights must not be negative, and at least one must be above 0")
    return dict(sorted(weights.items(), key=lambda item: -item[1]))


def _parse_weight(row: Mapping[str, str]) -> float:
    return next((float(row[name]) for name in _WEIGHT_COLUMNS if name in row), 1.0)
