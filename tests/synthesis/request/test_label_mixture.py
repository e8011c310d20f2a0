"""Quotas over sets of findings."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.synthesis.request import label_mixture
from synthcxr.synthesis.request.label_condition import Wanted


@given(st.integers(1, 10_000), st.lists(st.floats(0.001, 1000), min_size=1, max_size=40))
def test_counts_sum_to_n_and_are_within_one_of_their_share(n: int, weights: list[float]) -> None:
    """No set gets more than one image more or less than its share."""
    counts = label_mixture.spread(n, weights)
    assert sum(counts) == n
    assert all(abs(k - n * weight / sum(weights)) < 1 + 1e-6 for k, weight in zip(counts, weights, strict=True))


def test_so_many_of_each() -> None:
    """Of all 14 findings, or of those named; what is left out is not asked for."""
    assert [n for _, n in label_mixture.each(5, (), ())] == [5] * 14
    assert label_mixture.each(5, ("Mass",), ("Edema",)) == ((Wanted.of(["Mass"], ["Edema"]), 5),)
    assert len(label_mixture.each(5, (), ("Edema",))) == 13


def test_the_release_is_a_distribution_over_sets() -> None:
    """More than half of the NIH's films show nothing; a set means those findings and no other."""
    quotas = label_mixture.mixed("nih", 1000)
    assert sum(n for _, n in quotas) == 1000
    assert quotas[0] == (Wanted.of(["No Finding"]), pytest.approx(545, abs=2))
    pair = next(wanted for wanted, _ in quotas if len(wanted.findings) == 2)
    assert len(pair.findings) + len(pair.without) == len(FINDINGS)


def test_a_table_of_films_is_a_distribution(tmp_path: Path) -> None:
    """One row a film counts once; a column of weights counts as it says; names are taken in any order and case."""
    path = tmp_path / "t.csv"
    path.write_text("Finding Labels\nMass|edema\nEdema|Mass\nNo Finding\nHernia\n")
    assert label_mixture.read(path) == {("Mass", "Edema"): 2.0, ("No Finding",): 1.0, ("Hernia",): 1.0}
    path.write_text("Finding Labels,share\nMass,0.25\nNo Finding,0.75\n")
    assert label_mixture.mixed(str(path), 8) == ((Wanted.of(["No Finding"]), 6), (Wanted.exactly(["Mass"]), 2))


def test_what_is_no_table_says_what_a_mix_is() -> None:
    """A name that is neither of the two kinds of mix."""
    with pytest.raises(DataError, match="nhi: no such file; a mix is 'nih', or a CSV file"):
        label_mixture.mixed("nhi", 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("finding,share\nMass,1\n", "has no column 'Finding Labels'"),
        ("Finding Labels,share\nMass,x\n", "not readable as a table"),
        ("Finding Labels,share\nMass,-1\n", "no set of findings with a weight above 0"),
        ("Finding Labels\nCough\n", "unknown finding 'Cough'"),
    ],
)
def test_a_broken_table_says_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    """Wrong columns, weights and names are one line each."""
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        label_mixture.mixed(str(tmp_path / "t.csv"), 4)
