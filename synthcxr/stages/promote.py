"""Compare, promote and roll back registered versions: `synthcxr models compare`, `promote` and `rollback`."""

from __future__ import annotations

import re

from synthcxr.errors import ArtifactError, ConfigError, GateError
from synthcxr.registry import promotion, promotion_policy, tracking_uri
from synthcxr.registry.client import Registry
from synthcxr.registry.model_address import CANDIDATE, CHAMPION, GENERATOR_MODEL
from synthcxr.registry.promotion import PromotionOutcome
from synthcxr.registry.promotion_policy import EvaluatedVersion, FigureComparison

_ADDRESS = re.compile(rf"(?:models:/{GENERATOR_MODEL}(?:/|(?=@)))?(?P<version>\d+|@[^/@]+)")


def compare(candidate: str | None, champion: str | None) -> tuple[FigureComparison, ...]:
    """Compare the figures of two versions; without addresses those of the candidate and the champion."""
    registry = _open_registry()
    new, old = _find_number(registry, candidate, CANDIDATE), _find_number(registry, champion, CHAMPION)
    if new == old:
        raise ArtifactError(f"version {new} is both candidate and champion; name two versions, as in `compare 1 2`")
    return promotion_policy.compare(_load_evaluation(registry, new), _load_evaluation(registry, old))


def promote(address: str | None, *, force: bool, reason: str) -> PromotionOutcome:
    """Make a version champion; GateError says why not.

    `force` ignores the evidence; it needs a `reason`, which is recorded.
    """
    if force != bool(reason.strip()):
        raise ConfigError("--force needs --reason, which is recorded" if force else "--reason is for --force only")
    registry = _open_registry()
    number = _find_number(registry, address, CANDIDATE)
    return _require_champion(promotion.promote(registry, number, reason=reason.strip()))


def rollback(reason: str) -> PromotionOutcome:
    """Make the version champion that the current one replaced; GateError if another promotion interfered."""
    return _require_champion(promotion.rollback(_open_registry(), reason=reason.strip()))


def _require_champion(outcome: PromotionOutcome) -> PromotionOutcome:
    if outcome.champion != outcome.version:
        raise GateError(f"models:/{GENERATOR_MODEL}/{outcome.version} is not champion: {outcome.why}")
    return outcome


def _load_evaluation(registry: Registry, number: str) -> EvaluatedVersion:
    evaluation = promotion.load_evaluation(registry, registry.get_version(GENERATOR_MODEL, number))
    if evaluation is None:
        address = f"models:/{GENERATOR_MODEL}/{number}"
        raise ArtifactError(
            f"{address}: no metrics are logged with it, so it cannot be compared;"
            f" `synthcxr models card {address}` shows what is known about it"
        )
    return evaluation


def _find_number(registry: Registry, address: str | None, default_alias: str) -> str:
    """Return the version number of an address: a number or an alias such as @candidate, also after models:/NAME."""
    match = _ADDRESS.fullmatch(address or f"@{default_alias}")
    if match is None:
        example = f"models:/{GENERATOR_MODEL}@{default_alias}"
        raise ArtifactError(f"{address}: not a version of {GENERATOR_MODEL}; give a number, or {example}")
    version = match["version"]
    if not version.startswith("@"):
        return version
    aliases, alias = registry.get_aliases(GENERATOR_MODEL), version[1:]
    if alias not in aliases:
        raise ArtifactError(
            f"{tracking_uri.redact(registry.uri)}: no version of {GENERATOR_MODEL} has the alias {alias}"
        )
    return aliases[alias]


def _open_registry() -> Registry:
    uri = tracking_uri.find()
    if uri is None:
        raise ArtifactError(
            f"no registry here; go to the folder that contains {tracking_uri.EMBEDDED_DATABASE}"
            f" or set {tracking_uri.URI_VARIABLE} to a server"
        )
    return Registry.open(uri)
