"""The summary of an evaluation: three questions and their answers, from metrics.json, verdict.json and run.json.

`summarise_evidence` builds it. The report, the model card, `synthcxr evaluate` and summary.json only render it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from synthcxr.data.evidence.answer import Answer, Key, State, find_worst
from synthcxr.data.evidence.gate_families import FAMILIES, GateCounts, describe_gate
from synthcxr.data.evidence.identity import answer_identity
from synthcxr.data.evidence.metric_names import name_metric
from synthcxr.data.evidence.quality import answer_quality
from synthcxr.data.evidence.sharing import answer_sharing
from synthcxr.data.metrics_schema import METRICS_FILE, VERDICT_FILE, MetricsJson, VerdictJson
from synthcxr.data.number_format import format_quantity
from synthcxr.data.synthetic_dataset import read_run
from synthcxr.storage import json_files

UTILITY_FILE = Path("utility/utility.json")
_SUBJECTS: dict[Key, str] = {"shared": "copying", "good": "quality", "identity": "files"}
_MARKS: dict[State, str] = {"passed": "ok", "open": "OPEN", "failed": "FAILED"}


@dataclasses.dataclass(frozen=True)
class EvidenceSummary:
    """The answers in their order, the worst of their states, and a headline that names the gates."""

    state: State
    headline: str
    answers: tuple[Answer, ...]

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of the summary."""
        answers = {answer.key: answer.as_dict() for answer in self.answers}
        return {"state": self.state, "headline": self.headline, "answers": answers}


def summarise_evidence(
    metrics: MetricsJson, verdict: VerdictJson, run: Mapping[str, Any], *, utility: Mapping[str, Any] | None = None
) -> EvidenceSummary:
    """Answer the three questions. `utility` is the content of utility.json for the same generator."""
    gates = GateCounts.count(verdict)
    answers = (
        answer_sharing(metrics, gates),
        answer_quality(
            metrics,
            gates,
            requested=run["request"]["labels"],
            is_phantom=run["model"]["phantom"],
            utility=utility or {},
        ),
        answer_identity(metrics, gates, run),
    )
    states = [answer.state for answer in answers]
    if gates.failed or not verdict["passed"]:
        states.append("failed")
    if gates.not_applicable or gates.not_set:
        states.append("open")
    return EvidenceSummary(find_worst(states), f"{_describe_state(answers)} {describe_gates(gates)}", answers)


def read_summary(*, results: Path, dataset: Path) -> EvidenceSummary:
    """Read the files of an evaluation and its dataset, and summarise them."""
    metrics: MetricsJson = json_files.read_json(results / METRICS_FILE)
    utility = results / UTILITY_FILE
    return summarise_evidence(
        metrics,
        json_files.read_json(results / VERDICT_FILE),
        read_run(dataset),
        utility=select_utility(json_files.read_json(utility) if utility.is_file() else {}, metrics),
    )


def select_utility(utility: Mapping[str, Any], metrics: MetricsJson) -> dict[str, Any]:
    """The content of utility.json if it is about the generator of `metrics`, else nothing."""
    generator = metrics["models"]["generator"] if "models" in metrics else None
    return dict(utility) if utility and utility["generator"] == generator else {}


def describe_gates(gates: GateCounts) -> str:
    """How many gates could be judged, how many passed, and which failed, are not applicable or are not set."""
    n_failed, n_judged = len(gates.failed), len(gates.failed) + len(gates.passed)
    n_gates = n_judged + len(gates.not_applicable)
    judged = f"{n_judged} of {format_quantity(n_gates, 'gate')} could be judged, " if n_judged < n_gates else ""
    if not n_judged:
        parts = ["No gate was applicable: there is no verdict"]
    elif n_failed:
        count = f"{n_failed} of {n_judged}" if judged else f"{n_failed} of {format_quantity(n_judged, 'gate')}"
        parts = [f"{judged}{count} failed: {_join(map(describe_gate, gates.failed))}"]
    elif judged:
        parts = [judged + ("it passed" if n_judged == 1 else f"all {n_judged} passed")]
    else:
        parts = [f"{n_judged} of {format_quantity(n_judged, 'gate')} passed"]
    if gates.not_applicable:
        parts.append(f"not applicable: {_join(name_metric(gate['metric']) for gate in gates.not_applicable)}")
    if gates.not_set:
        parts.append(f"no gate is set on {_join(FAMILIES[family] for family in gates.not_set)}")
    return "; ".join(parts)


def format_headlines(summary: EvidenceSummary) -> Iterator[str]:
    """The headline and the three answers without reasons, as text for a terminal."""
    yield f"{_MARKS[summary.state]}: {summary.headline}"
    for answer in summary.answers:
        yield f"{answer.question} {answer.verdict} [{_MARKS[answer.state]}]"


def format_lines(summary: EvidenceSummary) -> Iterator[str]:
    """The summary as text for a terminal."""
    headline, *answer_lines = format_headlines(summary)
    yield headline
    for answer, line in zip(summary.answers, answer_lines, strict=True):
        yield line
        yield from (f"  {reason.sentence}" for reason in answer.reasons)
        yield from (f"  {fact.name}: {fact.text}" for fact in answer.facts)


def format_markdown(summary: EvidenceSummary) -> str:
    """The summary as Markdown for a model card."""
    paragraphs = [f"**{summary.headline}.**"]
    for answer in summary.answers:
        lines = [reason.sentence for reason in answer.reasons] + [f"{fact.name}: {fact.text}" for fact in answer.facts]
        items = "\n".join(f"- {line}" for line in lines)
        paragraphs.append(f"**{answer.question} {answer.verdict}.** ({answer.state})\n\n{items}")
    return "\n\n".join(paragraphs)


def _describe_state(answers: Sequence[Answer]) -> str:
    """What the evidence says in one sentence, with the subjects of the worst answers."""
    state = find_worst(answer.state for answer in answers)
    subjects = " and ".join(_SUBJECTS[answer.key] for answer in answers if answer.state == state)
    return {
        "passed": "The evidence supports this dataset.",
        "open": f"The evidence is incomplete: {subjects}.",
        "failed": f"The evidence speaks against this dataset: {subjects}.",
    }[state]


def _join(texts: Iterable[str]) -> str:
    return ", ".join(texts)
