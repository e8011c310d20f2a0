"""How often each film is shown to the GAN, by its source, its findings and whether it has labels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.gan_sections import SamplingConfig
from synthcxr.data.findings import FINDINGS, NO_FINDING, canonicalize_finding
from synthcxr.errors import ConfigError, DataError

Float64 = NDArray[np.float64]
_SECTION = "train_gan.sampling"


def compute_shares(
    config: SamplingConfig, *, findings: NDArray[np.float32], sources: NDArray[np.str_]
) -> Float64 | None:
    """Return the share of each film among the films shown, float64 [n] with sum 1; None if all are equal.

    `findings` is [n, 14] with NaN for unknown ones. Where no film has labels, or all have, `unlabelled_share` has no
    effect. ConfigError for an unknown finding, and if every film has the weight 0.
    """
    labelled = ~np.isnan(findings).all(axis=1)
    weights = _weigh_findings(config.findings, findings)
    weights *= np.array([config.sources.get(str(source), 1.0) for source in sources])
    if config.unlabelled_share is not None and labelled.any() and not labelled.all():
        for rows, share in ((labelled, 1 - config.unlabelled_share), (~labelled, config.unlabelled_share)):
            if share > 0 and not weights[rows].any():
                raise ConfigError(
                    f"{_SECTION}: unlabelled_share is {config.unlabelled_share:g}, but every film"
                    f" {'with' if rows is labelled else 'without'} labels has the weight 0; change one of the two"
                )
            weights[rows] *= share / max(weights[rows].sum(), 1e-12)
    if not weights.any():
        raise ConfigError(f"{_SECTION}: gives every film the weight 0; raise a weight in sources or findings")
    return None if (weights == weights[0]).all() else np.asarray(weights / weights.sum())


def require_known_sources(config: SamplingConfig, sources: NDArray[np.str_]) -> None:
    """Raise ConfigError for a weight of a source that no film has."""
    known = sorted(set(sources.tolist()))
    for name in config.sources:
        if name not in known:
            raise ConfigError(f"{_SECTION}.sources.{name}: no film has this source; sources: {', '.join(known)}")


def _weigh_findings(weights: Mapping[str, float], findings: NDArray[np.float32]) -> Float64:
    """The largest weight of the findings that each film shows; 1 where it is not known which ones it shows."""
    weight_of_finding = {_canonicalize(name): weight for name, weight in weights.items()}
    of_present = np.array([weight_of_finding.get(finding, 1.0) for finding in FINDINGS])
    weighed = np.where(findings == 1, of_present, -np.inf).max(axis=1)
    of_absent = np.where((findings == 0).all(axis=1), weight_of_finding.get(NO_FINDING, 1.0), 1.0)
    return np.where(np.isinf(weighed), of_absent, weighed)


def _canonicalize(name: str) -> str:
    try:
        return canonicalize_finding(name)
    except DataError as error:
        raise ConfigError(f"{_SECTION}.findings.{name}: {error}") from error
