"""What metrics.json says of each extractor: an entry of each section, or why there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from synthcxr.evaluation.comparison import TEST, Comparison, View
from synthcxr.evaluation.gates import NOT_APPLICABLE
from synthcxr.evaluation.metrics import frechet, frechet_infinity, ms_ssim, prdc
from synthcxr.evaluation.metrics import kernel_distance as kernel
from synthcxr.evaluation.metrics.frechet import MIN_FILMS, Provenance

COMPUTED = "computed"


def by_extractor(views: Mapping[str, View], absent: Mapping[str, str], *, order: Sequence[str]) -> dict[str, Any]:
    """Every section, an extractor an entry in this order; `absent` says what those need that this machine lacks."""
    made: dict[str, Callable[[View], dict[str, Any]]] = {
        "kernel": kernel_distance,
        "infinity": infinite,
        "coverage": coverage,
    }
    distances = {
        name: distance(views[name]) if name in views else _empty_distance(Provenance(name, "", ""), absent[name])
        for name in order
    }
    return {"distance": distances} | {
        section: {name: make(views[name]) if name in views else {"status": absent[name]} for name in order}
        for section, make in made.items()
    }


def distance(view: View) -> dict[str, Any]:
    """The Frechet distance with floor, ratio and intervals."""
    n_train, n, n_test = _counts(view)
    if (reason := _too_few(view)) is not None:
        counts = {"n_synthetic": n, "floor_n": n, "n_train": n_train, "n_test": n_test}
        return _empty_distance(view.extractor.provenance, reason) | counts
    found = frechet.relative_distance(
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


def kernel_distance(view: View) -> dict[str, Any]:
    """The kernel distance by subsets, and that of training films."""
    if (reason := _too_few(view)) is not None:
        return {"status": reason}
    found = kernel.by_subsets(
        train=view.train,
        test=view.test,
        synthetic=view.synthetic["features"],
        rng=view.comparison.rng(f"kernel {view.name}"),
    )
    return dataclasses.asdict(found) | {"status": COMPUTED}


def infinite(view: View) -> dict[str, Any]:
    """The Frechet distance extrapolated to infinitely many images, and that of training films likewise."""
    if (reason := _too_few(view)) is not None:
        return {"status": reason}
    rng, real = view.comparison.rng(f"infinity {view.name}"), view.test_gaussian
    pair = {"synthetic": view.synthetic["features"], "training": view.train}
    found = {
        side: frechet_infinity.frechet_infinity(real=real, synthetic=rows, rng=rng)
        for side, rows in pair.items()
        if len(rows) >= frechet_infinity.LEAST
    }
    if len(found) < len(pair):
        return {"status": f"{NOT_APPLICABLE} (n = {min(len(rows) for rows in pair.values())})"}
    return {side: dataclasses.asdict(each) for side, each in found.items()} | {"status": COMPUTED}


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


def similar(comparison: Comparison) -> dict[str, Any]:
    """How alike two images are, and two test films: MS-SSIM of random pairs."""
    n = min(comparison.n_test, len(comparison.synthetic.held))
    if n < MIN_FILMS or not ms_ssim.scales(comparison.synthetic.resolution):
        return {"status": f"{NOT_APPLICABLE} (n = {n})"}
    rng, real = comparison.rng("similarity"), comparison.real
    found = ms_ssim.compare(
        synthetic=comparison.synthetic.pixels(2 * ms_ssim.N_PAIRS),
        real=real.pixels(TEST, np.arange(comparison.n_test)),
        patients=real.patients(TEST),
        n_bootstrap=comparison.config.n_bootstrap,
        rng=rng,
    )
    return dataclasses.asdict(found) | {"status": COMPUTED}


def _empty_distance(provenance: Provenance, status: str) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(frechet.Distance) if field.name != "provenance"]
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
