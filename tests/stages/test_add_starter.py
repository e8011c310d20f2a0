from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support.default_request import DEFAULT_REQUEST
from support.stub_models import LATENT, write_stub_models

from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.project import packaged_files
from synthcxr.registry import client, promotion, resolve_model, tracking_uri
from synthcxr.registry.model_address import CHAMPION, GENERATOR_MODEL
from synthcxr.stages import add_starter, generate
from synthcxr.storage import digests, json_files


def test_starter_becomes_champion_of_an_empty_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first starter is promoted on the record and its files resolve unchanged; a second one stays a candidate."""
    starter = write_stub_models(tmp_path / "starter")
    for name in ("README.md", "classifier.md", "judge.md"):
        (starter / name).write_text("# A card\n")
    index = model_folder.read_index(starter) | {"latent": LATENT}
    index["files"] |= {path.name: {"sha256": digests.sha256_file(path)} for path in starter.glob("*.md")}
    json_files.write_json(starter / model_folder.INDEX_FILE, index)
    monkeypatch.setattr(packaged_files, "find", lambda name: starter)
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    assert add_starter.run("e").versions[GENERATOR_MODEL] == "1"
    assert add_starter.run("e").versions[GENERATOR_MODEL] == "2"
    registry = client.Registry.open(tracking_uri.embedded_uri())
    assert registry.get_aliases(GENERATOR_MODEL)[CHAMPION] == registry.get_aliases("synthcxr-judge")[CHAMPION] == "1"
    tags = registry.get_version(GENERATOR_MODEL, "1").tags
    assert (tags[promotion.DECISION_TAG], tags[client.DECISION_WHY_TAG]) == (promotion.FORCED, add_starter.WHY)
    resolved = resolve_model(None)
    assert resolved.address == f"models:/{GENERATOR_MODEL}/1"
    assert {path.name for path in resolved.path.iterdir()} == {path.name for path in starter.iterdir()}


def test_install_without_starter_is_a_one_line_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without starter models the error says what to install, and no registry is created."""
    monkeypatch.setattr(packaged_files, "find", lambda name: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="contains no starter; install a released wheel"):
        add_starter.run("e")
    assert list(tmp_path.iterdir()) == []


def test_starter_generates_a_requested_finding(tmp_path: Path) -> None:
    """The shipped models generate Cardiomegaly at the rate of films; every image is an exact draw."""
    request = dataclasses.replace(DEFAULT_REQUEST, n=12, labels=("Cardiomegaly",))
    report = generate.run(request, model=packaged_files.find("starter"), out=tmp_path / "x", model_name="starter")
    table = read_metadata(tmp_path / "x")
    assert report.n_images == 12
    assert report.draws < 12 * 20
    assert (table["weight"] == 1).all()
    assert all("Cardiomegaly" in labels.split("|") for labels in table["Finding Labels"])
