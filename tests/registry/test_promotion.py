from __future__ import annotations

import datetime
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from synthcxr.errors import ArtifactError
from synthcxr.registry import client, promotion, promotion_lock, resolve, tracking_uri
from synthcxr.registry.model_address import CANDIDATE, CHAMPION, GENERATOR
from synthcxr.storage import json_files

PublishJudged = Callable[..., str]
CLASSIFIER = "synthcxr-classifier"


def opened() -> client.Registry:
    return client.Registry.open(tracking_uri.find() or tracking_uri.embedded())


def tags(registry: client.Registry, number: str) -> dict[str, str]:
    return registry.version(GENERATOR, number).tags


def test_a_promotion_is_recorded_and_a_worse_candidate_refused(
    any_registry: client.Registry, publish_judged: PublishJudged
) -> None:
    """The first is champion by its gates; a worse one is refused, a better one promoted: reasons, time, digest kept."""
    first, worse, better = publish_judged(4.0), publish_judged(6.0), publish_judged(2.0)
    store = any_registry
    assert promotion.promote(store, first).decision == promotion.PROMOTED
    refused = promotion.promote(store, worse)
    assert (refused.decision, refused.champion) == (promotion.REFUSED, first)
    assert "worse than the champion: distance.judge.relative 6 [5.5, 6.5], the champion's 4 [3.5, 4.5]" in refused.why
    assert store.aliases(GENERATOR) == {CANDIDATE: better, CHAMPION: first}
    held = tags(store, worse)
    assert (held[promotion.DECISION], held[client.DECISION_WHY_TAG]) == (promotion.REFUSED, refused.why)
    promoted = promotion.promote(store, better)
    assert (promoted.decision, promoted.before) == (promotion.PROMOTED, first)
    held = tags(store, better)
    assert held[promotion.DECISION] == promotion.PROMOTED
    assert held[promotion.OVER] == first
    assert held[promotion.METRICS] == held[client.METRICS_TAG]
    age = datetime.datetime.now(tz=datetime.UTC) - datetime.datetime.fromisoformat(held[promotion.AT])
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=5)
    assert resolve(None).name == f"models:/{GENERATOR}/{better}"


def test_the_labellers_follow_and_are_mended(any_registry: client.Registry, publish_judged: PublishJudged) -> None:
    """The classifier's alias goes where the generator's goes, and comes back there after somebody moved it."""
    publish_judged(3.0)
    publish_judged(3.0)
    store = any_registry
    store.client.delete_registered_model_alias(CLASSIFIER, CANDIDATE)
    outcome = promotion.promote(store, "1")
    assert store.aliases(CLASSIFIER) == store.aliases(GENERATOR) == {CANDIDATE: "2", CHAMPION: "1"}
    assert outcome.mended == (f"{CLASSIFIER}@candidate is version 2", f"{CLASSIFIER}@champion is version 1")
    store.client.set_registered_model_alias(CLASSIFIER, CHAMPION, "2")
    again = promotion.promote(store, "1")
    assert (again.decision, again.mended) == (promotion.KEPT, (f"{CLASSIFIER}@champion is version 1",))


def test_force_is_recorded_and_rollback_undoes_one_promotion(
    any_registry: client.Registry, publish_judged: PublishJudged
) -> None:
    """A reason passes over a failed gate and stands in the record; rolling back gives the alias to the one before."""
    first, second = publish_judged(3.0), publish_judged(3.0, passed=False)
    store = any_registry
    promotion.promote(store, first)
    assert promotion.promote(store, second).decision == promotion.REFUSED
    assert promotion.promote(store, second, reason="for a demonstration").decision == promotion.FORCED
    assert tags(store, second)[client.DECISION_WHY_TAG] == "for a demonstration"
    back = promotion.rollback(store, reason="the demonstration is over")
    assert (back.decision, back.champion, back.before) == (promotion.RESTORED, first, second)
    assert store.aliases(GENERATOR)[CHAMPION] == store.aliases(CLASSIFIER)[CHAMPION] == first
    held = tags(store, second)
    assert (held[promotion.DECISION], held[client.DECISION_WHY_TAG]) == (
        promotion.ROLLED_BACK,
        "the demonstration is over",
    )
    assert tags(store, first)[client.DECISION_WHY_TAG] == f"version {second} was rolled back: the demonstration is over"
    with pytest.raises(ArtifactError, match="replaced no champion; there is none to go back to"):
        promotion.rollback(store)


def test_evidence_that_was_changed_promotes_nothing(registry: Path, publish_judged: PublishJudged) -> None:
    """metrics.json of the run must be the one that was registered, and a version without evidence is refused."""
    number = publish_judged(3.0)
    store = opened()
    run = store.client.get_run(store.version(GENERATOR, number).run_id)
    path = tracking_uri.local(f"{run.info.artifact_uri}/metrics.json")
    assert path is not None
    json_files.write_json(path, {"distance": {}})
    with pytest.raises(ArtifactError, match=r"metrics.json of its run is not the one that was registered"):
        promotion.promote(store, number)
    path.unlink()
    assert promotion.promote(store, number).why == "no evidence is logged with it"
    assert CHAMPION not in store.aliases(GENERATOR)


def test_a_promotion_stopped_halfway_is_brought_to_its_end(
    any_registry: client.Registry, publish_judged: PublishJudged, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the alias was set and then everything stopped, promoting again completes record and aliases."""
    first, second = publish_judged(3.0), publish_judged(3.0)
    store = any_registry
    promotion.promote(store, first)

    def stop(registry: client.Registry) -> tuple[str, ...]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(promotion, "_move", lambda store, number, wait: (stop(store), "")[1])
        promotion.promote(store, second)
    assert tags(store, second)[promotion.DECISION] == promotion.PROMOTING
    store.client.set_registered_model_alias(GENERATOR, CHAMPION, second)
    assert promotion.promote(store, second).decision == promotion.KEPT
    assert tags(store, second)[promotion.DECISION] == promotion.PROMOTED
    assert promotion.rollback(store).champion == first


def test_two_promotions_exclude_each_other(registry: Path) -> None:
    """While another process holds the store a promotion waits, then says so; a holder that dies frees it."""
    program = (
        "import sys, time; from synthcxr.registry import alone\n"
        f"with alone.promoting({tracking_uri.embedded()!r}):\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        began = time.monotonic()
        with (
            pytest.raises(ArtifactError, match="another promotion is under way"),
            promotion_lock.promoting(tracking_uri.embedded(), wait_s=0.3),
        ):
            pass
        assert time.monotonic() - began >= 0.3
    finally:
        holder.kill()
        holder.communicate()
    with promotion_lock.promoting(tracking_uri.embedded(), wait_s=0.3):
        assert sorted(path.name for path in (registry / "registry").iterdir()) == ["mlflow.db"]
