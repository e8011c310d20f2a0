"""The part "prevalence" of the section "labels": images against a given label distribution, such as the NIH release's.

The packed films may not be a random sample of that population. Its labels were read from reports and those of the
images come from the judge, so a difference may come from the images or from the way of labelling.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synthcxr.data.findings import FINDINGS, NO_FINDING, canonicalize_finding
from synthcxr.data.metrics_rows import PrevalenceRow
from synthcxr.data.metrics_schema import Prevalence
from synthcxr.data.share_interval import wilson_interval
from synthcxr.errors import DataError
from synthcxr.evaluation.comparison import JudgeLabels
from synthcxr.evaluation.metrics import label_distribution
from synthcxr.evaluation.metrics.label_distribution import Bool
from synthcxr.storage import csv_files, guarded_files

NIH = "nih"
NIH_N_FILMS = 112_120
# Films with each finding in Data_Entry_2017_v2020.csv, "No Finding" first.
_NIH_COUNTS = (60361, 11559, 2776, 13317, 19894, 5782, 6331, 1431, 5302, 4667, 2303, 2516, 1686, 3385, 227)


def load_prevalence(source: str) -> tuple[str, dict[str, float]]:
    """A name and the share of films with each finding: "nih", or a CSV file with the columns finding and share."""
    if source == NIH:
        shares = [n / NIH_N_FILMS for n in _NIH_COUNTS]
        return f"NIH ChestX-ray14, {NIH_N_FILMS:,} films", dict(zip((NO_FINDING, *FINDINGS), shares, strict=True))
    path = Path(source)
    rows = csv_files.read_rows(path, ("finding", "share"), advice="give a CSV table with the columns finding and share")
    with guarded_files.report_failure(path, "a table of shares"):
        share_of = {canonicalize_finding(row["finding"]): float(row["share"]) for row in rows}
    missing = [name for name in (NO_FINDING, *FINDINGS) if name not in share_of]
    if missing:
        raise DataError(f"{path}: no share for {', '.join(missing)}; give one for every finding and for {NO_FINDING}")
    if not all(0 <= share <= 1 for share in share_of.values()):
        raise DataError(f"{path}: a share is not between 0 and 1; give shares, not counts or percentages")
    return path.name, share_of


def compare_with_prevalence(labels: JudgeLabels, name: str, share_of: dict[str, float]) -> Prevalence:
    """Compare the judge's labels of the images with a distribution; weak findings do not enter the divergences."""
    return compare_shares(name, share_of, labels.synthetic, not_judged=labels.weak_findings)


def compare_shares(
    name: str, share_of: dict[str, float], synthetic: Bool, *, not_judged: tuple[str, ...]
) -> Prevalence:
    """Compare the findings of images, bool [n, 14], with a distribution.

    The distribution counts as known exactly: the intervals of the ratios cover the images alone.
    """
    shares = label_distribution.add_no_finding(synthetic, not_judged).mean(axis=0)
    names = (NO_FINDING, *FINDINGS)
    is_judged = np.array([finding not in not_judged for finding in names])
    reference = np.array([share_of[finding] for finding in names])
    judged_shares = {"real": reference[is_judged], "synthetic": shares[is_judged]}
    return {
        "name": name,
        "shares": {
            finding: _compare_share(float(r), float(s), len(synthetic), judged=finding not in not_judged)
            for finding, r, s in zip(names, reference, shares, strict=True)
        },
        "total_variation": label_distribution.total_variation(**judged_shares),
        "jensen_shannon": label_distribution.jensen_shannon(**judged_shares),
    }


def _compare_share(reference: float, synthetic: float, n: int, *, judged: bool) -> PrevalenceRow:
    low, high = interval = wilson_interval(synthetic * n, n)
    return {
        "reference": reference,
        "synthetic": synthetic,
        "synthetic_interval": interval,
        "ratio": synthetic / reference if reference > 0 else None,
        "ratio_interval": (low / reference, high / reference) if reference > 0 else None,
        "judged": judged,
    }
