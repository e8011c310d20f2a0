"""How alike two images of one set are: multi-scale structural similarity of random pairs, synthetic and real.

Wang, Simoncelli, Bovik, Asilomar 2003: contrast and structure at each of up to five scales, luminance at the last, a
Gaussian window of 11 px and sigma 1.5. Five scales need 176 px; smaller images take as many as fit, their weights
brought back to a sum of 1. A generator that makes one picture again and again gives pairs more alike than films are.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from synthcxr.data.images import UInt8
from synthcxr.errors import DataError
from synthcxr.evaluation.metrics import bootstrap
from synthcxr.evaluation.metrics.bootstrap import Interval

Float64 = NDArray[np.float64]

N_PAIRS = 400
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_CHUNK = 64


@dataclasses.dataclass(frozen=True)
class Similarity:
    """Mean MS-SSIM over `n_pairs` random pairs of images, and of films of different patients, with 95 % intervals."""

    synthetic: float
    synthetic_interval: Interval
    real: float
    real_interval: Interval
    n_pairs: int
    n_scales: int


def ms_ssim(a: UInt8, b: UInt8) -> Float64:
    """MS-SSIM [n] of each image of `a` [n, R, R] with its partner in `b`; DataError below 11 px.

    A negative contrast-structure term, which no power can be taken of, counts as 0.
    """
    n_scales = scales(a.shape[1])
    if a.shape != b.shape or not n_scales:
        raise DataError(f"MS-SSIM: expected pairs of images of {_WINDOW} px or more, found {a.shape} and {b.shape}")
    weights = np.array(WEIGHTS[:n_scales]) / sum(WEIGHTS[:n_scales])
    x, y = a.astype(np.float64), b.astype(np.float64)
    found = np.ones(len(x))
    for scale, weight in enumerate(weights):
        luminance, structure = _ssim_terms(x, y)
        term = structure if scale < n_scales - 1 else luminance * structure
        found *= np.maximum(term.mean(axis=(1, 2)), 0) ** weight
        x, y = _halved(x), _halved(y)
    return found


def scales(side: int) -> int:
    """How many of the five scales a side in px allows."""
    return sum(side >> scale >= _WINDOW for scale in range(len(WEIGHTS)))


def compare(
    *, synthetic: UInt8, real: UInt8, patients: NDArray[np.object_], n_bootstrap: int, rng: np.random.Generator
) -> Similarity:
    """Pairs of synthetic images [n, R, R], and pairs of films [m, R, R] of which no two share a patient."""
    made = _pairs(len(synthetic), np.arange(len(synthetic)).astype(object), rng)
    films = _pairs(len(real), patients, rng)
    n_pairs = min(len(made), len(films))
    if not n_pairs:
        raise DataError("MS-SSIM: two images, and films of two patients, are needed")
    of_made, of_films = _of_pairs(synthetic, made[:n_pairs]), _of_pairs(real, films[:n_pairs])
    return Similarity(
        synthetic=float(of_made.mean()),
        synthetic_interval=_interval(of_made, n_bootstrap, rng),
        real=float(of_films.mean()),
        real_interval=_interval(of_films, n_bootstrap, rng),
        n_pairs=n_pairs,
        n_scales=scales(synthetic.shape[1]),
    )


def _pairs(n: int, groups: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.int64]:
    """At most N_PAIRS random pairs [k, 2] of different groups; none shares an image while there are enough."""
    order = np.concatenate([rng.permutation(n) for _ in range(-(-2 * N_PAIRS // max(n - 1, 1)))])
    pairs = order[: len(order) // 2 * 2].reshape(-1, 2)
    different = np.flatnonzero(groups[pairs[:, 0]] != groups[pairs[:, 1]])
    return np.asarray(pairs[different[:N_PAIRS]], dtype=np.int64)


def _of_pairs(pixels: UInt8, pairs: NDArray[np.int64]) -> Float64:
    parts = [pairs[start : start + _CHUNK] for start in range(0, len(pairs), _CHUNK)]
    return np.concatenate([ms_ssim(pixels[part[:, 0]], pixels[part[:, 1]]) for part in parts])


def _interval(values: Float64, n_bootstrap: int, rng: np.random.Generator) -> Interval:
    draws = [rng.choice(values, size=len(values)).mean() for _ in range(n_bootstrap)]
    return bootstrap.percentile(draws)


def _ssim_terms(x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """Luminance and contrast-structure maps of pairs [n, R, R], without the border that the window overhangs."""
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x, var_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return luminance, (2 * covariance + _C2) / (var_x + var_y + _C2)


def _blurred(maps: Float64) -> Float64:
    at = np.arange(_WINDOW) - _WINDOW // 2
    window = np.exp(-(at**2) / (2 * _SIGMA**2))
    window /= window.sum()
    edge = _WINDOW // 2
    return correlate1d(correlate1d(maps, window, axis=1), window, axis=2)[:, edge:-edge, edge:-edge]


def _halved(maps: Float64) -> Float64:
    """Means of 2 x 2 px; an odd last row or column is left out."""
    side = maps.shape[1] // 2 * 2
    even = maps[:, :side, :side]
    return np.asarray(even.reshape(len(maps), side // 2, 2, side // 2, 2).mean(axis=(2, 4)))
