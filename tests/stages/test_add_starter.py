from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support import default_request as asking
from support.stub_models import LATENT, write_folder

from synthcxr.data import records
from synthcxr.model_files import model_folder
from synthcxr.project import packaged_files
from synthcxr.registry import client, promotion, resolve, tracking_uri
from synthcxr.registry.model_address import CHAMPION, GENERATOR
from synthcxr.stages import add_starter, generate
from synthcxr.storage import digests, json_files


def test_the_starter_joins_a_registry_and_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes champion where there is none, on the record, and its files come back whole; a second one does not."""
    folder = write_folder(tmp_path / "starter")
    for name in ("README.md", "classifier.md", "judge.md"):
        (folder / name).write_text("# A card\n")
    index = model_folder.read(folder) | {"latent": LATENT}
    index["files"] |= {path.name: {"sha256": digests.sha256_file(path)} for path in folder.glob("*.md")}
    json_files.write_json(folder / model_folder.INDEX, index)
    monkeypatch.setattr(packaged_files, "find", lambda name: folder)
    monkeypatch.delenv(tracking_uri.VARIABLE, raising=False)
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    assert add_starter.add("e").versions[GENERATOR] == "1"
    assert add_starter.add("e").versions[GENERATOR] == "2"
    registry = client.Registry.open(tracking_uri.embedded())
    assert registry.aliases(GENERATOR)[CHAMPION] == registry.aliases("synthcxr-judge")[CHAMPION] == "1"
    held = registry.version(GENERATOR, "1").tags
    assert (held[promotion.DECISION], held[client.DECISION_WHY_TAG]) == (promotion.FORCED, add_starter.WHY)
    found = resolve(None)
    assert found.name == f"models:/{GENERATOR}/1"
    assert {path.name for path in found.path.iterdir()} == {path.name for path in folder.iterdir()}


def test_the_starter_makes_a_rare_finding(tmp_path: Path) -> None:
    """Images of Cardiomegaly come from the models that ship, pass the dataset's own checks, and each has a weight."""
    asked = dataclasses.replace(asking.PLAIN, n=3, labels=("Cardiomegaly",), method="guided")
    made = generate.run(asked, model=packaged_files.find("starter"), out=tmp_path / "x", model_name="starter")
    table = records.read_metadata(tmp_path / "x")
    assert made.found == 3 and (table["weight"] > 0).all()
    assert all("Cardiomegaly" in held.split("|") for held in table["Finding Labels"])
