"""Who is champion, and why: `synthcxr models compare`, `promote` and `rollback`."""

from __future__ import annotations

import re

from synthcxr.errors import ArtifactError, ConfigError, GateError
from synthcxr.registry import promotion, promotion_policy, tracking_uri
from synthcxr.registry.client import Registry
from synthcxr.registry.model_address import CANDIDATE, CHAMPION, GENERATOR
from synthcxr.registry.promotion import Outcome
from synthcxr.registry.promotion_policy import Compared, Evaluated

_ADDRESS = re.compile(rf"(?:models:/{GENERATOR}(?:/|(?=@)))?(?P<what>\d+|@[^/@]+)")


def compare(candidate: str | None, champion: str | None) -> tuple[Compared, ...]:
    """The figures of two versions side by side; without addresses the candidate's and the champion's."""
    registry = _registry()
    one, other = _number(registry, candidate, CANDIDATE), _number(registry, champion, CHAMPION)
    if one == other:
        raise ArtifactError(f"version {one} is candidate and champion; name the two to compare, as in `compare 1 2`")
    return promotion_policy.compare(_evaluated(registry, one), _evaluated(registry, other))


def promote(address: str | None, *, force: bool, reason: str) -> Outcome:
    """Make a version champion; GateError says why not.

    `force` passes over the evidence, and wants a `reason` that is recorded.
    """
    if force != bool(reason.strip()):
        raise ConfigError("--force needs --reason, which is recorded" if force else "--reason goes with --force")
    registry = _registry()
    number = _number(registry, address, CANDIDATE)
    outcome = promotion.promote(registry, number, reason=reason.strip())
    if outcome.champion != outcome.version:
        raise GateError(f"models:/{GENERATOR}/{number} is not champion: {outcome.why}")
    return outcome


def rollback(reason: str) -> Outcome:
    """Make the version champion that the present one replaced; GateError where another promotion came between."""
    outcome = promotion.rollback(_registry(), reason=reason.strip())
    if outcome.champion != outcome.version:
        raise GateError(f"models:/{GENERATOR}/{outcome.version} is not champion: {outcome.why}")
    return outcome


def _evaluated(registry: Registry, number: str) -> Evaluated:
    found = promotion.evaluated(registry, registry.version(GENERATOR, number))
    if found is None:
        raise ArtifactError(
            f"models:/{GENERATOR}/{number}: no figures are logged with it, so that nothing can be compared;"
            f" `synthcxr models card models:/{GENERATOR}/{number}` has what is known of it"
        )
    return found


def _number(registry: Registry, address: str | None, alias: str) -> str:
    """The version that an address means: a number, an alias such as @candidate, either after models:/NAME."""
    parts = _ADDRESS.fullmatch(address or f"@{alias}")
    if parts is None:
        raise ArtifactError(f"{address}: no version of {GENERATOR}; give a number, or models:/{GENERATOR}@{alias}")
    what = parts["what"]
    if not what.startswith("@"):
        return what
    aliases = registry.aliases(GENERATOR)
    if what[1:] not in aliases:
        raise ArtifactError(f"{tracking_uri.shown(registry.uri)}: no version of {GENERATOR} is {what[1:]}")
    return aliases[what[1:]]


def _registry() -> Registry:
    uri = tracking_uri.find()
    if uri is None:
        raise ArtifactError(
            f"no registry here; go to the folder that holds {tracking_uri.EMBEDDED} or set {tracking_uri.VARIABLE} to a server"
        )
    return Registry.open(uri)
