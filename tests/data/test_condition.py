"""The condition of a film: its columns, and conversion of attributes into numbers and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthcxr.data import condition
from synthcxr.data.condition import FilmAttributes
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError

NAN = float("nan")


def build_attributes(*films: tuple[dict[str, float] | None, str, str, float]) -> FilmAttributes:
    """Films as (findings that are not 0, or None for unknown findings; view; sex; age)."""
    rows = [[NAN] * 14 if known is None else [known.get(name, 0.0) for name in FINDINGS] for known, *_ in films]
    return FilmAttributes(
        findings=np.array(rows, np.float32).reshape(-1, 14),
        views=np.array([film[1] for film in films], dtype=str),
        sexes=np.array([film[2] for film in films], dtype=str),
        ages=np.array([film[3] for film in films], np.float32),
    )


def test_a_condition_has_known_values() -> None:
    """Each column is named; unknown values have columns of their own, and ages are rounded to 5 years, at most 90."""
    films = build_attributes(({"Edema": 1, "Hernia": NAN}, "PA", "F", 58), (None, "LL", "", NAN), ({}, "AP", "M", 97))
    rows = condition.encode_conditions(films, condition.PARTS)
    columns = condition.list_columns(condition.PARTS)
    assert rows.shape == (3, len(columns)) == (3, 36)
    named = [{name: value for name, value in zip(columns, row.tolist(), strict=True) if value} for row in rows]
    age = "age (years - 50) / 25"
    assert named[0] == {"Edema": 1, "Hernia unknown": 1, "view PA": 1, "sex F": 1, age: pytest.approx(0.4)}
    assert named[1] == {f"{finding} unknown": 1 for finding in FINDINGS} | {
        "view unknown": 1,
        "sex unknown": 1,
        "age unknown": 1,
    }
    assert named[2] == {"view AP": 1, "sex M": 1, age: pytest.approx(1.6)}


def test_columns_have_one_order() -> None:
    """The order of the list in the parameters does not matter, and no parts have no columns."""
    films = build_attributes(({"Mass": 1}, "PA", "M", 20))
    assert condition.list_columns(["age", "view"]) == condition.list_columns(["view", "age"])
    assert condition.encode_conditions(films, ["age", "view"]).tolist() == [pytest.approx([0, 1, 0, -1.2, 0])]
    assert condition.list_columns([]) == ()
    assert condition.encode_conditions(films, []).shape == (1, 0)


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(FINDINGS), st.sampled_from([1.0, NAN])) | st.none(),
            st.sampled_from(["PA", "AP", ""]),
            st.sampled_from(["F", "M", ""]),
            st.integers(0, 18).map(lambda fives: 5.0 * fives) | st.just(NAN),
        ),
        max_size=5,
    ),
    st.sets(st.sampled_from(condition.PARTS)),
)
def test_attributes_survive_the_round_trip(
    films: list[tuple[dict[str, float] | None, str, str, float]], parts: set[condition.ConditionPart]
) -> None:
    """What is not a part of the condition is unknown afterwards; everything else is as before."""
    before = build_attributes(*films)
    after = condition.decode_conditions(condition.encode_conditions(before, list(parts)), list(parts))
    n = len(films)
    unknown = build_attributes(*[(None, "", "", NAN)] * n)
    np.testing.assert_array_equal(after.findings, (before if "findings" in parts else unknown).findings)
    assert after.views.tolist() == (before if "view" in parts else unknown).views.tolist()
    assert after.sexes.tolist() == (before if "sex" in parts else unknown).sexes.tolist()
    np.testing.assert_array_equal(after.ages, (before if "age" in parts else unknown).ages)


@pytest.mark.parametrize("parts", [(), ("view",), ("findings", "age"), condition.PARTS])
def test_parts_are_found_by_their_columns(parts: tuple[condition.ConditionPart, ...]) -> None:
    """A model file names its columns; columns of another version, order or meaning are refused."""
    columns = condition.list_columns(parts)
    assert condition.find_parts(columns, "g.onnx") == parts
    for other in ((*columns, "weight"), columns[1:], columns[::-1]):
        if other != columns:
            with pytest.raises(ArtifactError, match=r"g\.onnx: its condition has other columns"):
                condition.find_parts(other, "g.onnx")


def test_films_with_one_known_finding_are_labelled() -> None:
    """A film is unlabelled only if all 14 findings are unknown."""
    almost_unknown = dict.fromkeys(FINDINGS[1:], NAN)
    films = build_attributes((None, "PA", "F", 50), (almost_unknown, "", "", NAN), ({}, "", "", NAN))
    assert films.are_labelled.tolist() == [False, True, True]
