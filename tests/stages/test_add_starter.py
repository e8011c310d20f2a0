from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support.default_request import DEFAULT_REQUEST
from support.stub_models import LATENT, write_stub_models

from synthcxr.data.synthetic_dataset import read_metadata
from synthcxr.model_files import model_folder
from synthcxr.project import packaged_files
from synthcxr.registry import client, promotion, resolve_model, tracking_uri
from synthcxr.registry.model_address import CHAMPION, GENERATOR_MODEL
from synthcxr.stages import add_starter, generate
from synthcxr.storage import digests, json_files


def test_the_starter_joins_a_registry_and_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes champion where there is none, on the record, and its files come back whole; a second one does not."""
    folder = write_stub_models(tmp_path / "starter")
    for name in ("README.md", "classifier.md", "judge.md"):
        (folder / name).write_text("# A card\n")
    index = model_folder.read_index(folder) | {"latent": LATENT}
    index["files"] |= {path.name: {"sha256": digests.sha256_file(path)} for path in folder.glob("*.md")}
    json_files.write_json(folder / model_folder.INDEX_FILE, index)
    monkeypatch.setattr(packaged_files, "find", lambda name: folder)
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    assert add_starter.run("e").versions[GENERATOR_MODEL] == "1"
    assert add_starter.run("e").versions[GENERATOR_MODEL] == "2"
    registry = client.Registry.open(tracking_uri.embedded_uri())
    assert registry.get_aliases(GENERATOR_MODEL)[CHAMPION] == registry.get_aliases("synthcxr-judge")[CHAMPION] == "1"
    held = registry.get_version(GENERATOR_MODEL, "1").tags
    assert (held[promotion.DECISION_TAG], held[client.DECISION_WHY_TAG]) == (promotion.FORCED, add_starter.WHY)
    found = resolve_model(None)
    assert found.address == f"models:/{GENERATOR_MODEL}/1"
    assert {path.name for path in found.path.iterdir()} == {path.name for path in folder.iterdir()}


def test_the_starter_makes_a_rare_finding(tmp_path: Path) -> None:
    """Images of Cardiomegaly come from the models that ship, pass the dataset's own checks, and each has a weight."""
    asked = dataclasses.replace(DEFAULT_REQUEST, n=3, labels=("Cardiomegaly",), method="guided")
    made = generate.run(asked, model=packaged_files.find("starter"), out=tmp_path / "x", model_name="starter")
    table = read_metadata(tmp_path / "x")
    assert made.found == 3 and (table["weight"] > 0).all()
    assert all("Cardiomegaly" in held.split("|") for held in table["Finding Labels"])
