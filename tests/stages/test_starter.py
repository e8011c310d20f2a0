from __future__ import annotations

import dataclasses
from pathlib import Path

import asking
import pytest
from standins import LATENT, write_folder

from synthcxr import bundled, model_index, records
from synthcxr.registry import fetch, location, promotion, resolve
from synthcxr.registry.address import CHAMPION, GENERATOR
from synthcxr.stages import generate, starter


def test_the_starter_joins_a_registry_and_is_found_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It becomes champion where there is none, on the record, and its files come back whole; a second one does not."""
    folder = write_folder(tmp_path / "starter")
    for name in ("README.md", "classifier.md", "judge.md"):
        (folder / name).write_text("# A card\n")
    index = model_index.read(folder) | {"latent": LATENT}
    index["files"] |= {path.name: {"sha256": records.sha256_file(path)} for path in folder.glob("*.md")}
    records.write_json(folder / model_index.INDEX, index)
    monkeypatch.setattr(bundled, "find", lambda name: folder)
    monkeypatch.delenv(location.VARIABLE, raising=False)
    here = tmp_path / "project"
    here.mkdir()
    monkeypatch.chdir(here)
    assert starter.add("e").versions[GENERATOR] == "1"
    assert starter.add("e").versions[GENERATOR] == "2"
    registry = fetch.Registry.open(location.embedded())
    assert registry.aliases(GENERATOR)[CHAMPION] == registry.aliases("synthcxr-judge")[CHAMPION] == "1"
    held = registry.version(GENERATOR, "1").tags
    assert (held[promotion.DECISION], held[fetch.DECISION_WHY_TAG]) == (promotion.FORCED, starter.WHY)
    found = resolve(None)
    assert found.name == f"models:/{GENERATOR}/1"
    assert {path.name for path in found.path.iterdir()} == {path.name for path in folder.iterdir()}


def test_the_starter_makes_a_rare_finding(tmp_path: Path) -> None:
    """Images of Cardiomegaly come from the models that ship, pass the dataset's own checks, and each has a weight."""
    asked = dataclasses.replace(asking.PLAIN, n=3, labels=("Cardiomegaly",), method="guided")
    made = generate.run(asked, model=bundled.find("starter"), out=tmp_path / "x", model_name="starter")
    table = records.read_metadata(tmp_path / "x")
    assert made.found == 3 and (table["weight"] > 0).all()
    assert all("Cardiomegaly" in held.split("|") for held in table["Finding Labels"])
