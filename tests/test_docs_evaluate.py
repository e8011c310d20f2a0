"""docs/evaluate.md explains every number of a real metrics.json in two sentences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from support.documented_numbers import parse_names
from support.paths import REPOSITORY

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.memorisation import attacks

DOCS = REPOSITORY / "docs"
PAGE = (DOCS / "evaluate.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`[^|]+) \| (.+) \|$", PAGE.partition("## Can the distance be trusted")[0], flags=re.MULTILINE)
EXPLAINED_ONCE = re.compile(r"(\w+_)?interval|n|n_\w+|floor_n|k|at|subset")
NOT_IN_STARTER_EVALUATION = ("labels.prevalence.",)
EXPLAINED_SEPARATELY = {
    "pairs",
    "lines",
    "n_below_null",
    "n_null_training",
    "held_out_only",
    "n_flagged_in_any",
    "n_flagged_in_all",
}


def find_numbers(tree: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted path of every number except intervals and counts, with placeholders such as <finding>."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from find_numbers(value, (*path, _placeholder(key, path)))
    elif path[-1] in EXPLAINED_SEPARATELY or (_is_number(tree) and not EXPLAINED_ONCE.fullmatch(path[-1])):
        yield ".".join(path)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _placeholder(key: str, path: tuple[str, ...]) -> str:
    if key in (NO_FINDING, *FINDINGS):
        return "<finding>"
    if path == ("metrics",):
        return "<metric>"
    if key in attacks.PLANTED_COPIES:
        return "<kind>"
    if path == ("privacy",) and key in ("pixels", *extractors.list_extractors()):
        return "<space>"
    return "<extractor>" if len(path) == 1 and key in extractors.list_extractors() else key


def test_every_number_is_explained() -> None:
    """A table names each number in the evaluation of the starter model."""
    metrics = json.loads((DOCS / "results/starter/metrics.json").read_text(encoding="utf-8"))
    explained = {name for cell, _ in ROWS for name in parse_names(cell)}
    assert not set(find_numbers(metrics)) - explained


def test_every_explained_number_exists() -> None:
    """Each name in a table is in metrics.json, or is of the optional prevalence or of a later version."""
    metrics = json.loads((DOCS / "results/starter/metrics.json").read_text(encoding="utf-8"))
    explained = {name for cell, _ in ROWS for name in parse_names(cell)}
    assert {
        name for name in explained - set(find_numbers(metrics)) if not name.startswith(NOT_IN_STARTER_EVALUATION)
    } == set()


def test_each_explanation_has_two_sentences() -> None:
    """An explanation says what the number is and how to interpret it."""
    for cell, text in ROWS:
        assert len(re.findall(r"[.?!](?= [A-Z0-9`]|$)", text)) == 2, cell


def test_the_page_quotes_the_frechet_benchmark() -> None:
    """The benchmark shows a speed-up of at least 6 over sqrtm and equality to 1e-6, and the page quotes its times."""
    record = json.loads((DOCS.parent / "benchmarks/results/frechet.json").read_text(encoding="utf-8"))
    page = (DOCS / "results/evaluate.md").read_text(encoding="utf-8")
    assert (record["n"], record["d"]) == (10_000, 2048)
    assert record["relative_difference"] < 1e-6
    for start in ("from_covariances", "from_features"):
        times = record[start]
        assert times["times_faster"] > 6
        assert f"{times['sqrtm_s']:.0f} s | {times['synthcxr_s']:.0f} s | {times['times_faster']:.1f}" in page
