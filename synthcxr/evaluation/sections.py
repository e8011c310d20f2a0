"""What metrics.json says of each extractor: an entry of "distance" and of "coverage", or why there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from synthcxr.evaluation import fidelity, prdc
from synthcxr.evaluation.comparison import Seen
from synthcxr.evaluation.fidelity import MIN_FILMS, Provenance
from synthcxr.evaluation.verdict import NOT_APPLICABLE

COMPUTED = "computed"


def by_extractor(seen: Mapping[str, Seen], absent: Mapping[str, str], *, order: Sequence[str]) -> dict[str, Any]:
    """Every section, an extractor an entry in this order; `absent` says what those need that this machine lacks."""
    return {
        "distance": {
            name: distance(seen[name]) if name in seen else _empty_distance(Provenance(name, "", ""), absent[name])
            for name in order
        },
        "coverage": {name: coverage(seen[name]) if name in seen else {"status": absent[name]} for name in order},
    }


def distance(seen: Seen) -> dict[str, Any]:
    """The Frechet distance with floor, ratio and intervals."""
    n_train, n, n_test = _counts(seen)
    if (reason := _too_few(seen)) is not None:
        counts = {"n_synthetic": n, "floor_n": n, "n_train": n_train, "n_test": n_test}
        return _empty_distance(seen.extractor.provenance, reason) | counts
    found = fidelity.relative_distance(
        train=seen.train,
        test=seen.test,
        synthetic=seen.synthetic["features"],
        train_patients=seen.train_patients,
        test_patients=seen.test_patients,
        provenance=seen.extractor.provenance,
        n_bootstrap=seen.comparison.config.n_bootstrap,
        rng=seen.comparison.rng(f"distance {seen.name}"),
    )
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    del fields["provenance"]
    return dataclasses.asdict(found.provenance) | fields | {"status": COMPUTED}


def coverage(seen: Seen) -> dict[str, Any]:
    """Precision, recall, density and coverage, and coverage as a share of that of training films."""
    if (reason := _too_few(seen)) is not None:
        return {"status": reason}
    found = prdc.relative_coverage(
        train=seen.train,
        test=seen.test,
        synthetic=seen.synthetic["features"],
        test_patients=seen.test_patients,
        train_patients=seen.train_patients,
        n_bootstrap=seen.comparison.config.n_bootstrap,
        rng=seen.comparison.rng(f"coverage {seen.name}"),
    )
    return dataclasses.asdict(found) | {"status": COMPUTED}


def _empty_distance(provenance: Provenance, status: str) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(fidelity.Distance) if field.name != "provenance"]
    return dataclasses.asdict(provenance) | dict.fromkeys(names) | {"status": status}


def _counts(seen: Seen) -> tuple[int, int, int]:
    """How many training films there are, how many images are compared with them, and how many test films."""
    n_train = len(seen.train_patients)
    return n_train, min(n_train, len(seen.comparison.synthetic.held)), seen.comparison.n_test


def _too_few(seen: Seen) -> str | None:
    """Why there is nothing to compare, or None."""
    _, n, n_test = _counts(seen)
    if min(n_test, n) >= MIN_FILMS:
        return None
    return f"{NOT_APPLICABLE} (n = {n_test if n_test < MIN_FILMS else n})"
