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
from support.stub_models import write_stub_models

from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.project import packaged_files
from synthcxr.registry import client, model_card, publish, resolve_model, tracking_uri
from synthcxr.storage import digests, json_files

PublishGenerator = Callable[..., publish.PublishedRun]


def test_folder_and_model_file_resolve_to_the_folder(project: Path, tmp_path: Path) -> None:
    """A models folder resolves to itself, and a model file to its folder."""
    folder = write_stub_models(tmp_path / "models")
    assert resolve_model(str(folder)).path == folder
    assert resolve_model(str(folder / "generator.onnx")).path == folder


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("nowhere", "nowhere: no such model"),
        ("models:/a/b/c", "not a model address"),
        ("runs:/only", "not a model address"),
        ("models:/synthcxr-generator@champion", "no registry here"),
        ("runs:/0123/generator", "no registry here"),
    ],
)
def test_invalid_address_is_a_one_line_error(project: Path, address: str, line: str) -> None:
    """A wrong address is one line that says what an address is, or how to find a registry; no file is created."""
    with pytest.raises(ArtifactError, match=line) as caught:
        resolve_model(address)
    assert "\n" not in str(caught.value)
    assert list(project.iterdir()) == []


def test_model_file_with_another_name_is_refused(project: Path, tmp_path: Path) -> None:
    """An .onnx file with another name is not silently replaced by the generator.onnx next to it."""
    folder = write_stub_models(tmp_path / "models")
    shutil.copyfile(folder / "generator.onnx", folder / "mine.onnx")
    with pytest.raises(ArtifactError, match="a model file must be named generator.onnx"):
        resolve_model(str(folder / "mine.onnx"))


def test_folder_without_models_is_refused(project: Path, tmp_path: Path) -> None:
    """A folder without model files is refused, and the error names the missing files."""
    with pytest.raises(ArtifactError, match="contains no generator.onnx"):
        resolve_model(str(tmp_path))


def test_changed_or_missing_file_is_named(project: Path, tmp_path: Path) -> None:
    """A file that differs from its sha256 in model.json, or is missing, is refused by name."""
    folder = write_stub_models(tmp_path / "models")
    (folder / "reference.npz").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"reference.npz: its sha256 differs"):
        resolve_model(str(folder))
    (folder / "reference.npz").unlink()
    with pytest.raises(ArtifactError, match=r"reference.npz: "):
        resolve_model(str(folder))


def test_model_json_cannot_name_a_path_outside_its_folder(tmp_path: Path) -> None:
    """A model.json that lists a path outside its folder is refused."""
    folder = write_stub_models(tmp_path / "models")
    json_files.write_json(folder / model_folder.INDEX_FILE, {"files": {"../secret": {"sha256": ""}}})
    with pytest.raises(ArtifactError, match="'../secret'"):
        model_folder.verify_files(folder)


def test_without_registry_and_starter_the_error_says_what_to_type(project: Path, no_starter: None) -> None:
    """Without registry and starter the error names the ways to get a model, and no file is created."""
    with pytest.raises(ArtifactError, match=r"no registry here, and this install contains no starter.* give `--model`"):
        resolve_model(None)
    assert list(project.iterdir()) == []


def test_starter_is_the_default_without_a_registry(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a registry the starter is used and named, and no registry is created."""
    folder = write_stub_models(tmp_path / "starter")
    monkeypatch.setattr(packaged_files, "find", lambda name: folder if name == "starter" else None)
    resolved = resolve_model(None)
    assert (resolved.path, resolved.address) == (folder, "starter")
    assert resolve_model("starter").path == folder
    assert list(project.iterdir()) == []


def test_champion_candidate_number_and_run_resolve(
    any_registry: client.Registry, project: Path, no_starter: None, publish_generator: PublishGenerator
) -> None:
    """The champion is the default; any version resolves by its alias, number or run."""
    files_before = sorted(project.iterdir())
    first = publish_generator(champion=True, seed=1)
    second = publish_generator(champion=False, seed=2)
    assert first.versions == {"synthcxr-generator": "1"}
    assert str(resolve_model(None)) == (
        "models:/synthcxr-generator/1 (champion, trained on drawn phantoms; `--model starter` is the one that ships)"
    )
    candidate = resolve_model("models:/synthcxr-generator@candidate")
    assert candidate.address == "models:/synthcxr-generator/2"
    assert resolve_model("models:/synthcxr-generator/2").path == candidate.path
    assert resolve_model(f"runs:/{second.run_id}/generator").path == candidate.path
    with pytest.raises(ArtifactError, match=r"its aliases: candidate \(version 2\), champion \(version 1\)"):
        resolve_model("models:/synthcxr-generator@best")
    with pytest.raises(ArtifactError, match="not found|does not exist"):
        resolve_model("models:/synthcxr-generator/9")
    assert sorted(project.iterdir()) == files_before


def test_models_of_the_embedded_registry_are_read_in_place(registry: Path, publish_generator: PublishGenerator) -> None:
    """Local model folders are not copied to the cache."""
    publish_generator(champion=True)
    assert resolve_model(None).path.is_relative_to(registry / "registry" / "artifacts")


def test_without_a_champion_the_error_names_the_candidate(
    any_registry: client.Registry, no_starter: None, publish_generator: PublishGenerator
) -> None:
    """A registry whose only version failed its gates has no default model."""
    publish_generator(champion=False)
    with pytest.raises(ArtifactError, match="has no champion.*--model models:/synthcxr-generator@candidate"):
        resolve_model(None)


def test_version_changed_in_place_is_refused(registry: Path, publish_generator: PublishGenerator) -> None:
    """A registered folder is refused even if its model.json was rewritten to fit a changed file."""
    publish_generator(champion=True)
    folder = resolve_model(None).path
    (folder / model_card.CARD_FILE).write_text("another card")
    with pytest.raises(ArtifactError, match=r"README.md: its sha256 differs"):
        resolve_model(None)
    index = model_folder.read_index(folder)
    index["files"][model_card.CARD_FILE]["sha256"] = digests.sha256_file(folder / model_card.CARD_FILE)
    json_files.write_json(folder / model_folder.INDEX_FILE, index)
    with pytest.raises(ArtifactError, match="differs from the one that was registered"):
        resolve_model(None)


def test_moved_project_finds_its_models(
    registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, publish_generator: PublishGenerator
) -> None:
    """After a project has moved, its models resolve in the new folder; registering is refused and says what to do."""
    publish_generator(champion=True, seed=1)
    moved = tmp_path / "moved"
    registry.rename(moved)
    monkeypatch.chdir(moved)
    assert resolve_model(None).path.is_relative_to(moved)
    with pytest.raises(ArtifactError, match="was created elsewhere"):
        publish_generator(champion=True, seed=2)
    assert not registry.exists()


def test_file_that_is_no_store_is_refused_at_once(project: Path) -> None:
    """A file that is no sqlite store is refused without MLflow's long retries."""
    tracking_uri.EMBEDDED_DATABASE.parent.mkdir()
    tracking_uri.EMBEDDED_DATABASE.write_bytes(b"not a database")
    start = time.monotonic()
    with pytest.raises(ArtifactError, match="is not a database"):
        resolve_model(None)
    assert time.monotonic() - start < 1


def test_store_of_another_mlflow_version_is_left_unchanged(registry: Path) -> None:
    """A store with an older schema is a one-line error that names the command, and the store is not changed."""
    with contextlib.closing(sqlite3.connect(tracking_uri.EMBEDDED_DATABASE)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")
    before = tracking_uri.EMBEDDED_DATABASE.read_bytes()
    with pytest.raises(ArtifactError, match=r"an older MLflow version.*mlflow db upgrade") as caught:
        resolve_model(None)
    assert "\n" not in str(caught.value)
    assert tracking_uri.EMBEDDED_DATABASE.read_bytes() == before


def test_missing_sqlite_store_is_not_created(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolving against a sqlite store that does not exist creates nothing."""
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, "sqlite:///other/mlflow.db")
    with pytest.raises(ArtifactError, match="no such MLflow store"):
        resolve_model(None)
    assert list(project.iterdir()) == []


def test_resolving_a_folder_does_not_import_mlflow(tmp_path: Path) -> None:
    """Generating from a folder does not wait for the import of MLflow."""
    folder = write_stub_models(tmp_path / "models")
    program = (
        "import json, sys; from synthcxr.registry import resolve_model; "
        f"resolve_model({str(folder)!r}); print(json.dumps('mlflow' in sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(process.stdout) is False
