"""A label distribution from elsewhere that a set may be held against, such as that of the whole NIH release.

The films here may be no random sample of it. Its labels were read from reports and those of a set come from the judge,
so a difference is of both, the images and the way of labelling.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.data.findings import FINDINGS, NO_FINDING, canonical
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap, label_distribution
from synthcxr.evaluation.metrics.label_distribution import Bool

NIH = "nih"
NIH_FILMS = 112_120
# Films of each finding in Data_Entry_2017_v2020.csv, "No Finding" first.
_NIH = (60361, 11559, 2776, 13317, 19894, 5782, 6331, 1431, 5302, 4667, 2303, 2516, 1686, 3385, 227)


def load(name: str) -> tuple[str, dict[str, float]]:
    """A name and the share of films with each finding: "nih", or a CSV file with columns finding and share."""
    if name == NIH:
        shares = [n / NIH_FILMS for n in _NIH]
        return f"NIH ChestX-ray14, {NIH_FILMS:,} films", dict(zip((NO_FINDING, *FINDINGS), shares, strict=True))
    path = Path(name)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            held = {canonical(row["finding"]): float(row["share"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: no table of prevalence with columns finding and share ({error})") from error
    absent = [known for known in (NO_FINDING, *FINDINGS) if known not in held]
    if absent or not all(0 <= share <= 1 for share in held.values()):
        raise DataError(f"{path}: expected a share of 0 to 1 for every finding; absent: {', '.join(absent) or 'none'}")
    return path.name, held


def compare(name: str, shares: dict[str, float], present: Bool, *, weak: tuple[str, ...]) -> dict[str, Any]:
    """Shares and divergences of images' findings bool [n, 14] from such a distribution; the `weak` take no part.

    The distribution is taken as known: the ratio's interval is of the images alone.
    """
    made = label_distribution.categories(present, weak).mean(axis=0)
    names = (NO_FINDING, *FINDINGS)
    judged = np.array([each not in weak for each in names])
    reference = np.array([shares[each] for each in names])
    pair = {"real": reference[judged], "synthetic": made[judged]}
    return {
        "name": name,
        "shares": {
            each: _share(float(r), float(s), len(present)) | {"judged": each not in weak}
            for each, r, s in zip(names, reference, made, strict=True)
        },
        "total_variation": label_distribution.total_variation(**pair),
        "jensen_shannon": label_distribution.jensen_shannon(**pair),
    }


def _share(reference: float, synthetic: float, n: int) -> dict[str, Any]:
    interval = bootstrap.wilson(synthetic * n, n)
    return {
        "reference": reference,
        "synthetic": synthetic,
        "synthetic_interval": interval,
        "ratio": synthetic / reference if reference > 0 else None,
        "ratio_interval": (interval[0] / reference, interval[1] / reference) if reference > 0 else None,
    }
