from __future__ import annotations

from pathlib import Path

import pytest
from support.registered_project import enter_project, record_evaluated_digests, write_project, write_results
from support.stub_models import SIDE

from synthcxr.config.schema import RegisterConfig
from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.project import packaged_files
from synthcxr.registry import tracking_uri
from synthcxr.stages import models, register

NAMES = ("synthcxr-classifier", "synthcxr-generator", "synthcxr-judge")


@pytest.fixture(scope="module")
def registered_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose version 1 is champion and whose version 2 failed a gate."""
    root = tmp_path_factory.mktemp("project")
    with enter_project(root):
        arguments = write_project(root)
        register.run(RegisterConfig(experiment="e"), **arguments)
        for path in [*arguments["results"].glob("snapshots/*"), arguments["results"] / "snapshots"]:
            path.rmdir() if path.is_dir() else path.unlink()
        write_results(arguments["results"], passed=False)
        record_evaluated_digests(arguments["results"], arguments["models"], arguments["dataset"])
        register.run(RegisterConfig(experiment="e"), **arguments)
    return root


@pytest.fixture(autouse=True)
def in_project(registered_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the project the current folder."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(registered_project)


def test_list_has_every_version_with_aliases() -> None:
    """`models list` names every version, newest first, with aliases and reason."""
    rows = [row for row in models.list_models() if row.address != "starter"]
    assert [row.address for row in rows] == [f"models:/{name}/{number}" for name in NAMES for number in (2, 1)]
    assert [row.aliases for row in rows[:2]] == [("candidate",), ("champion",)]
    assert rows[0].why == "failed: distance.judge.relative 3.5 (max 3)"
    assert rows[0].phantom


def test_list_without_registry_and_starter_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models list` of nothing is empty, and creates no registry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(packaged_files, "find", lambda name: None)
    assert models.list_models() == ()
    assert list(tmp_path.iterdir()) == []


def test_show_has_metadata_and_card() -> None:
    """`models show` returns the metadata of each file, and the card."""
    details = models.show("models:/synthcxr-generator/1")
    assert details.name == "models:/synthcxr-generator/1"
    assert set(details.metadata) == set(model_folder.ONNX_FILES)
    assert details.metadata["generator.onnx"]["resolution"] == SIDE
    assert details.card.startswith("---\n")


def test_pulled_model_is_complete_and_verified(tmp_path: Path) -> None:
    """`models pull` copies a version that then needs no registry; it never replaces other contents."""
    out = tmp_path / "pulled"
    assert models.pull("models:/synthcxr-generator/1", out=out).path == out
    model_folder.verify_files(out)
    assert models.pull("models:/synthcxr-generator/1", out=out).note == "already there"
    (out / "judge.onnx").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"judge.onnx: its sha256 differs"):
        models.pull("models:/synthcxr-generator/1", out=out)
    with pytest.raises(ArtifactError, match="contains something else"):
        models.pull("models:/synthcxr-judge/1", out=out)
    assert (out / "judge.onnx").read_bytes() == b"damaged"


def test_killed_pull_is_repeated(tmp_path: Path) -> None:
    """The remains of a killed pull are replaced, and an empty folder is filled."""
    (tmp_path / "pulled.partial").mkdir()
    (tmp_path / "pulled.partial" / "half").write_bytes(b"")
    (tmp_path / "pulled").mkdir()
    models.pull("models:/synthcxr-judge/1", out=tmp_path / "pulled")
    assert [path.name for path in tmp_path.iterdir()] == ["pulled"]
    assert not (tmp_path / "pulled" / "half").exists()
    model_folder.verify_files(tmp_path / "pulled")
