from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.stub_models import write_folder

from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.project import packaged_files
from synthcxr.registry import client, model_bundle, publish, resolve, tracking_uri
from synthcxr.storage import digests, json_files

PublishOne = Callable[..., publish.Published]


def test_a_folder_and_a_file_in_it_are_addresses(project: Path, tmp_path: Path) -> None:
    """A models folder resolves to itself, and a model file to its folder."""
    folder = write_folder(tmp_path / "models")
    assert resolve(str(folder)).path == folder
    assert resolve(str(folder / "generator.onnx")).path == folder


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("nowhere", "nowhere: no such model"),
        ("models:/a/b/c", "no model address"),
        ("runs:/only", "no model address"),
        ("models:/synthcxr-generator@champion", "no registry here"),
        ("runs:/0123/generator", "no registry here"),
    ],
)
def test_an_address_that_means_nothing_is_one_plain_line(project: Path, address: str, line: str) -> None:
    """A wrong address says what an address is, or where a registry would be, and makes nothing in the folder."""
    with pytest.raises(ArtifactError, match=line) as caught:
        resolve(address)
    assert "\n" not in str(caught.value)
    assert list(project.iterdir()) == []


def test_a_file_of_another_name_is_refused(project: Path, tmp_path: Path) -> None:
    """An .onnx file of another name is not silently replaced by the generator.onnx beside it."""
    folder = write_folder(tmp_path / "models")
    shutil.copyfile(folder / "generator.onnx", folder / "mine.onnx")
    with pytest.raises(ArtifactError, match="a model file is named generator.onnx"):
        resolve(str(folder / "mine.onnx"))


def test_a_folder_without_models_says_what_it_lacks(project: Path, tmp_path: Path) -> None:
    """A folder of something else is refused by what it lacks."""
    with pytest.raises(ArtifactError, match="holds no generator.onnx"):
        resolve(str(tmp_path))


def test_a_changed_file_is_named(project: Path, tmp_path: Path) -> None:
    """A file that differs from its sha256 in model.json, or is gone, is refused by name."""
    folder = write_folder(tmp_path / "models")
    (folder / "reference.npz").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"reference.npz: sha256 differs"):
        resolve(str(folder))
    (folder / "reference.npz").unlink()
    with pytest.raises(ArtifactError, match=r"reference.npz: is listed in model.json but absent"):
        resolve(str(folder))


def test_an_index_may_not_point_outside(tmp_path: Path) -> None:
    """A model.json that names a path outside its folder is refused."""
    folder = write_folder(tmp_path / "models")
    json_files.write_json(folder / model_folder.INDEX, {"files": {"../secret": {"sha256": ""}}})
    with pytest.raises(ArtifactError, match="no plain file name"):
        model_folder.verify(folder)


def test_neither_champion_nor_starter_shows_what_to_type(project: Path, no_starter: None) -> None:
    """Without registry and starter the line says where a registry is to be found, or what to give instead."""
    with pytest.raises(ArtifactError, match=r"no registry here, and no starter .* give `--model` a folder"):
        resolve(None)
    assert list(project.iterdir()) == []


def test_the_starter_stands_in_where_there_is_no_registry(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a registry the starter is taken, and named, and no registry is made."""
    folder = write_folder(tmp_path / "starter")
    monkeypatch.setattr(packaged_files, "find", lambda name: folder if name == "starter" else None)
    found = resolve(None)
    assert (found.path, found.name) == (folder, "starter")
    assert resolve("starter").path == folder
    assert list(project.iterdir()) == []


def test_champion_and_candidate_and_number_are_found(
    any_registry: client.Registry, project: Path, no_starter: None, publish_one: PublishOne
) -> None:
    """The champion is the default; a later candidate is found by alias, and any version by its number or run."""
    stood = sorted(project.iterdir())
    first = publish_one(champion=True, seed=1)
    second = publish_one(champion=False, seed=2)
    assert first.versions == {"synthcxr-generator": "1"}
    found = resolve(None)
    assert str(found) == "models:/synthcxr-generator/1 (champion)"
    candidate = resolve("models:/synthcxr-generator@candidate")
    assert candidate.name == "models:/synthcxr-generator/2"
    assert resolve("models:/synthcxr-generator/2").path == candidate.path
    assert resolve(f"runs:/{second.run_id}/generator").path == candidate.path
    with pytest.raises(ArtifactError, match=r"its aliases: candidate \(version 2\), champion \(version 1\)"):
        resolve("models:/synthcxr-generator@best")
    with pytest.raises(ArtifactError, match="not found|does not exist"):
        resolve("models:/synthcxr-generator/9")
    assert sorted(project.iterdir()) == stood


def test_a_projects_own_models_are_read_in_place(registry: Path, publish_one: PublishOne) -> None:
    """Nothing is copied to a cache that lies here already."""
    publish_one(champion=True)
    assert resolve(None).path.is_relative_to(registry / "registry" / "artifacts")


def test_without_a_champion_the_line_shows_the_candidate(
    any_registry: client.Registry, no_starter: None, publish_one: PublishOne
) -> None:
    """A registry whose only version failed its gates gives no default model."""
    publish_one(champion=False)
    with pytest.raises(ArtifactError, match="has no champion.*--model models:/synthcxr-generator@candidate"):
        resolve(None)


def test_a_version_changed_in_place_is_refused(registry: Path, publish_one: PublishOne) -> None:
    """A registered folder whose model.json was rewritten to fit other files is not the one that was registered."""
    publish_one(champion=True)
    folder = resolve(None).path
    (folder / model_bundle.CARD).write_text("another card")
    with pytest.raises(ArtifactError, match=r"README.md: sha256 differs"):
        resolve(None)
    index = model_folder.read(folder)
    index["files"][model_bundle.CARD]["sha256"] = digests.sha256_file(folder / model_bundle.CARD)
    json_files.write_json(folder / model_folder.INDEX, index)
    with pytest.raises(ArtifactError, match="not the one that was registered"):
        resolve(None)


def test_a_project_that_moved_still_finds_its_models(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish_one: PublishOne
) -> None:
    """A sqlite store keeps absolute paths; after a move files are found here, and registering says what to do."""
    publish_one(champion=True, seed=1)
    moved = tmp_path / "moved"
    registry.rename(moved)
    monkeypatch.chdir(moved)
    assert resolve(None).path.is_relative_to(moved)
    with pytest.raises(ArtifactError, match="was made elsewhere"):
        publish_one(champion=True, seed=2)
    assert not registry.exists()


def test_a_broken_store_is_said_at_once(project: Path) -> None:
    """A file that is no sqlite store is refused in less time than MLflow would take to give up."""
    tracking_uri.EMBEDDED.parent.mkdir()
    tracking_uri.EMBEDDED.write_bytes(b"nothing of the kind")
    began = time.monotonic()
    with pytest.raises(ArtifactError, match="is no MLflow store"):
        resolve(None)
    assert time.monotonic() - began < 1


def test_a_store_of_another_mlflow_says_what_to_run(registry: Path) -> None:
    """A store with an older schema is one line that names the command, and is left as it is."""
    with contextlib.closing(sqlite3.connect(tracking_uri.EMBEDDED)) as held, held:
        held.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    before = tracking_uri.EMBEDDED.read_bytes()
    with pytest.raises(ArtifactError, match=r"made by another MLflow; run `mlflow db upgrade` on it") as caught:
        resolve(None)
    assert "\n" not in str(caught.value)
    assert tracking_uri.EMBEDDED.read_bytes() == before


def test_a_sqlite_address_that_is_not_there_is_not_made(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolving against MLFLOW_TRACKING_URI=sqlite:/// of nothing makes no store."""
    monkeypatch.setenv(tracking_uri.VARIABLE, "sqlite:///other/mlflow.db")
    with pytest.raises(ArtifactError, match="no such MLflow store"):
        resolve(None)
    assert list(project.iterdir()) == []


def test_resolving_a_folder_imports_no_mlflow(tmp_path: Path) -> None:
    """A folder needs no MLflow, so generating from one does not wait for its import."""
    folder = write_folder(tmp_path / "models")
    program = (
        "import json, sys; from synthcxr.registry import resolve; "
        f"resolve({str(folder)!r}); print(json.dumps('mlflow' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
