"""docs/evaluate.md says how to read every number of a real metrics.json, in two sentences each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from support.paths import REPOSITORY

from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.evaluation.features import extractors
from synthcxr.evaluation.memorisation import attacks

DOCS = REPOSITORY / "docs"
PAGE = (DOCS / "evaluate.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (`[^|]+) \| (.+) \|$", PAGE.partition("## May the distance be trusted")[0], flags=re.MULTILINE)
SAID_ONCE = re.compile(r"(\w+_)?interval|n|n_\w+|floor_n|k|at|subset")
OF_THEIR_OWN = {"pairs", "lines", "n_below_null", "n_flagged_in_any", "n_flagged_in_all"}


def named(cell: str) -> Iterator[str]:
    """The dotted paths of a table's first cell: one after the first replaces as many names as it has itself."""
    first, *others = re.findall(r"`([^`]+)`", cell)
    yield first
    *section, _ = first.split(".")
    for other in others:
        kept = section[: 1 if "." in other else None]
        yield ".".join((*kept, other))


def figures(tree: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted path of every number but intervals and counts, with a placeholder for what there are several of."""
    if isinstance(tree, dict):
        for key, held in tree.items():
            yield from figures(held, (*path, _placeholder(key, path)))
    elif path[-1] in OF_THEIR_OWN or (_is_number(tree) and not SAID_ONCE.fullmatch(path[-1])):
        yield ".".join(path)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _placeholder(key: str, path: tuple[str, ...]) -> str:
    if key in (NO_FINDING, *FINDINGS):
        return "<finding>"
    if key in attacks.PLANTED_COPIES:
        return "<kind>"
    if path == ("privacy",) and key in ("pixels", *extractors.KNOWN_EXTRACTORS):
        return "<space>"
    return "<extractor>" if len(path) == 1 and key in extractors.KNOWN_EXTRACTORS else key


def test_every_figure_is_explained() -> None:
    """Each number of the shipped models' evaluation stands in a table by its name."""
    metrics = json.loads((DOCS / "results/starter/metrics.json").read_text(encoding="utf-8"))
    explained = {name for cell, _ in ROWS for name in named(cell)}
    assert not set(figures(metrics)) - explained


def test_nothing_is_explained_that_is_not_there() -> None:
    """A name in a table is one of metrics.json, or of the prevalence that a person may ask for."""
    metrics = json.loads((DOCS / "results/starter/metrics.json").read_text(encoding="utf-8"))
    explained = {name for cell, _ in ROWS for name in named(cell)}
    assert {name for name in explained - set(figures(metrics)) if not name.startswith("labels.prevalence.")} == set()


def test_two_sentences_each() -> None:
    """What a number is, and what to make of it."""
    for cell, text in ROWS:
        assert len(re.findall(r"[.?!](?= [A-Z0-9`]|$)", text)) == 2, cell


def test_the_distance_is_as_fast_as_the_page_says() -> None:
    """The benchmark's record: at least six times faster than sqrtm from either start, equal to 1e-6, and so quoted."""
    held = json.loads((DOCS.parent / "benchmarks/results/frechet.json").read_text(encoding="utf-8"))
    page = (DOCS / "results/evaluate.md").read_text(encoding="utf-8")
    assert (held["n"], held["d"]) == (10_000, 2048)
    assert held["relative_difference"] < 1e-6
    for start in ("from_covariances", "from_features"):
        times = held[start]
        assert times["times_faster"] > 6
        assert f"{times['sqrtm_s']:.0f} s | {times['synthcxr_s']:.0f} s | {times['times_faster']:.1f}" in page
