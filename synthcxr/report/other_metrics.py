"""The subsection on diversity and distances other than Fréchet's: kernel distance, precision, coverage, MS-SSIM."""

from __future__ import annotations

from synthcxr.data.metrics_schema import MetricsJson, is_computed
from synthcxr.data.model_names import name_network
from synthcxr.data.number_format import NO_BREAK_SPACE, format_number
from synthcxr.report.section import Row, Section, Table
from synthcxr.report.text import format_estimate

_HEADINGS = (
    "Features",
    "Kernel distance (floor)",
    "Fréchet distance at infinite N: synthetic (training films)",
    "Precision",
    "Recall",
    "Coverage",
    "Coverage relative to training films (95 % CI)",
)
_METRIC_HEADINGS = ("Metric", "What it is", "Synthetic images (95 % CI)", "Test films")


def build_diversity_section(metrics: MetricsJson) -> Section | None:
    """The subsection; None where `evaluate` computed none of these figures."""
    extractors = [name for name, row in metrics.get("coverage", {}).items() if is_computed(row)]
    table = Table(_HEADINGS, tuple(_tabulate(name, metrics) for name in extractors)) if extractors else None
    notes = _describe_similarity(metrics)
    return Section("Diversity and other distances", notes=notes, table=table) if table or notes else None


def build_metrics_section(metrics: MetricsJson) -> Section | None:
    """The subsection with the metrics that are declared one by one; None where none was computed."""
    rows = tuple(
        (
            name.replace("_", " "),
            row["meaning"],
            format_estimate(row["value"], row.get("interval")) if is_computed(row) else row["status"],
            format_number(row.get("films")),
        )
        for name, row in metrics.get("metrics", {}).items()
    )
    return Section("Other metrics", table=Table(_METRIC_HEADINGS, rows), is_folded=True) if rows else None


def _describe_similarity(metrics: MetricsJson) -> tuple[str, ...]:
    similarity = metrics.get("similarity")
    if similarity is None or not is_computed(similarity):
        return ()
    synthetic = format_estimate(similarity["synthetic"], similarity["synthetic_interval"], in_text=True)
    real = format_estimate(similarity.get("real"), similarity.get("real_interval"), in_text=True)
    return (
        f"Mean MS-SSIM of random pairs: synthetic images {synthetic}, real films {real}. A higher value for images"
        " means less diversity.",
    )


def _tabulate(extractor: str, metrics: MetricsJson) -> Row:
    kernel, infinity = metrics["kernel"][extractor], metrics["infinity"][extractor]
    coverage = metrics["coverage"][extractor]
    synthetic = coverage["synthetic"]
    kernel_cell = infinity_cell = ""
    if "value" in kernel:
        kernel_cell = (
            f"{format_number(kernel['value'])}{NO_BREAK_SPACE}±{NO_BREAK_SPACE}{format_number(kernel['std'])}"
            f" ({format_number(kernel['floor'])})"
        )
    if "synthetic" in infinity:
        value, floor = infinity["synthetic"]["value"], infinity["training"]["value"]
        infinity_cell = f"{format_number(value)} ({format_number(floor)})"
    return (
        name_network(extractor, metrics.get("names", {})),
        kernel_cell,
        infinity_cell,
        format_number(synthetic["precision"]),
        format_number(synthetic["recall"]),
        format_number(synthetic["coverage"]),
        format_estimate(coverage["relative"], coverage["relative_interval"]),
    )
