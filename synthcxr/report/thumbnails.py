"""The section that shows synthetic images by finding, and thumbnails as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from synthcxr.data import images
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, NO_FINDING
from synthcxr.data.image_reader import decode_pixels
from synthcxr.data.images import UInt8
from synthcxr.data.number_format import NO_BREAK_SPACE, format_count, format_percent
from synthcxr.data.synthetic_dataset import JUDGE_FINDINGS_COLUMN
from synthcxr.report.section import Grid, Section, Thumbnail
from synthcxr.report.text import spell_finding, spell_labels

IMAGES_TITLE = "Synthetic images"
MAX_SIDE_PX = 192
_MAX_PER_FINDING = 8
_MAX_NAMED = 2
"""The most findings of one network that a caption names; the alternative text names all."""
_MIN_IMAGES = 2
"""A finding that was not requested and that fewer images carry has no row of its own."""

ReadFiles = Callable[[Sequence[str]], Iterable[bytes]]


def build_images_section(
    records: pd.DataFrame, read_files: ReadFiles, *, n_images: int, requested: Sequence[str]
) -> Section:
    """The first images with each requested finding, or each frequent one, with the opinions of classifier and judge.

    `records` are the rows of metadata.csv. At most `n_images` images are shown, each once.
    """
    selected, rows_by_number = (
        select_images(records, n_images=n_images, requested=requested),
        records.to_dict("records"),
    )
    names = [rows_by_number[row]["file_name"] for rows in selected.values() for row in rows]
    data = dict(zip(names, read_files(names), strict=True))
    n = format_count(len(records))
    subsections = tuple(
        Section(
            f"{spell_finding(finding)}: {format_count(_count(records, finding))} of {n} images",
            grid=Grid(tuple(_build_labelled(rows_by_number[row], finding, data) for row in rows)),
        )
        for finding, rows in selected.items()
    )
    judge = "" if f"judge_{FINDINGS[0]}" in records else " Generate with `--with-judge` to see the judge's opinion."
    return Section(
        title=IMAGES_TITLE,
        conclusion=(
            f"The first {format_count(len(names))} of {n} images by finding, in the order of"
            " generation and not selected; each network's probability of the finding, and the findings that reach its"
            f" thresholds.{judge}"
        ),
        subsections=subsections,
    )


def select_images(records: pd.DataFrame, *, n_images: int, requested: Sequence[str]) -> dict[str, list[int]]:
    """The rows to show for each finding: of the requested ones, or from the most frequent on, each row once."""
    counts = {finding: _count(records, finding) for finding in (NO_FINDING, *FINDINGS)}
    frequent = [name for name in sorted(counts, key=lambda name: -counts[name]) if counts[name] >= _MIN_IMAGES]
    findings = [name for name in requested if counts.get(name)] or frequent
    shown: set[int] = set()
    selected: dict[str, list[int]] = {}
    n_each = n_images if len(findings) == 1 else min(_MAX_PER_FINDING, max(1, n_images // max(1, len(findings))))
    for finding in findings:
        rows = [row for row in _find_rows(records, finding) if row not in shown][: min(n_each, n_images - len(shown))]
        if rows:
            selected[finding] = rows
            shown.update(rows)
    return selected


def build_thumbnail(pixels: UInt8, *, alt: str, caption: str) -> Thumbnail:
    """A thumbnail of uint8 pixels [R, R], halved until it has at most MAX_SIDE_PX."""
    side = pixels.shape[0]
    while side > MAX_SIDE_PX:
        side //= 2
    reduced = pixels if side == pixels.shape[0] else resize_pixels(pixels, side)
    data = base64.b64encode(images.encode_png(reduced)).decode("ascii")
    return Thumbnail(source=f"data:image/png;base64,{data}", alt=alt, caption=caption)


def resize_pixels(pixels: UInt8, side: int) -> UInt8:
    """Resize uint8 pixels [R, R] to [side, side]."""
    return images.quantise(images.resize(pixels.astype(np.float32) / np.float32(255), side))


def _build_labelled(record: Mapping[Hashable, Any], finding: str, data: Mapping[str, bytes]) -> Thumbnail:
    labels = spell_labels(record["Finding Labels"])
    judged = record.get(JUDGE_FINDINGS_COLUMN)
    alt = f"Synthetic chest image, candidate {record['index']}, labelled {labels}"
    return build_thumbnail(
        decode_pixels(data[record["file_name"]], name=record["file_name"]),
        alt=f"{alt}; judge: {spell_labels(judged)}" if judged else alt,
        caption="; ".join(_list_opinions(record, finding)),
    )


def _list_opinions(record: Mapping[Hashable, Any], finding: str) -> Iterator[str]:
    """What the classifier, and the judge if the dataset has its columns, say of an image.

    Each opinion has the probability of `finding`, which No Finding does not have, and the findings at the thresholds.
    """
    for network, prefix, column in (("classifier", "p_", "Finding Labels"), ("judge", "judge_", JUDGE_FINDINGS_COLUMN)):
        probability = record.get(f"{prefix}{finding}")
        percent = "" if probability is None else format_percent(probability, decimals=0, space=NO_BREAK_SPACE)
        labels = _shorten_labels(record[column], finding) if column in record else ""
        if percent or labels:
            name = f"{network} {percent}" if percent else network
            yield f"{name}: {labels}" if labels else name


def _shorten_labels(labels: str, finding: str) -> str:
    """The first findings of a cell, that of the row before the others, and the number of the rest."""
    names = sorted(labels.split(LABEL_SEPARATOR), key=lambda name: name != finding)
    more = f" +{len(names) - _MAX_NAMED}" if len(names) > _MAX_NAMED else ""
    return ", ".join(map(spell_finding, names[:_MAX_NAMED])) + more


def _find_rows(records: pd.DataFrame, finding: str) -> list[int]:
    return [row for row, labels in enumerate(records["Finding Labels"]) if finding in labels.split(LABEL_SEPARATOR)]


def _count(records: pd.DataFrame, finding: str) -> int:
    return len(_find_rows(records, finding))
