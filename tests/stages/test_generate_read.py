"""What `generate` writes, read with the libraries that people read such things with."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import default_request as asking
from support.stub_models import write_folder

from synthcxr.data import image_reader, records
from synthcxr.stages import generate

pytestmark = pytest.mark.slow

N = 12
CONFIG = dataclasses.replace(asking.PLAIN, n=N, with_judge=True, max_draws=N, batch=8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One dataset in each format, beside each other."""
    root = tmp_path_factory.mktemp("made")
    model = write_folder(root / "onnx")
    for form in ("png", "webdataset"):
        generate.run(CONFIG, model=model, out=root / form, model_name="stand-in", form=form)  # type: ignore[arg-type]
    return root


def pixels(dataset: Path) -> list[np.ndarray]:
    table = records.read_metadata(dataset)
    return [image_reader.pixels(data) for data in image_reader.read_all(dataset, table["file_name"])]


def in_a_process(code: str, *arguments: Path, home: Path) -> str:
    """What a library says, in a process of its own with its cache in `home`, and its warnings its own affair."""
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


IMAGEFOLDER = """
import sys
import numpy as np
from datasets import load_dataset
held = load_dataset("imagefolder", data_dir=sys.argv[1], split="train")
for row in held:
    print(row["index"], row["sha256"], row["Finding Labels"], int(np.asarray(row["image"]).astype(int).sum()), sep=";")
"""


def test_hugging_face_imagefolder(made: Path, tmp_path: Path) -> None:
    """`load_dataset("imagefolder")` finds every image with its row, and takes no other file for one."""
    pytest.importorskip("datasets", reason="no datasets here: pip install datasets")
    said = in_a_process(IMAGEFOLDER, made / "png", home=tmp_path).splitlines()
    table = records.read_metadata(made / "png")
    rows = zip(table["index"], table["sha256"], table["Finding Labels"], pixels(made / "png"), strict=True)
    assert sorted(said) == sorted(f"{at};{sha};{names};{image.astype(int).sum()}" for at, sha, names, image in rows)


WEBDATASET = """
import glob, sys
import webdataset
shards = sorted(glob.glob(sys.argv[1] + "/shards/*.tar"))
for image, row in webdataset.WebDataset(shards, shardshuffle=False).decode("l8").to_tuple("png", "json"):
    print(row["index"], row["sha256"], row["Finding Labels"], int(image.astype(int).sum()), sep=";")
"""


def test_webdataset(made: Path, tmp_path: Path) -> None:
    """webdataset decodes each PNG with its JSON."""
    pytest.importorskip("webdataset", reason="no webdataset here: pip install webdataset")
    said = in_a_process(WEBDATASET, made / "webdataset", home=tmp_path).splitlines()
    table = records.read_metadata(made / "webdataset")
    rows = zip(table["index"], table["sha256"], table["Finding Labels"], pixels(made / "webdataset"), strict=True)
    assert said == [f"{at};{sha};{names};{image.astype(int).sum()}" for at, sha, names, image in rows]


CROISSANT = """
import sys
import mlcroissant
held = mlcroissant.Dataset(jsonld=sys.argv[1] + "/croissant.json")
print([*held.metadata.issues.errors])
print([issue for issue in held.metadata.issues.warnings if "datePublished" not in issue])
for row in held.records("records"):
    print(row["records/index"], row["records/file_name"].decode(), row["records/Finding_Labels"].decode(), sep=";")
"""


@pytest.mark.parametrize("form", ["png", "webdataset"])
def test_croissant(made: Path, tmp_path: Path, form: str) -> None:
    """mlcroissant finds no error, misses nothing but a date (bytes hold none) and reads the rows through it."""
    pytest.importorskip("mlcroissant", reason="no mlcroissant here: pip install mlcroissant")
    errors, warnings, *said = in_a_process(CROISSANT, made / form, home=tmp_path).splitlines()
    assert (errors, warnings) == ("[]", "[]")
    table = records.read_metadata(made / form)
    rows = zip(table["index"], table["file_name"], table["Finding Labels"], strict=True)
    assert said == [f"{at};{name};{names}" for at, name, names in rows]


def test_an_nih_style_loader(made: Path) -> None:
    """What loaders of NIH ChestX-ray14 do: the table's file names found under images*, findings split at the bar.

    The header is the release's own; no patient stands twice, so that a split by patient splits nothing.
    """
    entries = pd.read_csv(made / "png" / "Data_Entry.csv")
    assert list(entries.columns[:4]) == ["Image Index", "Finding Labels", "Follow-up #", "Patient ID"]
    assert list(entries.columns[7:]) == ["OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]"]
    paths = {path.name: path for path in (made / "png").glob("images*/*/*.png")}
    assert entries["Image Index"].map(paths.get).notna().all() and len(paths) == N
    edema = entries["Finding Labels"].map(lambda names: "Edema" in names.split("|"))
    shown = records.read_metadata(made / "png")["Finding Labels"].str.split("|").map(lambda names: "Edema" in names)
    assert list(edema) == list(shown) and entries["Patient ID"].is_unique
