"""The suite over a synthetic dataset: a sound one passes, and each harm is one failing line that names images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthcxr.checks import synthetic
from synthcxr.checks.check_result import CheckResult
from synthcxr.data import images
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.synthetic_dataset import ImageRecord, read_metadata, to_metadata_row, write_metadata
from synthcxr.errors import DataError
from synthcxr.storage import digests, json_files
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.webdataset import TarShards

SHOWN = [("No Finding",), ("Edema",), ("Edema", "Mass"), ("Hernia",)]


def make(root: Path, kind: type = PngFolder, shown: list[tuple[str, ...]] = SHOWN, requested: str = "") -> Path:
    """A small finished dataset whose images show what `shown` says."""
    store, made = kind(root), []
    for at, findings in enumerate(shown):
        png = images.encode_png(np.full((8, 8), at % 256, np.uint8))
        name, sha256 = store.file_name(at), digests.sha256_bytes(png)
        made.append(ImageRecord(name, 3 * at, 1, requested, findings, (0.25,) * 14, 1.0, sha256))
        store.write(at, png, made[-1])
    store.close()
    root.mkdir(exist_ok=True)
    write_metadata(root / "metadata.csv", map(to_metadata_row, made))
    np.save(root / "latents.npy", np.zeros((len(made), 4), np.float32))
    json_files.write_json(root / "run.json", {"counts": {"found": len(made)}, "model": {"resolution": 8}})
    return root


def check(dataset: Path, **options: object) -> CheckResult:
    """The suite with every image read."""
    return synthetic.check(dataset, **({"images": True, "reference": None, "max_label_kl": None} | options))


def failures(found: CheckResult) -> dict[str, tuple[str, ...]]:
    """Rows by the name of each failing line."""
    return {line.name: line.rows for line in found.failed}


def edit(dataset: Path, row: int, column: str, value: object) -> None:
    """Change one cell of metadata.csv."""
    table = read_metadata(dataset).astype({column: object})
    table.loc[row, column] = value
    table.to_csv(dataset / "metadata.csv", index=False)


@pytest.mark.parametrize("kind", [PngFolder, TarShards])
def test_a_sound_dataset_passes(kind: type, tmp_path: Path) -> None:
    """Files or shards, every line passes and says in plain words what was asked."""
    found = check(make(tmp_path / "x", kind))
    assert found.passed, found.failed
    assert {"rows", "files", "sizes", "vocabulary", "probabilities", "latents", "requests"} <= {
        line.name for line in found.lines
    }


def test_an_empty_dataset_passes(tmp_path: Path) -> None:
    """None found and none listed is consistent; a divergence of no labels is not asked for."""
    assert check(make(tmp_path / "x", shown=[]), reference={"Edema": 1.0}, max_label_kl=0.1).passed


SECOND = "images/00000/00000001.png"
HARM: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda x: (x / SECOND).unlink(), "files"),
    "changed": (lambda x: (x / SECOND).write_bytes(images.encode_png(np.full((8, 8), 99, np.uint8))), "files"),
    "no image": (lambda x: (x / SECOND).write_bytes(b"text"), "sizes"),
    "label": (lambda x: edit(x, 1, "Finding Labels", "Oedema"), "vocabulary"),
    "contradiction": (lambda x: edit(x, 1, "Finding Labels", "No Finding|Edema"), "vocabulary"),
    "no label": (lambda x: edit(x, 1, "Finding Labels", ""), "vocabulary"),
    "p": (lambda x: edit(x, 1, "p_Hernia", 1.5), "probabilities"),
    "p NaN": (lambda x: edit(x, 1, "p_Mass", math.nan), "probabilities"),
    "p text": (lambda x: edit(x, 1, "p_Mass", "high"), "probabilities"),
    "weight": (lambda x: edit(x, 1, "weight", 0.0), "weight"),
    "digest": (lambda x: edit(x, 1, "sha256", "abc"), "digests"),
    "request": (lambda x: edit(x, 1, "requested", "Mass"), "requests"),
}


@pytest.mark.parametrize("harm", HARM)
def test_each_harm_names_its_image(harm: str, tmp_path: Path) -> None:
    """One image harmed in one way fails the line that asks for it, by that image's name alone."""
    dataset = make(tmp_path / "x")
    do, name = HARM[harm]
    do(dataset)
    assert failures(check(dataset))[name] == (SECOND,)


def test_a_harmed_shard(tmp_path: Path) -> None:
    """A cut shard names the images that are lost, a missing one all of its images."""
    dataset = make(tmp_path / "x", TarShards)
    shard = dataset / "shards/00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:4608])
    assert failures(check(dataset))["files"] == tuple(f"shards/00000.tar/{at:08d}.png" for at in (2, 3))
    shard.unlink()
    assert len(failures(check(dataset))["files"]) == 4


def test_counts(tmp_path: Path) -> None:
    """A row too few, a candidate twice and latents that are short are found."""
    dataset = make(tmp_path / "x")
    table = read_metadata(dataset)
    pd.concat([table.iloc[:2], table.iloc[1:2]]).to_csv(dataset / "metadata.csv", index=False)
    np.save(dataset / "latents.npy", np.zeros((2, 4), np.float32))
    failed = failures(check(dataset))
    assert set(failed) == {"rows", "file names", "candidates", "latents"}
    assert failed["candidates"] == (SECOND, SECOND) and failed["latents"] == (SECOND,)


def test_files_are_left_alone_where_images_are_not_asked_for(tmp_path: Path) -> None:
    """With images=False the manifest alone is judged."""
    dataset = make(tmp_path / "x")
    (dataset / SECOND).unlink()
    assert check(dataset, images=False).passed


def test_a_run_of_something_else(tmp_path: Path) -> None:
    """A run.json without counts is an error that names it."""
    dataset = make(tmp_path / "x")
    (dataset / "run.json").write_text(json.dumps({"counts": 3}))
    with pytest.raises(DataError, match="run.json: not written by this version"):
        check(dataset)


def divergence(shown: list[tuple[str, ...]], reference: dict[str, float]) -> float:
    """Kullback-Leibler divergence of the labels from the smoothed reference, in nats, by hand."""
    flat = [name for findings in shown for name in findings]
    shares = synthetic.smoothed(reference)
    held = {name: flat.count(name) / len(flat) for name in set(flat)}
    return sum(p * math.log(p / shares[name]) for name, p in held.items())


@pytest.mark.parametrize(
    "reference",
    [
        {"No Finding": 5, "Edema": 3, "Mass": 1, "Hernia": 1},
        dict.fromkeys((NO_FINDING, *FINDINGS), 1 / 15),
        {"No Finding": 0.9, "Edema": 0.1},
    ],
)
def test_label_divergence(reference: dict[str, float], tmp_path: Path) -> None:
    """The bound is on the divergence of all labels, each image once for each finding; empty bins stay finite."""
    dataset, value = make(tmp_path / "x"), divergence(SHOWN, reference)
    assert math.isfinite(value)
    line = check(dataset, reference=reference, max_label_kl=value + 1e-6).lines[-1]
    assert (line.name, line.passed) == ("label divergence", True)
    tight = check(dataset, reference=reference, max_label_kl=value - 1e-6)
    assert list(failures(tight)) == ["label divergence"]
    assert str(value)[:6] in tight.failed[0].sentence


def test_smoothed() -> None:
    """Shares sum to 1, counts and shares mean the same, no bin is empty; no weights are an error."""
    shares = synthetic.smoothed({"Edema": 30, "No Finding": 10})
    assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) > 0
    assert shares == pytest.approx(synthetic.smoothed({"Edema": 0.75, "No Finding": 0.25}))
    assert list(shares)[0] == "No Finding" and shares["Edema"] == pytest.approx(0.75, abs=1e-3)
    for broken in ({}, {"Edema": 0.0}, {"Edema": -1.0, "Mass": 2.0}, {"Edema": math.nan}):
        with pytest.raises(DataError, match="reference of the labels"):
            synthetic.smoothed(broken)


def test_a_finding_that_is_not_judged_counts_nothing(tmp_path: Path) -> None:
    """A weak finding enters no gate: images that show it change no divergence."""
    reference = {"Edema": 1.0, "Mass": 1.0}
    bound = {"reference": reference, "max_label_kl": 0.01, "not_judged": ["Hernia"]}
    plain, also = [("Edema",), ("Mass",)], [("Edema", "Hernia"), ("Mass", "Hernia")]
    for name, shown in (("plain", plain), ("also", also)):
        assert check(make(tmp_path / name, shown=shown), **bound).passed
    assert not check(make(tmp_path / "lacking", shown=[("Edema", "Hernia"), ("Edema",)]), **bound).passed
