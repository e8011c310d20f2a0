"""No row of a shipped table of conditions belongs to fewer than MIN_PATIENTS patients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from synthcxr.data.condition import PARTS, FilmAttributes
from synthcxr.data.condition_table import ConditionTable
from synthcxr.data.findings import FINDINGS
from synthcxr.data.rare_conditions import MIN_PATIENTS, merge_rare_conditions

HERNIA = FINDINGS.index("Hernia")


def build_films(n: int, *, view: str = "PA", findings: tuple[str, ...] = (), age: float = 50) -> FilmAttributes:
    """Films of women with the same attributes."""
    row = [1.0 if name in findings else 0.0 for name in FINDINGS]
    return FilmAttributes(
        np.tile(np.array(row, np.float32), (n, 1)), np.full(n, view), np.full(n, "F"), np.full(n, age, np.float32)
    )


def draw_films(n: int, seed: int) -> FilmAttributes:
    """Films with independent findings, most of them rare, and other attributes; one in ten has no labels."""
    rng = np.random.default_rng(seed)
    findings = (rng.random((n, len(FINDINGS))) < np.linspace(0.01, 0.3, len(FINDINGS))).astype(np.float32)
    findings[rng.random(n) < 0.1] = np.nan
    views, sexes = rng.choice(["PA", "AP", ""], n, p=[0.6, 0.39, 0.01]), rng.choice(["F", "M", ""], n)
    return FilmAttributes(findings, views, sexes, rng.integers(1, 99, n).astype(np.float32))


def join(*films: FilmAttributes) -> FilmAttributes:
    return FilmAttributes(*(np.concatenate(parts) for parts in zip(*(vars(f).values() for f in films), strict=True)))


def name_patients(n: int) -> list[str]:
    return [str(k) for k in range(n)]


def list_rows(table: ConditionTable) -> list[tuple[str, str, str, float]]:
    """Findings, view, sex and share of each row, the largest share first."""
    rows = table.attributes
    names = ["|".join(np.array(FINDINGS)[row == 1]) for row in rows.findings]
    return sorted(
        zip(names, rows.views.tolist(), rows.sexes.tolist(), table.shares.tolist(), strict=True),
        key=lambda row: -row[3],
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [3, 40, 600])
@pytest.mark.parametrize("parts", [("findings", "view"), PARTS])
def test_every_row_has_enough_patients(seed: int, n: int, parts: tuple) -> None:
    """Each row fits the films of MIN_PATIENTS patients or more, the shares sum to 1, and views keep their shares.

    A film fits a row if each attribute that the row knows is the film's. A view may only lose films to no view.
    """
    films = draw_films(n, seed)
    patients = [str(k // 2) for k in range(n)]
    table = ConditionTable.from_films(films, parts)
    merged = merge_rare_conditions(table, films, patients)
    assert merged.shares.sum() == pytest.approx(1)
    assert len(np.unique(merged.conditions, axis=0)) == len(merged.conditions) <= len(table.conditions)
    known = encode_films(films, parts)
    for row in encode_rows(merged):
        fits = ((row == known) | (row == "")).all(axis=1)
        assert len(set(np.array(patients)[fits])) >= min(MIN_PATIENTS, len(set(patients)))
    if n == 600:
        for view in ("PA", "AP"):
            before, after = (rows.shares[rows.attributes.views == view].sum() for rows in (table, merged))
            assert after == pytest.approx(before, abs=0.01)


def encode_films(films: FilmAttributes, parts: tuple) -> np.ndarray:
    """Each attribute as text, "" if unknown, [n, columns]."""
    ages = np.clip(np.round(films.ages / 5) * 5, 0, 90)
    columns = {"findings": films.findings, "view": films.views[:, None], "sex": films.sexes[:, None]}
    columns["age"] = ages[:, None]
    texts = np.concatenate([columns[part].astype(str) for part in PARTS if part in parts], axis=1)
    return np.where(texts == "nan", "", texts)


def encode_rows(table: ConditionTable) -> np.ndarray:
    return encode_films(table.attributes, table.parts)


def test_frequent_rows_stay_as_they_are() -> None:
    """A table without rare rows does not change, in digest and order."""
    films = join(build_films(20), build_films(5, findings=("Mass",)))
    table = ConditionTable.from_films(films, PARTS)
    assert merge_rare_conditions(table, films, name_patients(25)).digest == table.digest


def test_the_age_goes_first() -> None:
    """Films of one finding at different ages become one row of unknown age, with view, sex and finding."""
    ages = [build_films(1, findings=("Hernia",), age=age) for age in (40, 50, 60, 70, 80)]
    films = join(build_films(20), *ages)
    merged = merge_rare_conditions(ConditionTable.from_films(films, PARTS), films, name_patients(25))
    assert [row[:3] for row in list_rows(merged)] == [("", "PA", "F"), ("Hernia", "PA", "F")]
    assert sorted(merged.shares.tolist()) == pytest.approx([0.2, 0.8])
    assert np.isnan(merged.attributes.ages[merged.attributes.findings[:, HERNIA] == 1]).all()


def test_the_rarest_finding_goes_first() -> None:
    """Mass and Hernia, of four patients, becomes Mass with Hernia unknown, if enough patients have that."""
    films = join(build_films(20), build_films(1, findings=("Mass",)), build_films(4, findings=("Mass", "Hernia")))
    table = ConditionTable.from_films(films, ("findings", "view"))
    merged = merge_rare_conditions(table, films, name_patients(25))
    assert [row[:2] for row in list_rows(merged)] == [("", "PA"), ("", "PA")]
    mass = build_films(5, findings=("Mass",))
    unknown = mass.findings.copy()
    unknown[:, HERNIA] = np.nan
    films = join(films, dataclasses.replace(mass, findings=unknown))
    merged = merge_rare_conditions(ConditionTable.from_films(films, table.parts), films, name_patients(30))
    assert [row[0] for row in list_rows(merged)][:2] == ["", "Mass"]


def test_films_of_one_patient_count_once() -> None:
    """Twenty films of a single patient are as rare as one film."""
    films = join(build_films(20), build_films(20, view="AP", findings=("Mass",)))
    patients = [*name_patients(20), *["one"] * 20]
    merged = merge_rare_conditions(ConditionTable.from_films(films, PARTS), films, patients)
    assert [row[:3] for row in list_rows(merged)] == [("", "PA", "F")]
    assert merged.shares.tolist() == [1]


def test_a_table_of_few_patients_says_nothing() -> None:
    """If all films are those of fewer than MIN_PATIENTS patients, everything is unknown."""
    films = build_films(4, findings=("Mass",))
    merged = merge_rare_conditions(ConditionTable.from_films(films, PARTS), films, name_patients(4))
    assert np.isnan(merged.attributes.findings).all() and np.isnan(merged.attributes.ages).all()
    assert merged.attributes.views.tolist() == merged.attributes.sexes.tolist() == [""]
