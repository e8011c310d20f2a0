"""What stands beside the images: exact, without clock or host where bytes must repeat, and readable back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synthcxr.data import findings, random_streams, records
from synthcxr.data.records import Record
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.storage import digests, json_files
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.generation_request import Request
from synthcxr.writers.journal import Journal, Line
from synthcxr.writers.sidecars import write_all
from synthcxr.writers.sidecars.run_json import Origin

Fill = Callable[..., list[Record]]
GENERATOR = Contract("generator", 8, 5, findings.FINDINGS, {}, {}, "f" * 16, False, "Apache-2.0", digest="a" * 64)
CLASSIFIER = Contract("classifier", 8, 0, findings.FINDINGS, {}, {}, "f" * 16, True, "Apache-2.0", digest="b" * 64)
ORIGIN = Origin("models:/x@champion", GENERATOR, CLASSIFIER, ("synthcxr", "generate"))
REQUEST = Request(
    n=9,
    seed=1,
    labels=("Edema",),
    max_draws=20,
    batch=4,
    format="png",
    models={"generator": "a" * 64, "classifier": "b" * 64},
    pins={"provider": "CPUExecutionProvider", "onnxruntime": "1"},
    threads=2,
)


@pytest.fixture
def finished(tmp_path: Path, fill: Fill) -> tuple[Path, list[Record], dict]:
    """A small dataset, short of what was asked for, that was just finished."""
    made = fill(PngFolder(tmp_path), 0, 6)
    journal = Journal(tmp_path / "journal.jsonl")
    for line in (Line(8, 0.5, tuple(made[:4])), Line(20, 0.25, tuple(made[4:]))):
        journal.append(line)
    return tmp_path, made, write_all.finish(tmp_path, REQUEST, ORIGIN)


def test_finish(finished: tuple[Path, list[Record], dict]) -> None:
    """All four files tell of the same images; the records read back are the ones that were written."""
    folder, made, run = finished
    assert records.read_records(folder) == made
    latents = np.load(folder / "latents.npy", allow_pickle=False)
    assert np.array_equal(latents, random_streams.latents(1, 0, 6, 5)) and latents.dtype == np.float32
    assert run == json_files.read_json(folder / "run.json")
    assert run["counts"] == {"requested": 9, "found": 6, "draws": 20, "runs": 0, "acceptance_rate": 0.3}
    assert (run["complete"], run["wall_s"], run["model"]["phantom"], run["threads"]) == (False, 0.75, True, 2)
    assert run["command"] == ["synthcxr", "generate"] and run["model"]["name"] == "models:/x@champion"


def test_croissant(finished: tuple[Path, list[Record], dict]) -> None:
    """It names every column and the digests of the tables, and nothing of the machine it was made on."""
    folder, _, _ = finished
    text = (folder / "croissant.json").read_text()
    described = json.loads(text)
    held = {entry["@id"]: entry for entry in described["distribution"]}
    assert held["metadata.csv"]["sha256"] == digests.sha256_file(folder / "metadata.csv")
    assert held["latents.npy"]["sha256"] == digests.sha256_file(folder / "latents.npy")
    assert held["images"]["includes"] == "images/*/*.png"
    columns = [field["source"]["extract"]["column"] for field in described["recordSet"][0]["field"]]
    assert sorted(columns) == sorted(records.RECORD_COLUMNS)
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0" and described["license"] == "Apache-2.0"
    assert "phantom" in described["description"] and "Edema" in described["description"]
    assert str(folder) not in text and "datePublished" not in text and "dateCreated" not in text


def test_an_empty_dataset(tmp_path: Path) -> None:
    """No image found is a dataset too, with headers and no rows."""
    Journal(tmp_path / "journal.jsonl").append(Line(20, 0.5, ()))
    run = write_all.finish(tmp_path, REQUEST, ORIGIN)
    assert run["counts"]["found"] == 0 and run["counts"]["acceptance_rate"] == 0.0
    assert records.read_records(tmp_path) == []
    assert np.load(tmp_path / "latents.npy", allow_pickle=False).shape == (0, 5)
