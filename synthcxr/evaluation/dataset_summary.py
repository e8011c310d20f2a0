"""Lines of text on a dataset, from its own files: agreement, co-findings, weights and near-duplicates."""

from __future__ import annotations

import dataclasses
import math
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data import image_reader
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, NO_FINDING
from synthcxr.data.synthetic_dataset import ImageRecord, iterate_image_records
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
    images = _Images.read(dataset)
    if not images.n:
        return ()
    return (
        *_describe_agreement(images),
        *_describe_cofindings(images),
        *_describe_near_duplicates(dataset, images),
        *_describe_weights(images, run, rates),
    )


@dataclasses.dataclass(frozen=True)
class _Images:
    """What the lines need of the images of a dataset, of which there may be any number.

    `first` are the records of the first MAX_COMPARED_IMAGES, `labels` is bool [n, 14] and `weights` float64 [n].
    `requested`, `labelled` and `confirmed` count the images by request, by label, and by label that the judge confirms.
    """

    first: Sequence[ImageRecord]
    labels: NDArray[np.bool_]
    weights: NDArray[np.float64]
    requested: Counter[str]
    labelled: Counter[str]
    confirmed: Counter[str]

    @property
    def n(self) -> int:
        return len(self.weights)

    @classmethod
    def read(cls, dataset: Path) -> _Images:
        """Read metadata.csv once, a row at a time."""
        first, labels, weights = list[ImageRecord](), bytearray(), array("d")
        requested, labelled, confirmed = Counter[str](), Counter[str](), Counter[str]()
        for record in iterate_image_records(dataset):
            if len(first) < MAX_COMPARED_IMAGES:
                first.append(record)
            labels += bytes(finding in record.findings for finding in FINDINGS)
            weights.append(record.weight)
            requested[record.requested] += 1
            labelled.update(record.findings)
            confirmed.update(set(record.findings).intersection(record.judge_findings))
        matrix = np.frombuffer(bytes(labels), np.bool_).reshape(-1, len(FINDINGS))
        return cls(first, matrix, np.array(weights), requested, labelled, confirmed)


def _describe_agreement(images: _Images) -> Iterator[str]:
    """How often the judge agrees with the labels, at its thresholds; nothing without its columns."""
    if not images.first[0].judge_findings:
        return
    parts = []
    for finding in _list_described_findings(images, with_no_finding=True):
        n, n_agreed = images.labelled[finding], images.confirmed[finding]
        parts.append(f"{finding} in {n_agreed:,} of {n:,} images ({n_agreed / n:.0%})")
    yield f"the judge agrees with the label at its threshold: {', '.join(parts)}"


def _describe_cofindings(images: _Images) -> Iterator[str]:
    pairs = cofindings.count_pairs(images.labels)
    yield f"findings per image: {images.labels.sum() / images.n:.1f}"
    for finding in _list_described_findings(images, with_no_finding=False):
        row = cofindings.describe_cofindings(pairs, finding)
        companions = ", ".join(f"{name} ({row.share_with[name]:.0%})" for name in row.companions)
        yield (
            f"images with {finding}: {row.findings_per_image or 0:.1f} findings each; most often with"
            f" {companions or 'no other finding'}"
        )


def _describe_near_duplicates(dataset: Path, images: _Images) -> Iterator[str]:
    compared = images.first
    if len(compared) < 2:
        return
    flags = near_duplicates.is_near_duplicate(
        near_duplicates.find_nearest_correlations(_reduce_images(dataset, compared))
    )
    first = "" if len(compared) == images.n else "first "
    yield (
        f"near-duplicates: {int(flags.sum()):,} of the {first}{len(compared):,} images ({flags.mean():.0%}) correlate"
        f" with another one at {near_duplicates.NEAR_DUPLICATE:g} or more, at 32 px; `synthcxr evaluate` compares this"
        " with films"
    )


def _describe_weights(images: _Images, run: Mapping[str, Any], rates: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """The effective sample size of a weighted set, and if it is small, the exact alternative and its cost."""
    if np.ptp(images.weights) == 0:
        return
    n, size = images.n, effective_sample_size(images.weights)
    yield f"effective sample size of the weights: {size:,.1f} of {n:,} images ({size / n:.1%})"
    if size < LOW_SHARE * n:
        yield (
            f"warning: weighted estimates depend on {max(1, round(size)):,} of {n:,} images. Exact, with weight 1 for"
            f" every image: {_estimate_cost(images.requested, run, rates)}"
        )


def _estimate_cost(parts: Mapping[str, int], run: Mapping[str, Any], rates: Mapping[str, tuple[int, int]]) -> str:
    """What plain rejection would cost, from the measured rates of single findings.

    `parts` has the number of images of each request. Several findings together are at most as frequent as the rarest
    of them, so the cost is then a lower limit.
    """
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


def _list_described_findings(images: _Images, *, with_no_finding: bool) -> list[str]:
    """The requested findings, or else the most frequent labels; at most _N_DESCRIBED, those of most images first."""
    requested = {name for request in images.requested for name in request.split(LABEL_SEPARATOR)}
    counts = {name: n for name, n in images.labelled.items() if name in requested} or images.labelled
    known = (NO_FINDING, *FINDINGS) if with_no_finding else FINDINGS
    names = [name for name in known if counts.get(name)]
    return sorted(names, key=lambda name: -counts[name])[:_N_DESCRIBED]


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
