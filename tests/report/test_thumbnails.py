"""Thumbnails, and the grid of synthetic images by finding with the opinions of classifier and judge."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from support.report_project import decode_data_uri

from synthcxr.data import images
from synthcxr.data.findings import FINDINGS
from synthcxr.report.section import Thumbnail
from synthcxr.report.thumbnails import build_images_section, build_thumbnail


@pytest.mark.parametrize(("side", "expected"), [(1024, 128), (192, 192), (64, 64)])
def test_large_images_are_reduced(side: int, expected: int) -> None:
    """A grid of large images does not make a page of many megabytes; small images keep their size."""
    thumbnail = build_thumbnail(np.zeros((side, side), np.uint8), alt="a", caption="b")
    assert decode_data_uri(thumbnail.source).shape == (expected, expected)


def build_records(*rows: tuple[str, str]) -> pd.DataFrame:
    """Rows of metadata.csv with the given findings of classifier and judge; each finding has its own probabilities."""
    table = pd.DataFrame({"file_name": [f"{k}.png" for k in range(len(rows))], "index": range(len(rows))})
    table["Finding Labels"] = [labels for labels, _ in rows]
    for number, finding in enumerate(FINDINGS):
        table[f"p_{finding}"], table[f"judge_{finding}"] = 0.5 + number / 100, number / 100
    table["Judge Findings"] = [labels for _, labels in rows]
    return table


def list_thumbnails(records: pd.DataFrame, requested: Sequence[str] = ()) -> dict[str, list[Thumbnail]]:
    """The thumbnails of each row of the grid."""
    png = images.encode_png(np.zeros((8, 8), np.uint8))
    section = build_images_section(records, lambda names: [png] * len(names), n_images=24, requested=requested)
    return {row.title: list(row.grid.thumbnails) for row in section.subsections if row.grid is not None}


def test_captions_have_the_findings_of_both_networks_at_their_thresholds() -> None:
    """The finding of the row comes first, two findings are named, and the alternative text names all."""
    records = build_records(
        ("Atelectasis|Cardiomegaly|Edema", "Cardiomegaly|Mass|Nodule|Hernia"), ("Cardiomegaly", "No Finding")
    )
    first, second = list_thumbnails(records, ["Cardiomegaly"])["Cardiomegaly: 2 of 2 images"]
    space = "\N{NO-BREAK SPACE}"
    assert (
        first.caption == f"classifier 51{space}%: Cardiomegaly, Atelectasis +1; judge 1{space}%: Cardiomegaly, Mass +2"
    )
    assert second.caption == f"classifier 51{space}%: Cardiomegaly; judge 1{space}%: No Finding"
    assert first.alt.endswith("labelled Atelectasis, Cardiomegaly, Edema; judge: Cardiomegaly, Mass, Nodule, Hernia")


def test_every_requested_or_frequent_finding_has_a_row() -> None:
    """Requested findings have rows; without a request those that two images or more carry, the most frequent first."""
    records = build_records(*[("Mass|Edema", "Edema")] * 3, *[("No Finding", "Mass")] * 4, ("Hernia", "Hernia"))
    assert list(list_thumbnails(records)) == ["No Finding: 4 of 8 images", "Mass: 3 of 8 images"]
    assert list(list_thumbnails(records, ["Edema", "Hernia"])) == ["Edema: 3 of 8 images", "Hernia: 1 of 8 images"]
    no_finding = list_thumbnails(records)["No Finding: 4 of 8 images"][0]
    assert no_finding.caption == "classifier: No Finding; judge: Mass"


def test_a_dataset_without_the_judges_columns_has_the_classifiers_opinion_alone() -> None:
    """The caption then has one opinion, and the alternative text the labels."""
    records = build_records(("Edema", "No Finding"))
    columns = [name for name in records if not name.lower().startswith("judge")]
    (thumbnail,) = list_thumbnails(records[columns], ["Edema"])["Edema: 1 of 1 images"]
    assert thumbnail.caption == "classifier 59\N{NO-BREAK SPACE}%: Edema"
    assert thumbnail.alt.endswith("labelled Edema")
