"""Checks the section `evaluate` of the parameters before any work: extractors, gates and numbers."""

from __future__ import annotations

from synthcxr.config.schema import EvaluateConfig
from synthcxr.data.metrics_schema import NOT_COMPUTED
from synthcxr.errors import ConfigError
from synthcxr.evaluation import gates
from synthcxr.evaluation.features import extractors


def check_config(config: EvaluateConfig, *, with_films: bool) -> dict[str, str]:
    """The status of each extractor that is not available here; ConfigError for a gate on it, or for wrong values.

    Without films only the judge computes features, so no other extractor is necessary, and a gate on one of them is not
    applicable.
    """
    extractors.require_known(config.extractors)
    if config.n_bootstrap < 1:
        raise ConfigError(f"evaluate.n_bootstrap: must be at least 1, is {config.n_bootstrap}")
    gates.check_gates(config.gates, config.extractors)
    if not with_films:
        return {}
    unavailable = extractors.find_unavailable(config.extractors)
    for index, gate in enumerate(config.gates):
        for name, reason in unavailable.items():
            if name in gate.metric.split("."):
                raise ConfigError(f"evaluate.gates[{index}]: {gate.metric} cannot be computed here: {reason}")
    return {name: f"{NOT_COMPUTED}: {reason}" for name, reason in unavailable.items()}
