"""The sidecar files: exact, without time and machine where bytes must be reproducible, and readable back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.dataset_records import LATENT_SIZE, ORIGIN, REQUEST, write_images

from synthcxr.data import random_streams
from synthcxr.data.synthetic_dataset import METADATA_COLUMNS, ImageRecord, read_image_records
from synthcxr.storage import digests, json_files
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.journal import Journal, JournalLine, encode_latents
from synthcxr.writers.sidecars.latents_npy import read_latents
from synthcxr.writers.sidecars.write_all import write_sidecars


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, list[ImageRecord], dict]:
    """A small dataset with fewer images than requested, its records and its run.json."""
    records = write_images(PngFolder(tmp_path), 0, 6)
    journal = Journal(tmp_path / "journal.jsonl")
    for line in (JournalLine(8, 0.5, tuple(records[:4])), JournalLine(20, 0.25, tuple(records[4:]))):
        journal.append(line)
    return tmp_path, records, write_sidecars(tmp_path, REQUEST, ORIGIN)


def test_sidecars_describe_the_images_of_the_journal(finished: tuple[Path, list[ImageRecord], dict]) -> None:
    """Records and latents are read back as they were written, and run.json has the counts of the journal."""
    folder, records, run = finished
    assert read_image_records(folder) == records
    latents = read_latents(folder)
    expected = random_streams.draw_latents(1, 0, 6, LATENT_SIZE)
    assert np.array_equal(latents, expected) and latents.dtype == np.float32
    assert run == json_files.read_json(folder / "run.json")
    assert run["counts"] == {"requested": 9, "found": 6, "draws": 20, "runs": 0, "acceptance_rate": 0.3}
    assert (run["complete"], run["wall_s"], run["model"]["phantom"], run["threads"]) == (False, 0.75, True, 2)
    assert run["command"] == ["synthcxr", "generate"] and run["model"]["name"] == "models:/x@champion"


def test_tables_continue_from_line_to_line(tmp_path: Path) -> None:
    """Each image is a patient of its own; a line has the latents of its candidates or those that it stores."""
    records = write_images(PngFolder(tmp_path), 0, 12)
    journal, stored = Journal(tmp_path / "journal.jsonl"), np.full((8, LATENT_SIZE), 0.5, np.float32)
    journal.append(JournalLine(4, 0.5, tuple(records[:4])))
    journal.append(JournalLine(12, 0.5, tuple(records[4:]), latents=encode_latents(stored)))
    write_sidecars(tmp_path, REQUEST, ORIGIN)
    rows = pd.read_csv(tmp_path / "Data_Entry.csv", index_col=False)
    assert rows["Patient ID"].tolist() == list(range(1, 13))
    expected = np.concatenate([random_streams.draw_latents(1, 0, 4, LATENT_SIZE), stored])
    np.testing.assert_array_equal(read_latents(tmp_path), expected)


def test_croissant_describes_files_and_columns(finished: tuple[Path, list[ImageRecord], dict]) -> None:
    """croissant.json names every column and the digests of the tables, and nothing about the machine."""
    folder, _, _ = finished
    text = (folder / "croissant.json").read_text()
    description = json.loads(text)
    distribution = {entry["@id"]: entry for entry in description["distribution"]}
    assert distribution["metadata.csv"]["sha256"] == digests.sha256_file(folder / "metadata.csv")
    assert distribution["latents.npy"]["sha256"] == digests.sha256_file(folder / "latents.npy")
    assert distribution["images"]["includes"] == "images/*/*.png"
    columns = [field["source"]["extract"]["column"] for field in description["recordSet"][0]["field"]]
    assert sorted(columns) == sorted(METADATA_COLUMNS)
    assert description["conformsTo"] == "http://mlcommons.org/croissant/1.0" and description["license"] == "Apache-2.0"
    assert "phantom" in description["description"] and "Edema" in description["description"]
    assert str(folder) not in text and "datePublished" not in text and "dateCreated" not in text


def test_dataset_without_images_has_all_files(tmp_path: Path) -> None:
    """A dataset without any image has tables with headers and no rows."""
    Journal(tmp_path / "journal.jsonl").append(JournalLine(20, 0.5, ()))
    run = write_sidecars(tmp_path, REQUEST, ORIGIN)
    assert run["counts"]["found"] == 0 and run["counts"]["acceptance_rate"] == 0.0
    assert read_image_records(tmp_path) == []
    assert read_latents(tmp_path).shape == (0, LATENT_SIZE)
