"""Lines of text on a dataset, from its own files: agreement, co-findings, weights and near-duplicates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import image_reader
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, NO_FINDING
from synthcxr.data.synthetic_dataset import ImageRecord, read_image_records
from synthcxr.evaluation.metrics import cofindings, near_duplicates
from synthcxr.evaluation.metrics.effective_sample_size import LOW_SHARE, effective_sample_size
from synthcxr.storage.progress import track

MAX_COMPARED_IMAGES = 1000
"""The most images that are searched for near-duplicates here; `evaluate` searches all."""
_N_DESCRIBED = 3
_BATCH = 64


def describe_dataset(dataset: Path, run: Mapping[str, Any], *, rates: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """The lines on a finished dataset, from its metadata.csv, images and run.json; none for an empty one.

    `rates` are how many of how many unguided candidates show each finding, where that was measured.
    """
    records = read_image_records(dataset)
    if not records:
        return ()
    return (
        *_describe_agreement(records),
        *_describe_cofindings(records),
        *_describe_near_duplicates(dataset, records),
        *_describe_weights(records, run, rates),
    )


def _describe_agreement(records: Sequence[ImageRecord]) -> Iterator[str]:
    """How often the judge agrees with the labels, at its thresholds; nothing without its columns."""
    if not records[0].judge_findings:
        return
    parts = []
    for finding in _list_described_findings(records, with_no_finding=True):
        labelled = [record for record in records if finding in record.findings]
        n_agreed = sum(finding in record.judge_findings for record in labelled)
        parts.append(f"{finding} in {n_agreed:,} of {len(labelled):,} images ({n_agreed / len(labelled):.0%})")
    yield f"the judge agrees with the label at its threshold: {', '.join(parts)}"


def _describe_cofindings(records: Sequence[ImageRecord]) -> Iterator[str]:
    labels = _to_labels(records)
    pairs = cofindings.count_pairs(labels)
    yield f"findings per image: {labels.sum() / len(labels):.1f}"
    for finding in _list_described_findings(records, with_no_finding=False):
        row = cofindings.describe_cofindings(pairs, finding)
        companions = ", ".join(f"{name} ({row.share_with[name]:.0%})" for name in row.companions)
        yield (
            f"images with {finding}: {row.findings_per_image or 0:.1f} findings each; most often with"
            f" {companions or 'no other finding'}"
        )


def _describe_near_duplicates(dataset: Path, records: Sequence[ImageRecord]) -> Iterator[str]:
    compared = records[:MAX_COMPARED_IMAGES]
    if len(compared) < 2:
        return
    flags = near_duplicates.is_near_duplicate(
        near_duplicates.find_nearest_correlations(_reduce_images(dataset, compared))
    )
    first = "" if len(compared) == len(records) else "first "
    yield (
        f"near-duplicates: {int(flags.sum()):,} of the {first}{len(compared):,} images correlate with another one at"
        f" {near_duplicates.NEAR_DUPLICATE:g} or more (at 32 px; hardly any film does with another patient's)"
    )


def _describe_weights(
    records: Sequence[ImageRecord], run: Mapping[str, Any], rates: Mapping[str, tuple[int, int]]
) -> Iterator[str]:
    """The effective sample size of a weighted set, and if it is small, the exact alternative and its cost."""
    weights = np.array([record.weight for record in records])
    if np.ptp(weights) == 0:
        return
    n, size = len(weights), effective_sample_size(weights)
    yield f"effective sample size of the weights: {size:,.1f} of {n:,} images ({size / n:.1%})"
    if size < LOW_SHARE * n:
        yield (
            f"warning: weighted estimates depend on {max(1, round(size)):,} of {n:,} images. Exact, with weight 1 for"
            f" every image: {_estimate_cost(records, run, rates)}"
        )


def _estimate_cost(records: Sequence[ImageRecord], run: Mapping[str, Any], rates: Mapping[str, tuple[int, int]]) -> str:
    """What plain rejection would cost, from the measured rates of single findings.

    Several findings together are at most as frequent as the rarest of them, so the cost is then a lower limit.
    """
    parts = Counter(record.requested for record in records)
    labels_by_part = {part: part.split(LABEL_SEPARATOR) for part in parts}
    if not all(name in rates for labels in labels_by_part.values() for name in labels):
        return "--method reject; --list-labels shows its cost"
    n_candidates, is_limit = 0.0, bool(run["request"].get("without") or run["request"].get("parts"))
    for part, labels in labels_by_part.items():
        n_positive, n_drawn = min((rates[name] for name in labels), key=lambda rate: rate[0] / rate[1])
        is_limit |= len(labels) > 1 or not n_positive
        n_candidates += parts[part] * n_drawn / max(n_positive, 1)
    cost = _round_up(n_candidates)
    estimate = f"--method reject --max-draws {2 * cost}, {'at least' if is_limit else 'about'} {cost:,} candidates"
    counts = run["counts"]
    if counts.get("runs") and run.get("wall_s"):
        estimate += f", {_format_duration(n_candidates * run['wall_s'] / counts['runs'])} at this speed"
    return estimate


def _list_described_findings(records: Sequence[ImageRecord], *, with_no_finding: bool) -> list[str]:
    """The requested findings, or else the most frequent labels; at most _N_DESCRIBED, those of most images first."""
    requested = Counter(name for record in records for name in record.requested.split(LABEL_SEPARATOR) if name)
    labels = Counter(name for record in records for name in record.findings)
    counts = {name: labels[name] for name in requested if labels[name]} or dict(labels)
    known = (NO_FINDING, *FINDINGS) if with_no_finding else FINDINGS
    names = [name for name in known if name in counts]
    return sorted(names, key=lambda name: -counts[name])[:_N_DESCRIBED]


def _to_labels(records: Sequence[ImageRecord]) -> NDArray[np.bool_]:
    return np.array([[finding in record.findings for finding in FINDINGS] for record in records], np.bool_)


def _reduce_images(dataset: Path, records: Sequence[ImageRecord]) -> NDArray[np.float32]:
    """The images float32 [n, 32, 32]."""
    from synthcxr.evaluation.memorisation.pixel_index import smooth_and_reduce  # a single image needs no scipy

    names, sha256s = [record.file_name for record in records], [record.sha256 for record in records]
    parts: list[NDArray[np.float32]] = []
    batch: list[NDArray[np.uint8]] = []
    pairs = zip(names, image_reader.read_all_verified(dataset, names, sha256s), strict=True)
    for name, data in track(pairs, "reading images to find near-duplicates", unit="images", total=len(names)):
        batch.append(image_reader.decode_pixels(data, name=f"{dataset}: {name}"))
        if len(batch) == _BATCH or len(parts) * _BATCH + len(batch) == len(records):
            parts.append(smooth_and_reduce(np.stack(batch)))
            batch = []
    return np.concatenate(parts)


def _round_up(n: float) -> int:
    """Two significant digits, upwards."""
    step = 10 ** max(0, math.floor(math.log10(max(n, 1))) - 1)
    return int(math.ceil(n / step) * step)


def _format_duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.0f} hours"
