"""Read the answers of an evidence summary in tests."""

from __future__ import annotations

from typing import Any

from support.evidence_files import make_metrics, make_run, make_verdict

from synthcxr.data.evidence.answer import Answer
from synthcxr.data.evidence.summary import EvidenceSummary, summarise_evidence


def summarise(verdict: Any = None, run: Any = None, *, utility: Any = None, **sections: Any) -> EvidenceSummary:
    """The summary of evidence in which `sections` replace sections without a fault."""
    return summarise_evidence(make_metrics(**sections), verdict or make_verdict(), run or make_run(), utility=utility)


def list_states(summary: EvidenceSummary) -> dict[str, str]:
    """The state of each answer."""
    return {answer.key: answer.state for answer in summary.answers}


def list_sentences(answer: Answer, state: str) -> str:
    """The reasons of one state as a text."""
    return " ".join(reason.sentence for reason in answer.reasons if reason.state == state)


def read_facts(answer: Answer) -> dict[str, str]:
    """The facts of an answer by name."""
    return {fact.name: fact.text for fact in answer.facts}


def list_marked(answer: Answer, state: str) -> list[str]:
    """The names of the facts with the mark of this state."""
    return [fact.name for fact in answer.facts if fact.state == state]


def make_privacy(**spaces: Any) -> dict[str, Any]:
    """The section "privacy" with these spaces."""
    return {"status": "computed"} | spaces
