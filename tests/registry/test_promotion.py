from __future__ import annotations

import datetime
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from synthcxr.errors import ArtifactError
from synthcxr.registry import client, promotion, resolve_model, tracking_uri
from synthcxr.registry.model_address import CANDIDATE, CHAMPION, GENERATOR_MODEL
from synthcxr.storage import json_files

PublishEvaluated = Callable[..., str]
CLASSIFIER_MODEL = "synthcxr-classifier"


def read_tags(registry: client.Registry, number: str) -> dict[str, str]:
    return registry.get_version(GENERATOR_MODEL, number).tags


def test_promotion_is_recorded_and_worse_candidate_refused(
    any_registry: client.Registry, publish_evaluated: PublishEvaluated
) -> None:
    """The first version needs its gates only; then worse is refused and better promoted, with reason, time, digest."""
    first, worse, better = publish_evaluated(4.0), publish_evaluated(6.0), publish_evaluated(2.0)
    assert promotion.promote(any_registry, first).decision == promotion.PROMOTED
    refused = promotion.promote(any_registry, worse)
    assert (refused.decision, refused.champion) == (promotion.REFUSED, first)
    assert (
        "worse than the champion: distance.judge.relative 6 (5.5 to 6.5), the champion's 4 (3.5 to 4.5)" in refused.why
    )
    assert any_registry.get_aliases(GENERATOR_MODEL) == {CANDIDATE: better, CHAMPION: first}
    tags = read_tags(any_registry, worse)
    assert (tags[promotion.DECISION_TAG], tags[client.DECISION_WHY_TAG]) == (promotion.REFUSED, refused.why)
    promoted = promotion.promote(any_registry, better)
    assert (promoted.decision, promoted.previous_champion) == (promotion.PROMOTED, first)
    tags = read_tags(any_registry, better)
    assert tags[promotion.DECISION_TAG] == promotion.PROMOTED
    assert tags[promotion.REPLACED_TAG] == first
    assert tags[promotion.DECISION_METRICS_TAG] == tags[client.METRICS_TAG]
    age = datetime.datetime.now(tz=datetime.UTC) - datetime.datetime.fromisoformat(tags[promotion.DECIDED_AT_TAG])
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)
    assert resolve_model(None).address == f"models:/{GENERATOR_MODEL}/{better}"


def test_companion_aliases_follow_the_generator(
    any_registry: client.Registry, publish_evaluated: PublishEvaluated
) -> None:
    """The classifier's aliases follow the generator's, and are restored after someone has moved them."""
    publish_evaluated(3.0)
    publish_evaluated(3.0)
    any_registry.client.delete_registered_model_alias(CLASSIFIER_MODEL, CANDIDATE)
    outcome = promotion.promote(any_registry, "1")
    aliases = {CANDIDATE: "2", CHAMPION: "1"}
    assert any_registry.get_aliases(CLASSIFIER_MODEL) == any_registry.get_aliases(GENERATOR_MODEL) == aliases
    assert outcome.moved_aliases == (
        f"{CLASSIFIER_MODEL}@candidate is version 2",
        f"{CLASSIFIER_MODEL}@champion is version 1",
    )
    any_registry.client.set_registered_model_alias(CLASSIFIER_MODEL, CHAMPION, "2")
    repeated = promotion.promote(any_registry, "1")
    moved = (f"{CLASSIFIER_MODEL}@champion is version 1",)
    assert (repeated.decision, repeated.moved_aliases) == (promotion.UNCHANGED, moved)


def test_outcome_keeps_its_json_keys() -> None:
    """The JSON of an outcome has the keys that scripts read."""
    outcome = promotion.PromotionOutcome("2", promotion.PROMOTED, "passed", "1", "2", ("moved",))
    assert outcome.as_dict() == {
        "version": "2",
        "decision": "promoted",
        "why": "passed",
        "before": "1",
        "champion": "2",
        "mended": ("moved",),
    }


def test_force_is_recorded_and_rollback_undoes_one_promotion(
    any_registry: client.Registry, publish_evaluated: PublishEvaluated
) -> None:
    """A reason overrides a failed gate and is recorded; a rollback returns the alias to the previous champion."""
    first, second = publish_evaluated(3.0), publish_evaluated(3.0, passed=False)
    promotion.promote(any_registry, first)
    assert promotion.promote(any_registry, second).decision == promotion.REFUSED
    assert promotion.promote(any_registry, second, reason="for a demonstration").decision == promotion.FORCED
    assert read_tags(any_registry, second)[client.DECISION_WHY_TAG] == "for a demonstration"
    outcome = promotion.rollback(any_registry, reason="the demonstration is over")
    assert (outcome.decision, outcome.champion) == (promotion.RESTORED, first)
    assert outcome.previous_champion == second
    for name in (GENERATOR_MODEL, CLASSIFIER_MODEL):
        assert any_registry.get_aliases(name)[CHAMPION] == first
    tags = read_tags(any_registry, second)
    assert tags[promotion.DECISION_TAG] == promotion.ROLLED_BACK
    assert tags[client.DECISION_WHY_TAG] == "the demonstration is over"
    why = read_tags(any_registry, first)[client.DECISION_WHY_TAG]
    assert why == f"version {second} was rolled back: the demonstration is over"
    with pytest.raises(ArtifactError, match="replaced no champion, so nothing can be restored"):
        promotion.rollback(any_registry)


def test_changed_or_missing_evidence_promotes_nothing(registry: Path, publish_evaluated: PublishEvaluated) -> None:
    """metrics.json of the run must be the one that was registered; a version without evidence is refused."""
    number = publish_evaluated(3.0)
    store = client.Registry.open(tracking_uri.embedded_uri())
    run = store.client.get_run(store.get_version(GENERATOR_MODEL, number).run_id)
    path = tracking_uri.local_path(f"{run.info.artifact_uri}/metrics.json")
    assert path is not None
    json_files.write_json(path, {"distance": {}})
    with pytest.raises(ArtifactError, match=r"metrics.json of its run differs from the one that was registered"):
        promotion.promote(store, number)
    path.unlink()
    assert promotion.promote(store, number).why == "no evidence is logged with it"
    assert CHAMPION not in store.get_aliases(GENERATOR_MODEL)


def test_champion_without_evidence_is_not_replaced_by_comparison(
    registry: Path, publish_evaluated: PublishEvaluated, publish_generator: Callable[..., object]
) -> None:
    """A candidate cannot be compared with a champion that has no logged evidence, such as the starter."""
    publish_generator(champion=True)
    store = client.Registry.open(tracking_uri.embedded_uri())
    outcome = promotion.promote(store, publish_evaluated(3.0))
    assert outcome.decision == promotion.REFUSED
    assert outcome.why.startswith("passed: ")
    assert "cannot be compared with the champion, which has no logged evidence" in outcome.why


def test_interrupted_promotion_is_completed(
    any_registry: client.Registry, publish_evaluated: PublishEvaluated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a promotion stops after it has set the alias, promoting again completes the record and the aliases."""
    first, second = publish_evaluated(3.0), publish_evaluated(3.0)
    promotion.promote(any_registry, first)

    def interrupt(registry: client.Registry, number: str, wait: promotion.Wait) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(promotion, "_set_champion", interrupt)
        promotion.promote(any_registry, second)
    assert read_tags(any_registry, second)[promotion.DECISION_TAG] == promotion.PROMOTING
    any_registry.client.set_registered_model_alias(GENERATOR_MODEL, CHAMPION, second)
    assert promotion.promote(any_registry, second).decision == promotion.UNCHANGED
    assert read_tags(any_registry, second)[promotion.DECISION_TAG] == promotion.PROMOTED
    assert promotion.rollback(any_registry).champion == first


def test_two_promotions_exclude_each_other(
    registry: Path, publish_evaluated: PublishEvaluated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process promotes, a promotion waits, then fails; a process that dies releases the lock."""
    number, uri = publish_evaluated(3.0), tracking_uri.embedded_uri()
    store = client.Registry.open(uri)
    program = (
        "import time; from synthcxr.registry import promotion\n"
        f"with promotion._promotion_lock({uri!r}):\n    print('locked', flush=True); time.sleep(60)"
    )
    monkeypatch.setattr(promotion, "WAIT_S", 0.3)
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        start = time.monotonic()
        with pytest.raises(ArtifactError, match="another promotion is running"):
            promotion.promote(store, number)
        assert time.monotonic() - start >= 0.3
    finally:
        holder.kill()
        holder.communicate()
    assert promotion.promote(store, number).decision == promotion.PROMOTED
    assert sorted(path.name for path in (registry / "registry").iterdir()) == ["artifacts", "mlflow.db"]
