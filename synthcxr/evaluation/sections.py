"""What metrics.json says of each extractor: an entry of "distance" and of "coverage", or why there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from synthcxr.evaluation import fidelity, prdc
from synthcxr.evaluation.comparison import View
from synthcxr.evaluation.fidelity import MIN_FILMS, Provenance
from synthcxr.evaluation.verdict import NOT_APPLICABLE

COMPUTED = "computed"


def by_extractor(views: Mapping[str, View], absent: Mapping[str, str], *, order: Sequence[str]) -> dict[str, Any]:
    """Every section, an extractor an entry in this order; `absent` says what those need that this machine lacks."""
    return {
        "distance": {
            name: distance(views[name]) if name in views else _empty_distance(Provenance(name, "", ""), absent[name])
            for name in order
        },
        "coverage": {name: coverage(views[name]) if name in views else {"status": absent[name]} for name in order},
    }


def distance(view: View) -> dict[str, Any]:
    """The Frechet distance with floor, ratio and intervals."""
    n_train, n, n_test = _counts(view)
    if (reason := _too_few(view)) is not None:
        counts = {"n_synthetic": n, "floor_n": n, "n_train": n_train, "n_test": n_test}
        return _empty_distance(view.extractor.provenance, reason) | counts
    found = fidelity.relative_distance(
        train=view.train,
        test=view.test,
        synthetic=view.synthetic["features"],
        train_patients=view.train_patients,
        test_patients=view.test_patients,
        provenance=view.extractor.provenance,
        n_bootstrap=view.comparison.config.n_bootstrap,
        rng=view.comparison.rng(f"distance {view.name}"),
    )
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    del fields["provenance"]
    return dataclasses.asdict(found.provenance) | fields | {"status": COMPUTED}


def coverage(view: View) -> dict[str, Any]:
    """Precision, recall, density and coverage, and coverage as a share of that of training films."""
    if (reason := _too_few(view)) is not None:
        return {"status": reason}
    found = prdc.relative_coverage(
        train=view.train,
        test=view.test,
        synthetic=view.synthetic["features"],
        test_patients=view.test_patients,
        train_patients=view.train_patients,
        n_bootstrap=view.comparison.config.n_bootstrap,
        rng=view.comparison.rng(f"coverage {view.name}"),
    )
    return dataclasses.asdict(found) | {"status": COMPUTED}


def _empty_distance(provenance: Provenance, status: str) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(fidelity.Distance) if field.name != "provenance"]
    return dataclasses.asdict(provenance) | dict.fromkeys(names) | {"status": status}


def _counts(view: View) -> tuple[int, int, int]:
    """How many training films there are, how many images are compared with them, and how many test films."""
    n_train = len(view.train_patients)
    return n_train, min(n_train, len(view.comparison.synthetic.held)), view.comparison.n_test


def _too_few(view: View) -> str | None:
    """Why there is nothing to compare, or None."""
    _, n, n_test = _counts(view)
    if min(n_test, n) >= MIN_FILMS:
        return None
    return f"{NOT_APPLICABLE} (n = {n_test if n_test < MIN_FILMS else n})"
