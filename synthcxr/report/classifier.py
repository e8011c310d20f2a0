"""What the report says of the classifier that labelled the set: does the judge agree, and does it rank real films."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthcxr.data.findings import FINDINGS
from synthcxr.report.text import Table, auroc, interval, mark, percent, words

_AGREEMENT = ("Labelled so by the classifier", "Images: judge agrees", "N", "Real films: judge agrees", "N of films")
_RANKING = ("Finding", "AUROC on real test films", "Positive films")


def agreement(held: Mapping[str, Any], requested: Sequence[str]) -> Table:
    """A row for each finding that the classifier called on an image; the findings that were asked for come first."""
    found = [name for name in FINDINGS if isinstance(held.get(name), Mapping) and held[name]["n_synthetic"]]
    rows = tuple(
        (
            words(name) + (" (requested)" if name in requested else "") + mark(held[name]),
            _share(held[name], "synthetic"),
            f"{held[name]['n_synthetic']:,}",
            _share(held[name], "real"),
            f"{held[name]['n_real']:,}",
        )
        for name in sorted(found, key=lambda name: name not in requested)
    )
    return Table(_AGREEMENT, rows)


def ranking(held: Mapping[str, Any]) -> Table:
    """A row for each finding with enough positive test films."""
    rows = ((words(name), auroc(each), f"{each['n_positive']:,}") for name, each in held.get("auroc", {}).items())
    return Table(_RANKING, tuple(rows))


def notes(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """How to read both tables, or why there is none."""
    agreed, ranked = metrics.get("agreement"), metrics.get("classifier")
    said = []
    if agreed and agreed["status"] == "computed":
        said.append(
            "Lower on images than on films: the classifier was pleased, not right. A dash: fewer than 10."
            + (" * A threshold rests on too few val films." if _weak(agreed) else "")
        )
    elif agreed:
        said.append(f"Agreement of judge and classifier: {agreed['status']}.")
    if ranked and ranked["status"] == "computed":
        means = (ranked[name] for name in ("mean_auroc", "within_source", "source_and_view_alone"))
        every, within, alone = (auroc(mean) for mean in means)
        said.append(
            f"Mean AUROC of the classifier on {ranked['n_films']:,} real test films: {every}; among films of one source"
            f" {within}. Source and view alone, no pixel seen, reach {alone}."
        )
    elif ranked:
        said.append(f"AUROC of the classifier: {ranked['status']}.")
    return tuple(said)


def _weak(agreed: Mapping[str, Any]) -> bool:
    return any(mark(held) for held in agreed.values() if isinstance(held, Mapping))


def _share(held: Mapping[str, Any], side: str) -> str:
    return f"{percent(held[side])} {interval(held[f'{side}_interval'], percent=True)}".rstrip()
