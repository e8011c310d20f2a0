"""The Fréchet distance of synthcxr against scipy.linalg.sqrtm: 10,000 + 10,000 features of 2048 dimensions.

Both are timed from the same features and from the same two covariances. The claim is about the second comparison: at
least six times faster, equal to 1e-6.

    python benchmarks/frechet.py [--n 10000] [--d 2048] [--out benchmarks/results/frechet.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import scipy.linalg

from synthcxr.evaluation.metrics import frechet


def draw_features(n: int, d: int, seed: int) -> np.ndarray:
    """Draw correlated, well-conditioned features [n, d]."""
    mixing = np.random.default_rng(0).standard_normal((d, d)) / (2 * np.sqrt(d)) + np.eye(d)
    rng = np.random.default_rng(seed)
    features: np.ndarray = (1 + 0.05 * seed) * rng.standard_normal((n, d)) @ mixing + 0.02 * seed
    return features


def time_call(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Return the result and the shortest wall time in seconds."""
    wall_times_s = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = call()
        wall_times_s.append(time.perf_counter() - started)
    return result, min(wall_times_s)


def distance_by_sqrtm(means: list[np.ndarray], covariances: list[np.ndarray]) -> float:
    """Compute the distance with the matrix square root."""
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    shift = ((means[0] - means[1]) ** 2).sum()
    return float(shift + sum(np.trace(c) for c in covariances) - 2 * np.trace(root.real))


def distance_by_synthcxr(means: list[np.ndarray], covariances: list[np.ndarray]) -> float:
    """Compute the distance with synthcxr from the covariances."""
    pair = [
        frechet.gaussian_from_moments(mean, covariance) for mean, covariance in zip(means, covariances, strict=True)
    ]
    return frechet.frechet_distance_between(*pair)


def describe_machine() -> dict[str, Any]:
    """Describe the processor and the package versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = [line.split(":")[1].strip() for line in _read_cpuinfo() if line.startswith("model name")]
    flags = next((line for line in _read_cpuinfo() if line.startswith("flags")), "")
    return {
        "cpu": names[0] if names else platform.processor(),
        "vector_flags": [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if f" {flag} " in f"{flags} "],
        "cores_used": cores,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def _read_cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def main() -> None:
    """Time both and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    sets = [draw_features(arguments.n, arguments.d, seed) for seed in (1, 2)]
    moments, moments_s = time_call(
        lambda: ([rows.mean(0) for rows in sets], [np.cov(x, rowvar=False) for x in sets]), 1
    )
    sqrtm_distance, sqrtm_s = time_call(lambda: distance_by_sqrtm(*moments), arguments.repeats)
    covariance_distance, from_covariances_s = time_call(lambda: distance_by_synthcxr(*moments), arguments.repeats)
    feature_distance, from_features_s = time_call(
        lambda: frechet.frechet_distance(real=sets[0], synthetic=sets[1]), arguments.repeats
    )
    result = {
        "n": arguments.n,
        "d": arguments.d,
        "repeats": arguments.repeats,
        "from_covariances": {
            "sqrtm_s": sqrtm_s,
            "synthcxr_s": from_covariances_s,
            "times_faster": sqrtm_s / from_covariances_s,
        },
        "from_features": {
            "sqrtm_s": sqrtm_s + moments_s,
            "synthcxr_s": from_features_s,
            "times_faster": (sqrtm_s + moments_s) / from_features_s,
        },
        "distance": {
            "sqrtm": sqrtm_distance,
            "from_covariances": covariance_distance,
            "from_features": feature_distance,
        },
        "relative_difference": abs(feature_distance - sqrtm_distance) / sqrtm_distance,
        "machine": describe_machine(),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
