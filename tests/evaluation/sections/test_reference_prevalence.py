from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import DataError
from synthcxr.evaluation.sections import reference_prevalence


def test_the_nih_shares_are_those_of_its_table(real_films: Path) -> None:
    """Every share is that counted in Data_Entry_2017_v2020.csv."""
    path = real_films / "nih_release_sample" / "Data_Entry_2017_v2020.csv"
    rows = path.read_text(encoding="utf-8").splitlines()[1:]
    held = [row.split(",")[1].split("|") for row in rows]
    name, shares = reference_prevalence.load("nih")
    assert name == "NIH ChestX-ray14, 112,120 films"
    assert len(rows) == reference_prevalence.NIH_FILMS
    for finding, share in shares.items():
        assert share == sum(finding in each for each in held) / len(rows)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    """A CSV of findings and shares is taken by its name; what is missing or no share is named."""
    path = tmp_path / "ours.csv"
    lines = [f"{name},0.1" for name in ("no finding", *FINDINGS)]
    path.write_text("\n".join(["finding,share", *lines]))
    name, shares = reference_prevalence.load(str(path))
    assert name == "ours.csv"
    assert shares == dict.fromkeys((NO_FINDING, *FINDINGS), 0.1)
    path.write_text("\n".join(["finding,share", *lines[:-1]]))
    with pytest.raises(DataError, match="absent: Hernia"):
        reference_prevalence.load(str(path))
    path.write_text("\n".join(["finding,share", *lines]).replace("0.1", "10 %"))
    with pytest.raises(DataError, match=r"ours.csv: no table of prevalence"):
        reference_prevalence.load(str(path))
    with pytest.raises(DataError, match="nihx: no table of prevalence"):
        reference_prevalence.load("nihx")


def test_equal_shares_do_not_diverge() -> None:
    """Images with the given shares: ratios of 1 in their intervals and no divergence; a share of 0 has no ratio."""
    present = np.zeros((100, 14), dtype=bool)
    present[:50, 0] = True
    shares = dict.fromkeys(FINDINGS, 0.0) | {NO_FINDING: 0.5, FINDINGS[0]: 0.5}
    found = reference_prevalence.compare("x", shares, present, weak=())
    assert found["total_variation"] == pytest.approx(0)
    assert found["jensen_shannon"] == pytest.approx(0)
    assert found["shares"][FINDINGS[0]]["ratio"] == 1
    assert found["shares"][FINDINGS[0]]["ratio_interval"] == pytest.approx((0.807, 1.193), abs=1e-3)
    assert found["shares"][FINDINGS[1]]["ratio"] is None
    shares[FINDINGS[1]] = 0.5
    assert reference_prevalence.compare("x", shares, present, weak=())["total_variation"] > 0.2
    left_out = reference_prevalence.compare("x", shares, present, weak=(FINDINGS[1],))
    assert left_out["total_variation"] == pytest.approx(0)
    assert not left_out["shares"][FINDINGS[1]]["judged"]
