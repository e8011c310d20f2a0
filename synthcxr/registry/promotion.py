"""Make a version champion, roll it back, and record every decision in the tags of the version.

One alias decides, the generator's; the classifier and judge follow it. In a sqlite store a lock excludes simultaneous
promotions. On a server the last write of an alias wins: the alias is read back after SETTLE_S, and the record of an
overwritten promotion says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mlflow import MlflowClient

from synthcxr.config import parsing
from synthcxr.data.metrics_schema import METRICS_FILE, VERDICT_FILE, MetricsJson, VerdictJson
from synthcxr.errors import ArtifactError
from synthcxr.model_files.onnx_metadata import Kind
from synthcxr.registry import connection, tracking_uri
from synthcxr.registry.client import DECISION_WHY_TAG, METRICS_TAG, TRAINING_DATA_TAG, VERDICT_TAG, Registry, Version
from synthcxr.registry.model_address import CANDIDATE, CHAMPION, GENERATOR_MODEL
from synthcxr.registry.promotion_policy import Decision, EvaluatedVersion, decide, decide_by_gates
from synthcxr.storage import digests, locks

COMPANIONS: tuple[Kind, ...] = ("classifier", "judge")
WAIT_S = 30.0
SETTLE_S = 1.0
DECISION_TAG = "synthcxr.decision"
DECIDED_AT_TAG = "synthcxr.decision_at"
DECISION_METRICS_TAG = "synthcxr.decision_metrics_sha256"
REPLACED_TAG = "synthcxr.decision_over"
PROMOTING, PROMOTED, FORCED, REFUSED = "promoting", "promoted", "forced", "refused"
OVERWRITTEN, ROLLED_BACK, RESTORED, UNCHANGED = "overwritten", "rolled back", "restored", "kept"
_LOCK_FILE = ".promotion.lock"
_MAX_TAG_LENGTH = 5000  # MLflow's limit for a tag of a version

Wait = Callable[[float], None]


@dataclasses.dataclass(frozen=True)
class PromotionOutcome:
    """The decision on one version, as its tags record it; `champion` is the version that is champion now, "" if none.

    `moved_aliases` has a line for each alias of the classifier or judge that was set.
    """

    version: str
    decision: str
    why: str
    previous_champion: str
    champion: str
    moved_aliases: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the output of `synthcxr models promote --json`."""
        return {
            "version": self.version,
            "decision": self.decision,
            "why": self.why,
            "before": self.previous_champion,
            "champion": self.champion,
            "mended": self.moved_aliases,
        }


def load_evaluation(registry: Registry, version: Version) -> EvaluatedVersion | None:
    """Return the evidence that was logged with a version, None if there is none; ArtifactError if it was changed."""
    documents: dict[str, bytes] = {}
    place = f"models:/{version.name}/{version.version}"
    for name, tag in ((METRICS_FILE, METRICS_TAG), (VERDICT_FILE, VERDICT_TAG)):
        data = registry.read_run_file(version.run_id, name) if tag in version.tags else None
        if data is None:
            return None
        if digests.sha256_bytes(data) != version.tags[tag]:
            raise ArtifactError(
                f"{place}: {name} of its run differs from the one that was registered; register it again"
            )
        documents[name] = data
    parse = functools.partial(parsing.parse_json, error=ArtifactError, advice="register it again", missing_ok=True)
    return EvaluatedVersion(
        version.tags.get(TRAINING_DATA_TAG, ""),
        parse(MetricsJson, documents[METRICS_FILE], f"{place}: {METRICS_FILE}"),
        parse(VerdictJson, documents[VERDICT_FILE], f"{place}: {VERDICT_FILE}", missing_ok=False),
    )


def promote(registry: Registry, number: str, *, reason: str = "", wait: Wait = time.sleep) -> PromotionOutcome:
    """Make a version champion if its evidence allows it, or unconditionally with `reason`; record the decision.

    `wait` sleeps for the seconds in which others may overwrite the alias on a server.
    """
    with _promotion_lock(registry.uri):
        version, previous = registry.get_version(GENERATOR_MODEL, number), _get_champion(registry)
        if previous == number:
            return _leave_champion(registry, version)
        decision = Decision(True, reason) if reason else _decide(registry, version, previous)
        if not decision.promote:
            _record(registry, version, REFUSED, decision.why)
            return PromotionOutcome(
                number, REFUSED, decision.why, previous, previous, align_companion_aliases(registry)
            )
        registry.fetch_model(version)
        _record(registry, version, PROMOTING, decision.why, replaced=previous)
        if _get_champion(registry) != previous:
            return _record_overwritten(registry, version, decision.why, previous)
        if _set_champion(registry, number, wait) != number:
            return _record_overwritten(registry, version, decision.why, previous)
        final = FORCED if reason else PROMOTED
        _record(registry, version, final, decision.why, replaced=previous)
        return PromotionOutcome(number, final, decision.why, previous, number, align_companion_aliases(registry))


def rollback(registry: Registry, *, reason: str = "", wait: Wait = time.sleep) -> PromotionOutcome:
    """Return the alias to the version that the champion replaced; ArtifactError if it replaced none."""
    with _promotion_lock(registry.uri):
        number = _get_champion(registry)
        if not number:
            raise ArtifactError(f"{tracking_uri.redact(registry.uri)}: there is no champion to roll back")
        champion = registry.get_version(GENERATOR_MODEL, number)
        earlier = champion.tags.get(REPLACED_TAG, "")
        if not earlier:
            raise ArtifactError(f"models:/{GENERATOR_MODEL}/{number}: replaced no champion, so nothing can be restored")
        target = registry.get_version(GENERATOR_MODEL, earlier)
        registry.fetch_model(target)
        why = reason or "by hand"
        if _set_champion(registry, earlier, wait) != earlier:
            return _record_overwritten(registry, target, why, number)
        _record(registry, champion, ROLLED_BACK, why, replaced="")
        _record(registry, target, RESTORED, f"version {number} was rolled back: {why}")
        return PromotionOutcome(earlier, RESTORED, why, number, earlier, align_companion_aliases(registry))


def record_companions(client: MlflowClient, versions: Mapping[str, str]) -> None:
    """Record in the tags of the generator's version which classifier and judge it was evaluated with."""
    for kind in COMPANIONS:
        companion = versions.get(f"synthcxr-{kind}")
        if companion is not None and GENERATOR_MODEL in versions:
            client.set_model_version_tag(GENERATOR_MODEL, versions[GENERATOR_MODEL], _companion_tag(kind), companion)


def align_companion_aliases(registry: Registry) -> tuple[str, ...]:
    """Set the aliases of classifier and judge to what the tags of the generator name; return a line for each change."""
    changes = []
    generator_aliases = registry.get_aliases(GENERATOR_MODEL)
    for alias in (CANDIDATE, CHAMPION):
        if alias not in generator_aliases:
            continue
        tags = registry.get_version(GENERATOR_MODEL, generator_aliases[alias]).tags
        for kind in COMPANIONS:
            name, number = f"synthcxr-{kind}", tags.get(_companion_tag(kind), "")
            if number and registry.get_aliases(name).get(alias) != number:
                with connection.translate_errors(registry.uri):
                    registry.client.set_registered_model_alias(name, alias, number)
                changes.append(f"{name}@{alias} is version {number}")
    return tuple(changes)


def _companion_tag(kind: str) -> str:
    return f"synthcxr.{kind}_version"


@contextlib.contextmanager
def _promotion_lock(uri: str) -> Iterator[None]:
    """Exclude other promotions in a sqlite store; ArtifactError if another one takes longer than WAIT_S.

    There is no lock for the store of a server; see the top of this file.
    """
    database = tracking_uri.sqlite_path(uri)
    if database is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.file_lock(database.absolute().with_name(_LOCK_FILE), wait_s=WAIT_S))
        except locks.LockedError as error:
            raise ArtifactError(
                f"{tracking_uri.redact(uri)}: another promotion is running; wait for it and try again"
            ) from error
        except OSError as error:
            raise ArtifactError(
                f"{tracking_uri.redact(uri)}: cannot lock it ({error.strerror}); make its folder writable"
            ) from error
        yield


def _decide(registry: Registry, version: Version, champion: str) -> Decision:
    candidate = load_evaluation(registry, version)
    if candidate is None:
        return Decision(False, "no evidence is logged with it")
    if not champion:
        return decide(candidate, None)
    evaluated_champion = load_evaluation(registry, registry.get_version(GENERATOR_MODEL, champion))
    if evaluated_champion is not None:
        return decide(candidate, evaluated_champion)
    by_gates = decide_by_gates(candidate.verdict)
    if not by_gates.promote:
        return by_gates
    return Decision(False, f"{by_gates.why}; cannot be compared with the champion, which has no logged evidence")


def _leave_champion(registry: Registry, version: Version) -> PromotionOutcome:
    """Leave the champion as it is, but complete the record of a promotion that was interrupted."""
    if version.tags.get(DECISION_TAG) == PROMOTING:
        why, replaced = version.tags.get(DECISION_WHY_TAG, ""), version.tags.get(REPLACED_TAG, "")
        _record(registry, version, PROMOTED, why, replaced=replaced)
    number = version.version
    changes = align_companion_aliases(registry)
    return PromotionOutcome(number, UNCHANGED, "it is the champion already", number, number, changes)


def _record_overwritten(registry: Registry, version: Version, why: str, previous: str) -> PromotionOutcome:
    champion = _get_champion(registry)
    text = f"another promotion made version {champion or 'none'} champion meanwhile ({why})"
    _record(registry, version, OVERWRITTEN, text)
    changes = align_companion_aliases(registry)
    return PromotionOutcome(version.version, OVERWRITTEN, text, previous, champion, changes)


def _get_champion(registry: Registry) -> str:
    return registry.get_aliases(GENERATOR_MODEL).get(CHAMPION, "")


def _set_champion(registry: Registry, number: str, wait: Wait) -> str:
    """Set the alias and return the champion after that; on a server, after others had time to overwrite it."""
    with connection.translate_errors(registry.uri):
        registry.client.set_registered_model_alias(GENERATOR_MODEL, CHAMPION, number)
    if tracking_uri.store_kind(registry.uri) == "server":
        wait(SETTLE_S)
    return _get_champion(registry)


def _record(registry: Registry, version: Version, decision: str, why: str, *, replaced: str | None = None) -> None:
    """Write a decision to the tags; `replaced` is the champion before, "" for none, None to leave that tag."""
    now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds")
    tags = {
        DECISION_WHY_TAG: why[:_MAX_TAG_LENGTH],
        DECIDED_AT_TAG: now,
        DECISION_METRICS_TAG: version.tags.get(METRICS_TAG, ""),
        **({} if replaced is None else {REPLACED_TAG: replaced}),
        DECISION_TAG: decision,
    }
    with connection.translate_errors(registry.uri):
        for key, value in tags.items():
            registry.client.set_model_version_tag(version.name, version.version, key, value)
