"""What `prepare` says that later stages will refuse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from synthcxr.data.film_warnings import list_warnings
from synthcxr.data.findings import FINDINGS, NO_FINDING, UNKNOWN_FINDINGS, to_multi_hot

ENOUGH = {"train": 200, "judge": 80, "val": 60, "test": 60}
MIXED = [to_multi_hot([finding]) for finding in FINDINGS]


def make_manifest(n_films: Mapping[str, int], labels: Sequence[tuple[float, ...]], *, size: int = 64) -> pd.DataFrame:
    """A manifest with so many films in each split, whose labels repeat."""
    splits = [split for split, n in n_films.items() for _ in range(n)]
    findings = np.array([labels[index % len(labels)] for index in range(len(splits))], dtype=np.float32)
    manifest = pd.DataFrame(findings, columns=list(FINDINGS))
    return manifest.assign(split=splits, size=size)


def test_enough_films_give_no_warning() -> None:
    """Films of all findings in sufficient numbers give no line."""
    assert list_warnings(make_manifest(ENOUGH, MIXED), 64) == ()


@pytest.mark.parametrize(
    ("n_films", "parts"),
    [
        ({"val": 49}, ("49 val films of 64 px are fewer than 50", "n_val_distance: 0", "prepare.shares.val")),
        ({"test": 49}, ("49 test films of 64 px are fewer than 50", "not applicable", "prepare.shares.test")),
        ({"judge": 1}, ("1 judge films of 64 px are fewer than 2", "train-judge", "prepare.shares.judge")),
        ({"train": 0, "judge": 0}, ("0 train and judge films of 64 px are fewer than 1", "`train-gan` will refuse")),
        ({"val": 24, "test": 25}, ("49 val and test films of 64 px are fewer than 50", "--reject-memorised")),
        ({"val": 29}, ("29 val films of 64 px are fewer than 30", "calibrate")),
    ],
)
def test_too_few_films_are_named_with_what_refuses_them(n_films: Mapping[str, int], parts: Sequence[str]) -> None:
    """A line has the number, the minimum, the stage and what to do; one film more gives no such line."""
    lines = list_warnings(make_manifest(ENOUGH | n_films, MIXED), 64)
    assert [line for line in lines if all(part in line for part in parts)]
    (split, n), *others = n_films.items()
    more = list_warnings(make_manifest(ENOUGH | {split: n + 1} | dict(others), MIXED), 64)
    assert not [line for line in more if all(part in line for part in parts)]


def test_films_of_a_lower_resolution_do_not_count() -> None:
    """Films below the packed resolution cannot be compared at it."""
    lines = list_warnings(make_manifest(ENOUGH, MIXED, size=32), 64)
    assert any("0 test films of 64 px" in line for line in lines)


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        ([to_multi_hot([NO_FINDING])], "one class only (No Finding)"),
        ([tuple(value or float("nan") for value in to_multi_hot(["Mass"]))], "one class only (Mass)"),
        ([UNKNOWN_FINDINGS], "no film has a label"),
    ],
)
def test_one_class_only_is_named(labels: Sequence[tuple[float, ...]], part: str) -> None:
    """Films of one class, or without labels, are a warning."""
    (line,) = list_warnings(make_manifest(ENOUGH, labels), 64)
    assert part in line


def test_finding_without_val_films_is_named() -> None:
    """A finding of train films only has no AUROC, and its threshold is weak."""
    rows = make_manifest(ENOUGH, MIXED)
    rows.loc[rows["split"] == "val", "Hernia"] = 0.0
    auroc, weak = list_warnings(rows, 64)
    assert "Hernia: their AUROC will be null" in auroc
    assert "fewer than 3 val films have Hernia" in weak
