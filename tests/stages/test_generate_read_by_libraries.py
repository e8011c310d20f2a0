"""Generated datasets are read by the libraries that users read such datasets with."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from support.default_request import DEFAULT_REQUEST
from support.stub_models import write_stub_models

from synthcxr.data import image_reader
from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.stages import generate

pytestmark = pytest.mark.slow

N = 12
CONFIG = dataclasses.replace(DEFAULT_REQUEST, n=N, with_judge=True, max_draws=N, batch=8)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one dataset per format."""
    root = tmp_path_factory.mktemp("datasets")
    model = write_stub_models(root / "onnx")
    for image_format in ("png", "webdataset"):
        out = root / image_format
        generate.run(CONFIG, model=model, out=out, model_name="stub", image_format=image_format)  # type: ignore[arg-type]
    return root


def describe_images(dataset: Path) -> list[str]:
    """One line per image as the scripts print it: index, digest, labels and sum of the pixels."""
    table = read_metadata(dataset)
    pixels = [image_reader.decode_pixels(data, name="x") for data in image_reader.read_all(dataset, table["file_name"])]
    rows = zip(table["index"], table["sha256"], table["Finding Labels"], pixels, strict=True)
    return [f"{index};{sha256};{labels};{image.astype(int).sum()}" for index, sha256, labels, image in rows]


def run_script(code: str, *arguments: Path, cache: Path) -> list[str]:
    """Run a script in its own process, with the library's cache in `cache`, and return the lines of its output."""
    environment = os.environ | {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr[-2000:]
    return process.stdout.splitlines()


IMAGEFOLDER = """
import sys
import numpy as np
from datasets import load_dataset
for row in load_dataset("imagefolder", data_dir=sys.argv[1], split="train"):
    print(row["index"], row["sha256"], row["Finding Labels"], int(np.asarray(row["image"]).astype(int).sum()), sep=";")
"""


def test_hugging_face_imagefolder_reads_every_image(datasets: Path, tmp_path: Path) -> None:
    """`load_dataset("imagefolder")` finds every image with its row, and takes no other file for an image."""
    pytest.importorskip("datasets", reason="datasets is not installed: pip install datasets")
    lines = run_script(IMAGEFOLDER, datasets / "png", cache=tmp_path)
    assert sorted(lines) == sorted(describe_images(datasets / "png"))


SHARDS = """
import sys
import numpy as np
from datasets import load_dataset
for row in load_dataset(sys.argv[1], split="train"):
    fields = row["json"]
    pixels = np.asarray(row["png"]).astype(int)
    print(fields["index"], fields["sha256"], fields["Finding Labels"], int(pixels.sum()), sep=";")
"""


def test_hugging_face_reads_the_shards_of_a_folder(datasets: Path, tmp_path: Path) -> None:
    """`load_dataset(FOLDER)` finds every image and its row in shards, and takes no table beside them for images."""
    pytest.importorskip("datasets", reason="datasets is not installed: pip install datasets")
    lines = run_script(SHARDS, datasets / "webdataset", cache=tmp_path)
    assert sorted(lines) == sorted(describe_images(datasets / "webdataset"))


WEBDATASET = """
import glob, sys
import webdataset
shards = sorted(glob.glob(sys.argv[1] + "/shards/*.tar"))
for image, row in webdataset.WebDataset(shards, shardshuffle=False).decode("l8").to_tuple("png", "json"):
    print(row["index"], row["sha256"], row["Finding Labels"], int(image.astype(int).sum()), sep=";")
"""


def test_webdataset_reads_every_image(datasets: Path, tmp_path: Path) -> None:
    """webdataset decodes each PNG with its JSON, in order."""
    pytest.importorskip("webdataset", reason="webdataset is not installed: pip install webdataset")
    lines = run_script(WEBDATASET, datasets / "webdataset", cache=tmp_path)
    assert lines == describe_images(datasets / "webdataset")


CROISSANT = """
import sys
import mlcroissant
dataset = mlcroissant.Dataset(jsonld=sys.argv[1] + "/croissant.json")
print([*dataset.metadata.issues.errors])
print([issue for issue in dataset.metadata.issues.warnings if "datePublished" not in issue])
for row in dataset.records("records"):
    print(row["records/index"], row["records/file_name"].decode(), row["records/Finding_Labels"].decode(), sep=";")
"""


@pytest.mark.parametrize("image_format", ["png", "webdataset"])
def test_mlcroissant_accepts_the_metadata(datasets: Path, tmp_path: Path, image_format: str) -> None:
    """mlcroissant finds no error, misses only a date, which would change the bytes, and reads the rows."""
    pytest.importorskip("mlcroissant", reason="mlcroissant is not installed: pip install mlcroissant")
    errors, warnings, *lines = run_script(CROISSANT, datasets / image_format, cache=tmp_path)
    assert (errors, warnings) == ("[]", "[]")
    table = read_metadata(datasets / image_format)
    rows = zip(table["index"], table["file_name"], table["Finding Labels"], strict=True)
    assert lines == [f"{index};{name};{labels}" for index, name, labels in rows]


def test_loaders_of_nih_chestxray14_read_the_table(datasets: Path) -> None:
    """Such loaders find the files of the table under images*, and split the findings at the bar.

    The header is that of the release. No patient occurs twice, so that a split by patient separates no patient.
    """
    entries = pd.read_csv(datasets / "png" / "Data_Entry.csv")
    assert list(entries.columns[:4]) == ["Image Index", "Finding Labels", "Follow-up #", "Patient ID"]
    assert list(entries.columns[7:]) == ["OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"]
    paths = {path.name: path for path in (datasets / "png").glob("images*/*/*.png")}
    assert entries["Image Index"].map(paths.get).notna().all() and len(paths) == N
    edema = entries["Finding Labels"].map(lambda names: "Edema" in names.split("|"))
    expected = read_metadata(datasets / "png")["Finding Labels"].str.split("|").map(lambda names: "Edema" in names)
    assert list(edema) == list(expected) and entries["Patient ID"].is_unique
