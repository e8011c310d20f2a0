"""What a section `generate` asks for, checked before anything is opened."""

from __future__ import annotations

from synthcxr import seeds
from synthcxr.config import GenerateConfig
from synthcxr.errors import ConfigError
from synthcxr.synthesis import mixture
from synthcxr.synthesis.mixture import Quotas
from synthcxr.synthesis.wanted import Wanted


def quotas(config: GenerateConfig) -> Quotas:
    """What is asked for, and how many of it; DataError lists all findings where one is unknown."""
    for name in ("n", "max_draws", "batch"):
        if getattr(config, name) < 1:
            raise ConfigError(f"generate.{name}: must be at least 1, is {getattr(config, name)}")
    if not 0 <= config.seed <= seeds.MAX_SEED:
        raise ConfigError(f"generate.seed: must be in 0 .. {seeds.MAX_SEED}, is {config.seed}")
    wanted = Wanted.of(config.labels, config.without)
    return mixture.quotas(wanted, n=config.n, per_label=config.per_label, mix=config.mix)
