"""Numbers and names as the report writes them."""

from __future__ import annotations

from synthcxr.report import text


def test_an_interval_stays_on_one_line() -> None:
    """The interval of an estimate has no place where a line may break."""
    assert text.format_estimate(0.15, [0.1, 0.2]).split(" ") == ["0.15", "(0.1\u00a0to\u00a00.2)"]
    assert text.format_share_estimate(0.15, [0.1, 0.2]).split(" ") == ["15.0\u00a0%", "(10.0\u00a0to\u00a020.0)"]
    auroc = text.format_auroc({"value": 0.7, "interval": [0.6, 0.8]}, in_text=True)
    assert auroc.split(" ") == ["0.700", "(95\u00a0%\u00a0CI\u00a00.600\u00a0to\u00a00.800)"]


def test_unknown_values_are_dashes_without_an_interval() -> None:
    """A value that could not be computed is a dash."""
    assert text.format_estimate(None, None) == "–"
    assert text.format_share_estimate(None, None) == "–"
    assert text.format_auroc({"value": None, "interval": [None, None]}) == "–"


def test_labels_are_spelled_as_a_list() -> None:
    """The separator becomes a comma and underscores become spaces."""
    assert text.spell_labels("Effusion|Pleural_Thickening") == "Effusion, Pleural Thickening"
