"""What a section `generate` asks for, checked before anything is opened."""

from __future__ import annotations

from synthcxr.config.schema import GenerateConfig
from synthcxr.data import random_streams
from synthcxr.errors import ConfigError
from synthcxr.synthesis.request import label_mixture
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.request.label_mixture import Quotas


def quotas(config: GenerateConfig) -> Quotas:
    """What is asked for, and how many of it; DataError lists all findings where one is unknown."""
    for name in ("n", "max_draws", "batch"):
        if getattr(config, name) < 1:
            raise ConfigError(f"generate.{name}: must be at least 1, is {getattr(config, name)}")
    if not 0 <= config.seed <= random_streams.MAX_SEED:
        raise ConfigError(f"generate.seed: must be in 0 .. {random_streams.MAX_SEED}, is {config.seed}")
    wanted = Wanted.of(config.labels, config.without)
    return label_mixture.quotas(wanted, n=config.n, per_label=config.per_label, mix=config.mix)
