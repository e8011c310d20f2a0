"""Multi-scale structural similarity (MS-SSIM) of random pairs of images of one set, synthetic and real.

Wang, Simoncelli, Bovik, Asilomar 2003: contrast and structure at up to five scales, luminance at the last, and a
Gaussian window of 11 px with sigma 1.5. Five scales need 176 px. Smaller images use as many scales as fit, with
weights normalised to a sum of 1. A generator that repeats one image gives pairs that are more similar than films are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import correlate1d

from synthcxr.data.images import UInt8
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval
from synthcxr.storage.progress import track

Float64 = NDArray[np.float64]

N_PAIRS = 400
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_CHUNK = 64
_FILM_ARRAY = "film_ms_ssim"


@dataclasses.dataclass(frozen=True)
class MsSsimComparison:
    """Mean MS-SSIM over `n_pairs` random pairs of images, and of films of different patients, with 95 % intervals."""

    synthetic: float
    synthetic_interval: Interval
    real: float
    real_interval: Interval
    n_pairs: int
    n_scales: int


@dataclasses.dataclass(frozen=True)
class FilmSimilarity:
    """Mean MS-SSIM of random pairs of films, and its 95 % interval: numbers that a model can carry without pixels."""

    value: float
    interval: Interval

    @classmethod
    def measure(
        cls, pixels: UInt8, patients: NDArray[np.object_], *, n_bootstrap: int, rng: np.random.Generator
    ) -> FilmSimilarity | None:
        """Measure films [n, R, R]; None for films that are too small, or of one patient."""
        if not count_scales(pixels.shape[1]) or len(set(patients)) < 2:
            return None
        value, interval, _ = measure_ms_ssim(pixels, patients, n_bootstrap=n_bootstrap, rng=rng)
        return cls(value, interval)

    def to_arrays(self) -> dict[str, ArrayLike]:
        """The arrays of an .npz file."""
        return {_FILM_ARRAY: np.array([self.value, *self.interval])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> FilmSimilarity | None:
        """From the arrays of `to_arrays`; None where the file has none."""
        if _FILM_ARRAY not in arrays:
            return None
        value, low, high = arrays[_FILM_ARRAY].astype(np.float64).tolist()
        return cls(value, (low, high))


def ms_ssim(a: UInt8, b: UInt8) -> Float64:
    """MS-SSIM [n] between the images of `a` [n, R, R] and those at the same index in `b`; DataError below 11 px.

    A negative contrast-structure term counts as 0, since a negative number has no real power.
    """
    n_scales = count_scales(a.shape[1])
    if a.shape != b.shape or not n_scales:
        raise DataError(f"MS-SSIM: expected pairs of images of {_WINDOW} px or more, got {a.shape} and {b.shape}")
    weights = np.array(WEIGHTS[:n_scales]) / sum(WEIGHTS[:n_scales])
    x, y = a.astype(np.float64), b.astype(np.float64)
    similarity = np.ones(len(x))
    for scale, weight in enumerate(weights):
        luminance, structure = _ssim_terms(x, y)
        term = structure if scale < n_scales - 1 else luminance * structure
        similarity *= np.maximum(term.mean(axis=(1, 2)), 0) ** weight
        x, y = _halve(x), _halve(y)
    return similarity


def count_scales(side: int) -> int:
    """How many of the five scales fit into images with this side in px."""
    return sum(side >> scale >= _WINDOW for scale in range(len(WEIGHTS)))


def compare_ms_ssim(
    *, synthetic: UInt8, real: UInt8, patients: NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator
) -> MsSsimComparison:
    """Compare random pairs of images [n, R, R] with random pairs of films [m, R, R] of two different patients."""
    synthetic_pairs = _draw_pairs(len(synthetic), np.arange(len(synthetic)).astype(object), rng)
    real_pairs = _draw_pairs(len(real), patients, rng)
    n_pairs = min(len(synthetic_pairs), len(real_pairs))
    if not n_pairs:
        raise DataError("MS-SSIM needs at least two images, and films of at least two patients")
    synthetic_values = _measure_pairs(synthetic, synthetic_pairs[:n_pairs])
    real_values = _measure_pairs(real, real_pairs[:n_pairs])
    return MsSsimComparison(
        synthetic=float(synthetic_values.mean()),
        synthetic_interval=_mean_interval(synthetic_values, n_bootstrap, rng),
        real=float(real_values.mean()),
        real_interval=_mean_interval(real_values, n_bootstrap, rng),
        n_pairs=n_pairs,
        n_scales=count_scales(synthetic.shape[1]),
    )


def measure_ms_ssim(
    pixels: UInt8, patients: NDArray[np.object_] | None, *, n_bootstrap: int, rng: np.random.Generator
) -> tuple[float, Interval, int]:
    """Mean MS-SSIM of random pairs of one set [n, R, R], its interval, and the number of pairs.

    `patients` are given for films, whose pairs are of two patients.
    """
    groups = np.arange(len(pixels)).astype(object) if patients is None else patients
    pairs = _draw_pairs(len(pixels), groups, rng)
    if not len(pairs):
        raise DataError("MS-SSIM needs at least two images, or films of at least two patients")
    values = _measure_pairs(pixels, pairs)
    return float(values.mean()), _mean_interval(values, n_bootstrap, rng), len(pairs)


def _draw_pairs(n: int, groups: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.int64]:
    """At most N_PAIRS random pairs [k, 2] from different groups; an image is used twice only if there are too few."""
    order = np.concatenate([rng.permutation(n) for _ in range(-(-2 * N_PAIRS // max(n - 1, 1)))])
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)
    different = np.flatnonzero(groups[pairs[:, 0]] != groups[pairs[:, 1]])
    return np.asarray(pairs[different[:N_PAIRS]], dtype=np.int64)


def _measure_pairs(pixels: UInt8, pairs: NDArray[np.int64]) -> Float64:
    parts = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    return np.concatenate(
        [ms_ssim(pixels[part[:, 0]], pixels[part[:, 1]]) for part in track(parts, "MS-SSIM", unit="parts")]
    )


def _mean_interval(values: Float64, n_bootstrap: int, rng: np.random.Generator) -> Interval:
    draws = [rng.choice(values, size=len(values)).mean() for _ in range(n_bootstrap)]
    return bootstrap.percentile_interval(draws)


def _ssim_terms(x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """Luminance and contrast-structure maps of pairs [n, R, R], without the border where the window does not fit."""
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return luminance, (2 * covariance + _C2) / (var_x + var_y + _C2)


def _blur(maps: Float64) -> Float64:
    edge = _WINDOW // 2
    offsets = np.arange(_WINDOW) - edge
    window = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    window /= window.sum()
    return correlate1d(correlate1d(maps, window, axis=1), window, axis=2)[:, edge:-edge, edge:-edge]


def _halve(maps: Float64) -> Float64:
    """Means of 2 x 2 px, without an odd last row and column."""
    side = maps.shape[1] // 2 * 2
    even = maps[:, :side, :side]
    return np.asarray(even.reshape(len(maps), side // 2, 2, side // 2, 2).mean(axis=(2, 4)))
