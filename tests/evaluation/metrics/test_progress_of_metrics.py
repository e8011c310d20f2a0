"""Metrics that may take more than some seconds report how far they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from synthcxr.evaluation.metrics import frechet, frechet_infinity, kernel_distance, ms_ssim, prdc
from synthcxr.storage import progress

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((120, 3))
PATIENTS = np.arange(120).astype(object)
PIXELS = RNG.integers(0, 256, (70, 16, 16), dtype=np.uint8)
BOTH = {"train": ROWS, "test": ROWS + 0.1, "synthetic": ROWS + 0.5}


def measure_distance() -> None:
    frechet.relative_distance(**BOTH, train_patients=PATIENTS, test_patients=PATIENTS, n_bootstrap=3, rng=RNG)


def measure_coverage() -> None:
    prdc.relative_coverage(**BOTH, train_patients=PATIENTS, test_patients=PATIENTS, n_bootstrap=3, rng=RNG)


def measure_kernel_distance() -> None:
    kernel_distance.kernel_distance_by_subsets(**BOTH, rng=RNG, n_subsets=3)


def extrapolate() -> None:
    frechet_infinity.frechet_infinity(real=frechet.fit_gaussian(ROWS), synthetic=ROWS, rng=RNG, n_repeats=3)


def measure_similarity() -> None:
    ms_ssim.measure_ms_ssim(PIXELS, None, n_bootstrap=3, rng=RNG)


@pytest.mark.parametrize(
    ("measure", "line"),
    [
        (measure_distance, "Fréchet distance: 1 of 3 resamples"),
        (measure_coverage, "coverage: 1 of 3 resamples"),
        (measure_kernel_distance, "kernel distance: 1 of 3 subsets"),
        (extrapolate, "extrapolated distance: 1 of 3 repeats"),
        (measure_similarity, "MS-SSIM: 1 of 7 parts"),
    ],
)
def test_a_long_metric_reports_its_progress(
    measure: Callable[[], None], line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal, the lines name the metric, the finished units, the rate and the time left."""
    monkeypatch.setattr(progress, "FIRST_S", 0.0)
    monkeypatch.setattr(progress, "INTERVAL_S", 0.0)
    monkeypatch.setattr(progress, "_MIN_RATE_S", 0.0)
    measure()
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(line) and "/s, " in first and first.endswith(" left")


def test_a_short_metric_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Work that ends within the interval of the lines leaves stderr empty."""
    measure_distance()
    assert capsys.readouterr().err == ""
