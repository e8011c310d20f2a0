from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import DataError
from synthcxr.evaluation.sections.reference_prevalence import NIH_N_FILMS, compare_shares, load_prevalence


def test_the_nih_shares_are_those_of_its_table(real_films: Path) -> None:
    """Every share equals the count in Data_Entry_2017_v2020.csv."""
    path = real_films / "nih_release_sample" / "Data_Entry_2017_v2020.csv"
    rows = path.read_text(encoding="utf-8").splitlines()[1:]
    labels = [row.split(",")[1].split("|") for row in rows]
    name, share_of = load_prevalence("nih")
    assert name == "NIH ChestX-ray14, 112,120 films"
    assert len(rows) == NIH_N_FILMS
    for finding, share in share_of.items():
        assert share == sum(finding in film_labels for film_labels in labels) / len(rows)


def test_a_csv_table_is_a_label_distribution(tmp_path: Path) -> None:
    """Its name is that of the file; finding names are matched in any case."""
    path = tmp_path / "ours.csv"
    path.write_text("\n".join(["finding,share", *(f"{name},0.1" for name in ("no finding", *FINDINGS))]))
    name, share_of = load_prevalence(str(path))
    assert name == "ours.csv"
    assert share_of == dict.fromkeys((NO_FINDING, *FINDINGS), 0.1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([f"{name},0.1" for name in (NO_FINDING, *FINDINGS[:-1])], "no share for Hernia"),
        ([f"{name},10 %" for name in (NO_FINDING, *FINDINGS)], "ours.csv: not readable as a table of shares"),
        ([f"{name},10" for name in (NO_FINDING, *FINDINGS)], "a share is not between 0 and 1"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    """A missing finding, a share that is not a number and a percentage are named."""
    path = tmp_path / "ours.csv"
    path.write_text("\n".join(["finding,share", *lines]))
    with pytest.raises(DataError, match=message):
        load_prevalence(str(path))


def test_a_missing_table_is_refused() -> None:
    """Any name but "nih" is a path."""
    with pytest.raises(DataError, match="nihx: no such file; give a CSV table"):
        load_prevalence("nihx")


def test_images_with_the_given_shares_do_not_diverge() -> None:
    """Ratios are 1 and lie in their intervals, and a finding with the share 0 has no ratio."""
    synthetic = np.zeros((100, 14), dtype=bool)
    synthetic[:50, 0] = True
    share_of = dict.fromkeys(FINDINGS, 0.0) | {NO_FINDING: 0.5, FINDINGS[0]: 0.5}
    comparison = compare_shares("x", share_of, synthetic, not_judged=())
    assert comparison["total_variation"] == pytest.approx(0)
    assert comparison["jensen_shannon"] == pytest.approx(0)
    assert comparison["shares"][FINDINGS[0]]["ratio"] == 1
    assert comparison["shares"][FINDINGS[0]]["ratio_interval"] == pytest.approx((0.807, 1.193), abs=1e-3)
    assert comparison["shares"][FINDINGS[1]]["ratio"] is None


def test_findings_that_are_not_judged_do_not_enter_the_divergences() -> None:
    """A finding without images makes the distributions diverge, unless it is not judged."""
    synthetic = np.zeros((100, 14), dtype=bool)
    synthetic[:50, 0] = True
    share_of = dict.fromkeys(FINDINGS, 0.0) | {NO_FINDING: 0.5, FINDINGS[0]: 0.5, FINDINGS[1]: 0.5}
    assert compare_shares("x", share_of, synthetic, not_judged=())["total_variation"] > 0.2
    comparison = compare_shares("x", share_of, synthetic, not_judged=(FINDINGS[1],))
    assert comparison["total_variation"] == pytest.approx(0)
    assert not comparison["shares"][FINDINGS[1]]["judged"]
