"""The checks of a synthetic dataset: a valid one passes, and each fault fails one check that names the images."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.run_json import build_run

from synthcxr.checks import synthetic
from synthcxr.checks.check_result import CheckResult
from synthcxr.data import images
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.synthetic_dataset import ImageRecord, read_metadata, to_metadata_row, write_metadata
from synthcxr.errors import DataError
from synthcxr.storage import digests, json_files
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.webdataset import TarShards

LABELS = [("No Finding",), ("Edema",), ("Edema", "Mass"), ("Hernia",)]


def make(root: Path, kind: type = PngFolder, labels: list[tuple[str, ...]] = LABELS, requested: str = "") -> Path:
    """A small finished dataset whose images have the given labels."""
    store, rows = kind(root), []
    for index, findings in enumerate(labels):
        png = images.encode_png(np.full((8, 8), index % 256, np.uint8))
        name, sha256 = store.file_name(index), digests.sha256_bytes(png)
        rows.append(ImageRecord(name, 3 * index, 1, requested, findings, (0.25,) * 14, 1.0, sha256))
        store.write(index, png, rows[-1])
    store.close()
    root.mkdir(exist_ok=True)
    write_metadata(root / "metadata.csv", map(to_metadata_row, rows))
    np.save(root / "latents.npy", np.zeros((len(rows), 4), np.float32))
    json_files.write_json(
        root / "run.json", build_run(max(1, len(rows)), model={"resolution": 8}, counts={"found": len(rows)})
    )
    return root


def check(dataset: Path, **options: object) -> CheckResult:
    """Run the checks with great-expectations and directly, which give the same lines, and read every image."""
    options = {"images": True, "reference": None, "max_label_kl": None} | options
    result = synthetic.check_dataset(dataset, **options)
    assert synthetic.check_dataset(dataset, is_direct=True, **options) == result
    return result


def list_failures(result: CheckResult) -> dict[str, tuple[str, ...]]:
    """Map the name of each failed check to its rows."""
    return {line.name: line.rows for line in result.failed}


def edit(dataset: Path, row: int, column: str, value: object) -> None:
    """Change one cell of metadata.csv."""
    table = read_metadata(dataset).astype({column: object})
    table.loc[row, column] = value
    table.to_csv(dataset / "metadata.csv", index=False)


@pytest.mark.parametrize("kind", [PngFolder, TarShards])
def test_a_valid_dataset_passes(kind: type, tmp_path: Path) -> None:
    """Every check passes, for single files and for shards."""
    result = check(make(tmp_path / "x", kind))
    assert result.passed, result.failed
    assert {"rows", "files", "sizes", "vocabulary", "probabilities", "latents", "requests"} <= {
        line.name for line in result.lines
    }


def test_an_empty_dataset_passes(tmp_path: Path) -> None:
    """A dataset without images is consistent, and the label divergence is not checked."""
    assert check(make(tmp_path / "x", labels=[]), reference={"Edema": 1.0}, max_label_kl=0.1).passed


SECOND = "images/00000/00000001.png"
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
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


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_names_its_image(fault: str, tmp_path: Path) -> None:
    """One fault in one image fails the check that covers it, which names that image only."""
    dataset = make(tmp_path / "x")
    break_dataset, name = FAULTS[fault]
    break_dataset(dataset)
    assert list_failures(check(dataset))[name] == (SECOND,)


def test_a_broken_shard(tmp_path: Path) -> None:
    """The check names the images lost in a truncated shard, and all images of a missing shard."""
    dataset = make(tmp_path / "x", TarShards)
    shard = dataset / "shards/00000.tar"
    shard.write_bytes(shard.read_bytes()[:4608])
    assert list_failures(check(dataset))["files"] == tuple(f"shards/00000.tar/{index:08d}.png" for index in (2, 3))
    shard.unlink()
    assert len(list_failures(check(dataset))["files"]) == 4


def test_counts(tmp_path: Path) -> None:
    """A missing row, a repeated candidate and missing latents fail."""
    dataset = make(tmp_path / "x")
    table = read_metadata(dataset)
    pd.concat([table.iloc[:2], table.iloc[1:2]]).to_csv(dataset / "metadata.csv", index=False)
    np.save(dataset / "latents.npy", np.zeros((2, 4), np.float32))
    failed = list_failures(check(dataset))
    assert set(failed) == {"rows", "file names", "candidates", "latents"}
    assert failed["candidates"] == (SECOND, SECOND) and failed["latents"] == (SECOND,)


def test_the_package_of_the_format_is_missing(tmp_path: Path) -> None:
    """The error says what to install, instead of that no image can be read."""
    dataset = make(tmp_path / "x")
    run = json.loads((dataset / "run.json").read_text()) | {"format": "scan"}
    (dataset / "run.json").write_text(json.dumps(run))
    with pytest.raises(DataError, match=r"x: its images are in the format 'scan' of a package that is not installed"):
        check(dataset)


def test_files_are_not_read_without_images(tmp_path: Path) -> None:
    """With images=False only the manifest is checked."""
    dataset = make(tmp_path / "x")
    (dataset / SECOND).unlink()
    assert check(dataset, images=False).passed


def test_an_invalid_run_json(tmp_path: Path) -> None:
    """A run.json without counts, or with other types, raises DataError that names the file."""
    dataset = make(tmp_path / "x")
    for content, message in (({}, "model: missing"), ({"model": 3}, "model: expected a mapping")):
        (dataset / "run.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match=f"run.json: {message}"):
            check(dataset)


def compute_divergence(labels: list[tuple[str, ...]], reference: dict[str, float]) -> float:
    """Kullback-Leibler divergence of the labels from the smoothed reference, in nats, by hand."""
    flat = [name for findings in labels for name in findings]
    shares = synthetic.smooth_shares(reference)
    observed = {name: flat.count(name) / len(flat) for name in set(flat)}
    return sum(p * math.log(p / shares[name]) for name, p in observed.items())


@pytest.mark.parametrize(
    "reference",
    [
        {"No Finding": 5, "Edema": 3, "Mass": 1, "Hernia": 1},
        dict.fromkeys((NO_FINDING, *FINDINGS), 1 / 15),
        {"No Finding": 0.9, "Edema": 0.1},
    ],
)
def test_label_divergence(reference: dict[str, float], tmp_path: Path) -> None:
    """The bound applies to the KL divergence of all labels, one count per image and finding; empty bins stay finite."""
    dataset, value = make(tmp_path / "x"), compute_divergence(LABELS, reference)
    assert math.isfinite(value)
    line = check(dataset, reference=reference, max_label_kl=value + 1e-6).lines[-1]
    assert (line.name, line.passed) == ("label divergence", True)
    tight = check(dataset, reference=reference, max_label_kl=value - 1e-6)
    assert list(list_failures(tight)) == ["label divergence"]
    assert str(value)[:6] in tight.failed[0].sentence


def test_smooth_shares() -> None:
    """Shares sum to 1, counts and shares give the same result, no bin is empty, and invalid weights raise DataError."""
    shares = synthetic.smooth_shares({"Edema": 30, "No Finding": 10})
    assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) > 0
    assert shares == pytest.approx(synthetic.smooth_shares({"Edema": 0.75, "No Finding": 0.25}))
    assert list(shares)[0] == "No Finding" and shares["Edema"] == pytest.approx(0.75, abs=1e-3)
    for broken in ({}, {"Edema": 0.0}, {"Edema": -1.0, "Mass": 2.0}, {"Edema": math.nan}):
        with pytest.raises(DataError, match="reference of the labels"):
            synthetic.smooth_shares(broken)


def test_an_excluded_finding_does_not_count(tmp_path: Path) -> None:
    """Images with an excluded finding do not change the divergence."""
    reference = {"Edema": 1.0, "Mass": 1.0}
    bound = {"reference": reference, "max_label_kl": 0.01, "excluded_findings": ["Hernia"]}
    without, with_hernia = [("Edema",), ("Mass",)], [("Edema", "Hernia"), ("Mass", "Hernia")]
    for name, labels in (("without", without), ("with_hernia", with_hernia)):
        assert check(make(tmp_path / name, labels=labels), **bound).passed
    assert not check(make(tmp_path / "one_missing", labels=[("Edema", "Hernia"), ("Edema",)]), **bound).passed
