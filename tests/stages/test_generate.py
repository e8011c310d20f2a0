"""The generate stage: the files that it writes, and that the same request gives the same bytes."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from support.file_digests import digest_dataset
from support.linear_models import LATENT, SIDE, generate_dataset, list_neighbours

from synthcxr.data import image_reader, images, random_streams
from synthcxr.data.synthetic_dataset import METADATA_COLUMNS, read_metadata
from synthcxr.model_files import onnx_metadata
from synthcxr.project import revision
from synthcxr.storage import digests, json_files


def test_dataset_has_all_files(linear_models: Path, tmp_path: Path) -> None:
    """An unconditional dataset has the files of the design, each image is that of its candidate, nothing is left."""
    out = tmp_path / "x"
    report = generate_dataset(linear_models, out)
    table = read_metadata(out)
    assert list_neighbours(out) == ["x"]
    assert {path.name for path in out.iterdir()} == {
        "images",
        "metadata.csv",
        "latents.npy",
        "run.json",
        "croissant.json",
        "Data_Entry.csv",
    }
    assert list(table.columns) == list(METADATA_COLUMNS)
    assert list(table["file_name"][:2]) == ["images/00000/00000000.png", "images/00000/00000001.png"]
    assert list(table["index"]) == list(range(20))
    assert set(table["seed"]) == {1} and set(table["requested"]) == {""} and set(table["weight"]) == {1.0}
    latents = np.load(out / "latents.npy", allow_pickle=False)
    assert latents.dtype == np.float32 and np.array_equal(latents, random_streams.draw_latents(1, 0, 20, LATENT))
    for png, sha256 in zip(image_reader.read_all(out, table["file_name"]), table["sha256"], strict=True):
        assert digests.sha256_bytes(png) == sha256 and images.decode_png(png).shape == (SIDE, SIDE)
    assert (report.status, report.n_images, report.draws) == ("made", 20, 20)
    assert report.provider == "CPUExecutionProvider" and report.checks is not None and report.checks.passed
    assert json.loads(json.dumps(report.as_dict()))["found"] == 20


def test_run_json_records_models_and_versions(
    linear_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """run.json names the models, the request, the provider and the revision, and nothing about the machine."""
    for name in revision.DVC_VARIABLES:
        monkeypatch.setenv(name, f"the {name}")
    monkeypatch.setenv("DVC_ROOT", "/somewhere/on/this/machine")
    generate_dataset(linear_models, tmp_path / "x")
    run = json_files.read_json(tmp_path / "x" / "run.json")
    assert run["command"] == ["test"] and run["model"]["name"] == "stand-in" and run["model"]["phantom"] is True
    assert run["model"]["digests"]["generator"] == onnx_metadata.read(linear_models / "generator.onnx").digest
    assert run["request"] == {"n": 20, "seed": 1, "labels": [], "max_draws": 400, "batch": 8}
    assert run["counts"] == {"requested": 20, "found": 20, "draws": 20, "runs": 24, "acceptance_rate": 1.0}
    assert run["complete"] is True and run["format"] == "png" and run["provider"] == "CPUExecutionProvider"
    assert run["versions"]["onnxruntime"] and run["wall_s"] > 0
    assert run["dvc"] == {name: f"the {name}" for name in ("DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV")}
    assert (run["git_revision"], run["git_dirty"]) == revision.read_git_commit()
    assert "/somewhere/on/this/machine" not in json.dumps(run)


def test_attribution_of_the_films_is_passed_on(linear_models: Path, tmp_path: Path) -> None:
    """The attribution in model.json is copied to run.json and croissant.json; bare ONNX files have none."""
    attributed = shutil.copytree(linear_models, tmp_path / "model")
    json_files.write_json(attributed / "model.json", {"files": {}, "attribution": ["Films of a hospital"]})
    generate_dataset(attributed, tmp_path / "x")
    generate_dataset(linear_models, tmp_path / "y")
    assert json_files.read_json(tmp_path / "x" / "run.json")["model"]["attribution"] == ["Films of a hospital"]
    assert json_files.read_json(tmp_path / "y" / "run.json")["model"]["attribution"] == []
    assert json_files.read_json(tmp_path / "x" / "croissant.json")["citeAs"] == "Films of a hospital"
    assert "citeAs" not in json_files.read_json(tmp_path / "y" / "croissant.json")


def test_same_request_gives_same_bytes(linear_models: Path, tmp_path: Path) -> None:
    """All files but run.json are byte-identical, and a longer dataset starts with the images of the shorter one."""
    for name in ("a", "b"):
        generate_dataset(linear_models, tmp_path / name, labels=("Edema",))
    generate_dataset(linear_models, tmp_path / "c", labels=("Edema",), n=33)
    assert digest_dataset(tmp_path / "a") == digest_dataset(tmp_path / "b")
    shorter, longer = digest_dataset(tmp_path / "a"), digest_dataset(tmp_path / "c")
    assert all(longer[name] == sha256 for name, sha256 in shorter.items() if name.startswith("images/"))


def test_latents_do_not_depend_on_the_batch_size(linear_models: Path, tmp_path: Path) -> None:
    """The same candidates are accepted in blocks of 8 and of 5."""
    generate_dataset(linear_models, tmp_path / "a", labels=("Edema",))
    generate_dataset(linear_models, tmp_path / "b", labels=("Edema",), batch=5)
    assert (tmp_path / "a/latents.npy").read_bytes() == (tmp_path / "b/latents.npy").read_bytes()


def test_shards_contain_the_images_of_the_folder(linear_models: Path, tmp_path: Path) -> None:
    """Shards contain KEY.png and KEY.json with constant headers, and the same images as PNG files."""
    generate_dataset(linear_models, tmp_path / "files")
    generate_dataset(linear_models, tmp_path / "shards", flags={"image_format": "webdataset"})
    table = read_metadata(tmp_path / "shards")
    assert table["file_name"].iloc[3] == "shards/00000.tar/00000003.png"
    assert list(table["sha256"]) == list(read_metadata(tmp_path / "files")["sha256"])
    with tarfile.open(tmp_path / "shards/shards/00000.tar") as tar:
        members = tar.getmembers()
        assert [member.name for member in members[:3]] == ["00000000.png", "00000000.json", "00000001.png"]
        assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {
            (0, 0, 0, "", 0o644)
        }
        assert json.load(tar.extractfile("00000003.json"))["index"] == 3
    assert len(members) == 40


def test_more_than_ten_thousand_images_become_shards(linear_models: Path, tmp_path: Path) -> None:
    """A dry run names the default format for the number of images, and writes nothing."""
    for n, image_format in ((10_000, "png"), (10_001, "webdataset")):
        report = generate_dataset(linear_models, tmp_path / "x", n=n, max_draws=n, flags={"dry_run": True})
        assert report.status == "dry run" and image_format in report.lines[0]
    png = generate_dataset(linear_models, tmp_path / "x", n=10_001, flags={"dry_run": True, "image_format": "png"})
    assert "png" in png.lines[0]
    assert list(tmp_path.iterdir()) == []
