"""Who is champion: decided on the record, and written down with the version that it concerns.

One alias decides, the generator's. On a store that is a file a lock excludes two promotions at once. A server's
aliases are last write wins: there the alias is read back after SETTLE_S, and the record of one that was overwritten
says so.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from synthcxr.errors import ArtifactError
from synthcxr.registry import companion_aliases, connection, promotion_lock, tracking_uri
from synthcxr.registry.client import DECISION_WHY_TAG as WHY
from synthcxr.registry.client import METRICS_TAG, VERDICT_TAG, Registry, Version
from synthcxr.registry.model_address import CHAMPION, GENERATOR
from synthcxr.registry.promotion_policy import Decision, Evaluated, decide
from synthcxr.storage import digests

SETTLE_S = 1.0
DECISION, AT, METRICS, OVER = (f"synthcxr.decision{part}" for part in ("", "_at", "_metrics_sha256", "_over"))
PROMOTING, PROMOTED, FORCED, REFUSED = "promoting", "promoted", "forced", "refused"
OVERWRITTEN, ROLLED_BACK, RESTORED, KEPT = "overwritten", "rolled back", "restored", "kept"
_MAX_TAG = 5000  # MLflow's longest tag of a version

Wait = Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one version: the record that its tags hold, the champion before it, the aliases that were mended.

    `champion` is the version that is champion now, "" where there is none.
    """

    version: str
    decision: str
    why: str
    before: str
    champion: str
    mended: tuple[str, ...] = ()


def evaluated(registry: Registry, version: Version) -> Evaluated | None:
    """The evidence that was logged with a version, None where there is none; ArtifactError where it was changed."""
    texts = []
    for name, tag in (("metrics.json", METRICS_TAG), ("verdict.json", VERDICT_TAG)):
        data = registry.run_file(version.run_id, name) if tag in version.tags else None
        if data is None:
            return None
        if digests.sha256_bytes(data) != version.tags[tag]:
            raise ArtifactError(
                f"models:/{version.name}/{version.version}: {name} of its run is not the one that was registered;"
                " register it again"
            )
        texts.append(json.loads(data))
    return Evaluated(version.tags.get("synthcxr.training_data", ""), *texts)


def promote(registry: Registry, number: str, *, reason: str = "", wait: Wait = time.sleep) -> Outcome:
    """Make a version champion if its evidence allows it, or because `reason` says so; what is decided is recorded."""
    with promotion_lock.promoting(registry.uri):
        version, before = registry.version(GENERATOR, number), _champion(registry)
        if before == number:
            return _kept(registry, version)
        decision = Decision(True, reason) if reason else _decide(registry, version, before)
        if not decision.promote:
            _record(registry, version, REFUSED, decision.why)
            return Outcome(number, REFUSED, decision.why, before, before, companion_aliases.follow(registry))
        registry.folder(version)
        _record(registry, version, PROMOTING, decision.why, over=before)
        if _champion(registry) != before:
            return _overwritten(registry, version, decision.why, before)
        now = _move(registry, number, wait)
        if now != number:
            return _overwritten(registry, version, decision.why, before)
        done = FORCED if reason else PROMOTED
        _record(registry, version, done, decision.why, over=before)
        return Outcome(number, done, decision.why, before, number, companion_aliases.follow(registry))


def rollback(registry: Registry, *, reason: str = "", wait: Wait = time.sleep) -> Outcome:
    """Give the alias back to the version that the champion replaced; ArtifactError where it replaced none."""
    with promotion_lock.promoting(registry.uri):
        number = _champion(registry)
        if not number:
            raise ArtifactError(f"{tracking_uri.shown(registry.uri)}: there is no champion to roll back")
        champion = registry.version(GENERATOR, number)
        earlier = champion.tags.get(OVER, "")
        if not earlier:
            raise ArtifactError(f"models:/{GENERATOR}/{number}: replaced no champion; there is none to go back to")
        target = registry.version(GENERATOR, earlier)
        registry.folder(target)
        now, why = _move(registry, earlier, wait), reason or "by hand"
        if now != earlier:
            return _overwritten(registry, target, why, number)
        _record(registry, champion, ROLLED_BACK, why, over="")
        _record(registry, target, RESTORED, f"version {number} was rolled back: {why}")
        return Outcome(earlier, RESTORED, why, number, earlier, companion_aliases.follow(registry))


def _decide(registry: Registry, version: Version, before: str) -> Decision:
    candidate = evaluated(registry, version)
    if candidate is None:
        return Decision(False, "no evidence is logged with it")
    if not before:
        return decide(candidate, None)
    champion = evaluated(registry, registry.version(GENERATOR, before))
    return decide(candidate, champion or Evaluated("", {}, {}))


def _kept(registry: Registry, version: Version) -> Outcome:
    """The version is champion already: a promotion that was stopped halfway is brought to its end."""
    why = version.tags.get(WHY, "")
    if version.tags.get(DECISION) == PROMOTING:
        _record(registry, version, PROMOTED, why, over=version.tags.get(OVER, ""))
    number = version.version
    return Outcome(number, KEPT, "is the champion already", number, number, companion_aliases.follow(registry))


def _overwritten(registry: Registry, version: Version, why: str, before: str) -> Outcome:
    now = _champion(registry)
    told = f"another promotion made version {now or 'none'} champion meanwhile ({why})"
    _record(registry, version, OVERWRITTEN, told)
    return Outcome(version.version, OVERWRITTEN, told, before, now, companion_aliases.follow(registry))


def _champion(registry: Registry) -> str:
    return registry.aliases(GENERATOR).get(CHAMPION, "")


def _move(registry: Registry, number: str, wait: Wait) -> str:
    """Set the alias and say where it is then: on a server after others had their time to set it."""
    with connection.speaking(registry.uri):
        registry.client.set_registered_model_alias(GENERATOR, CHAMPION, number)
    if tracking_uri.kind(registry.uri) == "server":
        wait(SETTLE_S)
    return _champion(registry)


def _record(registry: Registry, version: Version, decision: str, why: str, *, over: str | None = None) -> None:
    """Write a decision to a version's tags; `over` is the champion that it replaces, "" for none, None to keep it."""
    now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    tags: Mapping[str, Any] = {
        WHY: why[:_MAX_TAG],
        AT: now,
        METRICS: version.tags.get(METRICS_TAG, ""),
        **({} if over is None else {OVER: over}),
        DECISION: decision,
    }
    with connection.speaking(registry.uri):
        for key, value in tags.items():
            registry.client.set_model_version_tag(version.name, version.version, key, value)
