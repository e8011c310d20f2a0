"""Quotas: how many images a request needs of each label condition."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.request.label_mixture import (
    NIH_LABEL_SETS,
    apportion,
    quotas_of_mixture,
    quotas_per_finding,
    read_mixture,
)


@given(st.integers(1, 10_000), st.lists(st.floats(0.001, 1000), min_size=1, max_size=40))
def test_counts_sum_to_n_and_are_within_one_of_their_share(n: int, weights: list[float]) -> None:
    """The counts sum to n, and each differs from its exact share by less than one."""
    counts = apportion(n, weights)
    assert sum(counts) == n
    assert all(abs(count - n * weight / sum(weights)) < 1 + 1e-6 for count, weight in zip(counts, weights, strict=True))


def test_quotas_per_finding_cover_the_requested_findings() -> None:
    """Without a list, all 14 findings get a quota; an excluded finding gets none."""
    assert [n for _, n in quotas_per_finding(5, (), ())] == [5] * 14
    assert quotas_per_finding(5, ("Mass",), ("Edema",)) == ((LabelCondition.from_names(["Mass"], ["Edema"]), 5),)
    assert len(quotas_per_finding(5, (), ("Edema",))) == 13


def test_the_nih_mixture_requests_exact_sets_of_findings() -> None:
    """More than half of the NIH's films show no finding; each other set excludes all findings outside it."""
    quotas = quotas_of_mixture("nih", 1000)
    assert sum(n for _, n in quotas) == 1000
    assert quotas[0] == (LabelCondition.from_names(["No Finding"]), pytest.approx(545, abs=2))
    pair = next(condition for condition, _ in quotas if len(condition.findings) == 2)
    assert len(pair.findings) + len(pair.without) == len(FINDINGS)


def test_the_nih_label_sets_have_the_published_counts() -> None:
    """The packaged table holds 223 sets with 110,698 films, the most frequent first."""
    films = read_mixture(NIH_LABEL_SETS)
    assert len(films) == 223 and sum(films.values()) == 110_698
    assert list(films.values()) == sorted(films.values(), reverse=True)
    assert films[("No Finding",)] == 60_361 and films[("Infiltration", "Pneumonia", "Edema")] == 138


def test_a_table_of_films_is_a_mixture(tmp_path: Path) -> None:
    """Each row counts once, or by its weight column; findings may come in any order and case."""
    path = tmp_path / "t.csv"
    path.write_text("Finding Labels\nMass|edema\nEdema|Mass\nNo Finding\nHernia\n")
    assert read_mixture(path) == {("Mass", "Edema"): 2.0, ("No Finding",): 1.0, ("Hernia",): 1.0}
    path.write_text("Finding Labels,share\nMass,0.25\nNo Finding,0.75\n")
    no_finding, mass = LabelCondition.from_names(["No Finding"]), LabelCondition.from_exact_set(["Mass"])
    assert quotas_of_mixture(str(path), 8) == ((no_finding, 6), (mass, 2))


def test_an_unknown_mixture_explains_the_two_kinds() -> None:
    """A name that is neither "nih" nor a file gives an error that names both kinds."""
    with pytest.raises(DataError, match="nhi: no such file; a mix is 'nih', or a CSV file"):
        quotas_of_mixture("nhi", 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("finding,share\nMass,1\n", "columns missing: Finding Labels"),
        ("Finding Labels,share\nMass,x\n", "not readable as a table"),
        ("Finding Labels,share\nMass,-1\n", "weights must not be negative"),
        ("Finding Labels\nCough\n", "unknown finding 'Cough'"),
    ],
)
def test_an_invalid_table_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    """Wrong columns, weights and findings are one line each."""
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        quotas_of_mixture(str(tmp_path / "t.csv"), 4)
