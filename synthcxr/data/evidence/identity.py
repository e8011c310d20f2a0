"""What is the dataset? Its model, request, size, seed and date, and whether its files are what they should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthcxr.data.attribute_request import AttributeRequest
from synthcxr.data.evidence.answer import Answer, Fact, Reason, find_worst, order_reasons
from synthcxr.data.evidence.gate_families import GateCounts, describe_gate
from synthcxr.data.findings import describe_label_set
from synthcxr.data.metrics_rows import CheckRow
from synthcxr.data.metrics_schema import MetricsJson
from synthcxr.data.model_names import name_network
from synthcxr.data.number_format import format_count, format_percent

QUESTION = "What is it?"
_UNKNOWN = "not recorded"
_MAX_NAMED = 3
_DIGEST_DIGITS = 16


def answer_identity(metrics: MetricsJson, gates: GateCounts, run: Mapping[str, Any]) -> Answer:
    """Answer from run.json and the checks of files and labels."""
    files = gates.select(("files",))
    failed = [row for row in metrics["checks"]["lines"] if not row["passed"]]
    reasons = [Reason("failed", f"Failed check: {describe_check(row)}.") for row in failed]
    if not failed:
        reasons += [Reason("failed", f"Failed: {describe_gate(gate)}.") for gate in files.failed]
    reasons += [Reason("open", "No gate on the file checks is set.")] if files.not_set else []
    reasons += _judge_run(run)
    state = find_worst(reason.state for reason in reasons)
    return Answer(
        key="identity",
        question=QUESTION,
        state=state,
        verdict=describe_dataset(run) if state != "failed" else f"{describe_dataset(run)}; the file checks failed",
        reasons=order_reasons(reasons),
        facts=_list_facts(metrics, run),
    )


def describe_check(row: CheckRow) -> str:
    """A check in one phrase: its sentence, the measured and the required value, and the rows that fail it."""
    values = f" ({row['found']}, required {row['asked']})" if row["found"] else ""
    rows = f": {', '.join(row['rows'][:3])}" if row["rows"] else ""
    return f"{row['sentence'].rstrip('.')}{values}{rows}"


def describe_dataset(run: Mapping[str, Any]) -> str:
    """How many images of which size."""
    return f"{format_count(run['counts']['found'])} synthetic chest X-rays of {run['model']['resolution']} px"


def describe_request(run: Mapping[str, Any]) -> str:
    """What was requested of the images."""
    request = run["request"]
    label_set = _spell(describe_label_set(request["labels"], request.get("without", ())))
    parts = request.get("parts", ())
    text = f"every image {'labelled ' if request['labels'] else ''}{label_set}" if label_set else "no finding requested"
    if parts:
        text = f"{format_count(len(parts))} sets of findings with their own counts"
    if attributes := str(AttributeRequest.from_run(request)):
        text = f"{text}; {attributes}"
    return f"{text}; method {request['method']}" if request.get("method") else text


def _judge_run(run: Mapping[str, Any]) -> list[Reason]:
    counts = run["counts"]
    if run.get("complete", counts["found"] == counts["requested"]):
        return []
    sentence = (
        f"The dataset is incomplete: {counts['found']:,} of {counts['requested']:,} requested images were found"
        f" among {format_count(counts.get('draws'))} candidates{_name_short_parts(run)}."
    )
    return [Reason("open", sentence)]


def _name_short_parts(run: Mapping[str, Any]) -> str:
    """The sets of findings with too few images; nothing for a request of one set."""
    rows = run.get("shortfall", ())
    if not run["request"].get("parts") or not rows:
        return ""
    names = [f"{' and '.join(row['labels'])} ({row['found']} of {row['requested']})" for row in rows]
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"; too few show {_spell(', '.join(names[:_MAX_NAMED]))}{more}"


def _list_facts(metrics: MetricsJson, run: Mapping[str, Any]) -> tuple[Fact, ...]:
    model, counts = run["model"], run["counts"]
    films = "phantoms drawn by the program" if model["phantom"] else "films"
    names = metrics.get("names", {})
    checks = metrics["checks"]
    n_checks, n_failed = len(checks["lines"]), checks["failed"]
    digest = metrics.get("dataset")
    return (
        Fact("Model", f"{model.get('name', _UNKNOWN)}, trained on {films} (digest {model['training_data']})"),
        Fact("Request", describe_request(run)),
        Fact(
            "Count",
            f"{format_count(counts['found'])} of {format_count(counts['requested'])} requested images, from"
            f" {format_count(counts.get('draws'))} candidates"
            f" ({format_percent(counts.get('acceptance_rate'), digits=3)} accepted)",
        ),
        Fact("Seed", str(run["request"].get("seed", _UNKNOWN))),
        Fact("Date", str(run.get("date", _UNKNOWN))),
        Fact("Labelled by", name_network("classifier", names)),
        Fact(
            "Checks of files and labels",
            f"{n_failed} of {n_checks} failed" if n_failed else f"all {n_checks} passed",
            "failed" if n_failed else None,
        ),
        *([Fact("Digest of the dataset", digest[:_DIGEST_DIGITS])] if digest else []),
    )


def _spell(findings: str) -> str:
    return findings.replace("_", " ")
