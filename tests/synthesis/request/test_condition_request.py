"""The conditions that a request selects from a table, or that are built where no film meets it."""

from __future__ import annotations

import numpy as np

from synthcxr.data.attribute_request import ANY_ATTRIBUTES, AttributeRequest
from synthcxr.data.condition import FilmAttributes
from synthcxr.data.condition_table import ConditionTable
from synthcxr.data.findings import FINDINGS, format_finding_labels, parse_finding_labels
from synthcxr.synthesis.request.condition_request import describe_unseen, select_conditions
from synthcxr.synthesis.request.label_condition import LabelCondition

LABELS = ["Edema", "Edema", "Edema|Mass", "Edema|Effusion", "No Finding", "No Finding", "Mass", "Hernia"]
FILMS = FilmAttributes(
    findings=np.array([parse_finding_labels(text) for text in LABELS], np.float32),
    views=np.array(["PA", "PA", "AP", "AP", "PA", "AP", "", "AP"]),
    sexes=np.array(["F"] * 8),
    ages=np.full(8, 50, np.float32),
)
TABLE = ConditionTable.from_films(FILMS, ("findings", "view"))
PA, AP = AttributeRequest(view="PA"), AttributeRequest(view="AP")


def name(*names: str, without: tuple[str, ...] = ()) -> LabelCondition:
    return LabelCondition.from_names(names, without)


def list_rows(table: ConditionTable) -> dict[tuple[str, str], float]:
    """The share of each pair of findings and view."""
    films = table.attributes
    texts = [format_finding_labels(row) for row in films.findings.tolist()]
    return dict(zip(zip(texts, films.views.tolist(), strict=True), table.shares.tolist(), strict=True))


def test_a_request_selects_the_films_that_meet_it() -> None:
    """Requested findings, among others that are not excluded, in the requested view, by their shares."""
    assert list_rows(select_conditions(TABLE, ANY_ATTRIBUTES, name("Edema"))) == {
        ("Edema", "PA"): 0.5,
        ("Mass|Edema", "AP"): 0.25,
        ("Effusion|Edema", "AP"): 0.25,
    }
    without_mass = select_conditions(TABLE, AP, name("Edema", without=("Mass",)))
    assert list_rows(without_mass) == {("Effusion|Edema", "AP"): 1}
    assert list_rows(select_conditions(TABLE, ANY_ATTRIBUTES, name("No Finding"))) == {
        ("No Finding", "AP"): 0.5,
        ("No Finding", "PA"): 0.5,
    }
    assert list_rows(select_conditions(TABLE, ANY_ATTRIBUTES, LabelCondition())) == list_rows(TABLE)


def test_unknown_findings_are_neither_present_nor_absent() -> None:
    """Only films that certainly lack an excluded finding meet a request; No Finding needs all labels."""
    findings = np.full((2, 14), np.nan, np.float32)
    findings[:, FINDINGS.index("Edema")] = 1
    findings[1, FINDINGS.index("Effusion")] = 0
    assert name("Edema").matches_labels(findings).tolist() == [True, True]
    assert name("Edema", without=("Effusion",)).matches_labels(findings).tolist() == [False, True]
    assert name("No Finding").matches_labels(np.full((1, 14), np.nan, np.float32)).tolist() == [False]
    assert name("No Finding").matches_labels(np.zeros((1, 14), np.float32)).tolist() == [True]


def test_findings_that_no_film_shows_are_set_by_hand() -> None:
    """The requested findings and no others are set in the conditions of films with the requested view."""
    assert list_rows(select_conditions(TABLE, PA, name("Hernia", "Mass"))) == {("Mass|Hernia", "PA"): 1}
    by_hand = list_rows(select_conditions(TABLE, ANY_ATTRIBUTES, name("Hernia", "Mass")))
    assert by_hand == {("Mass|Hernia", "PA"): 3 / 8, ("Mass|Hernia", "AP"): 0.5, ("Mass|Hernia", ""): 1 / 8}


def test_a_view_that_no_film_has_is_set_by_hand() -> None:
    """The films with the requested findings keep them; without such films both are set."""
    only_pa = TABLE.select(TABLE.attributes.views == "PA")
    assert list_rows(select_conditions(only_pa, AP, name("Edema"))) == {("Edema", "AP"): 1}
    assert list_rows(select_conditions(only_pa, AP, name("Hernia"))) == {("Hernia", "AP"): 1}
    assert list_rows(select_conditions(only_pa, AP, LabelCondition())) == {
        ("Edema", "AP"): 2 / 3,
        ("No Finding", "AP"): 1 / 3,
    }


def test_findings_that_are_not_in_the_condition_select_nothing() -> None:
    """A table of views alone keeps all rows of the view, whatever the requested findings."""
    views = ConditionTable.from_films(FILMS, ("view",))
    selected = select_conditions(views, PA, name("Hernia"))
    assert selected.attributes.views.tolist() == ["PA"] and selected.shares.tolist() == [1]
    assert describe_unseen(views, PA, [name("Hernia")]) is None


def test_requests_that_no_film_meets_are_named() -> None:
    """One line names them, at most 20; a request that films meet has no line."""
    assert describe_unseen(TABLE, PA, [name("Edema"), LabelCondition()]) is None
    line = describe_unseen(TABLE, PA, [name("Edema"), name("Hernia", "Mass"), name("Hernia")])
    assert line is not None
    assert "in the training data have Mass and Hernia, view PA; Hernia, view PA;" in line
    many = describe_unseen(TABLE, ANY_ATTRIBUTES, [name("Fibrosis")] * 25)
    assert many is not None and many.count("Fibrosis") == 20 and " and 5 more;" in many
