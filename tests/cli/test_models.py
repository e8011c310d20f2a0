"""`synthcxr models ...` in a project with two registered versions; the second is worse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from support.cli_runner import invoke
from support.registered_project import enter_project, record_evaluated_digests, write_project

from synthcxr.config.schema import RegisterConfig
from synthcxr.data.findings import NO_FINDING
from synthcxr.project import packaged_files
from synthcxr.registry import tracking_uri
from synthcxr.stages import register
from synthcxr.storage import json_files


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 is champion; version 2 has the same models and a distance that is worse beyond the intervals."""
    root = tmp_path_factory.mktemp("project")
    with enter_project(root):
        folders = write_project(root)
        register.run(RegisterConfig(experiment="e"), **folders)
        metrics = json_files.read_json(root / "results" / "metrics.json")
        metrics["distance"]["judge"] |= {"relative": 4.5, "relative_interval": [4.2, 4.8]}
        json_files.write_json(root / "results" / "metrics.json", metrics)
        record_evaluated_digests(folders["results"], folders["models"], folders["dataset"])
        register.run(RegisterConfig(experiment="e"), **folders)
    return root


@pytest.fixture
def in_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as current folder, with its own registry."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(project)
    return project


def models(*arguments: str) -> Result:
    return invoke("models", *arguments)


@pytest.mark.usefixtures("in_project")
def test_versions_are_compared_promoted_and_rolled_back() -> None:
    """A worse candidate is refused unless forced with a reason; one rollback restores the previous champion."""
    assert models("compare").output == "distance.judge.relative  4.5 (4.2 to 4.8)  3.5 (3.2 to 3.9)  worse\n"
    assert json.loads(models("compare", "1", "@candidate", "--json").output)[0]["finding"] == "better"
    assert "version 1 is both candidate and champion" in models("compare", "1", "@champion").output

    refused = models("promote")
    assert refused.exit_code == 1
    assert "Failed: models:/synthcxr-generator/2 is not champion: passed:" in refused.output
    assert "worse than the champion: distance.judge.relative 4.5" in refused.output
    assert models("promote", "--force").exit_code == models("promote", "--reason", "x").exit_code == 2
    assert "--force needs --reason" in models("promote", "--force").output

    forced = models("promote", "models:/synthcxr-generator@candidate", "--force", "--reason", "a trial")
    assert forced.output.splitlines() == [
        "champion: version 2, previously version 1 (forced: a trial)",
        *(f"synthcxr-{kind}@champion is version 2" for kind in ("classifier", "judge")),
    ]
    (row,) = (line for line in models("list").output.splitlines() if line.startswith("models:/synthcxr-generator/2"))
    assert "candidate,champion" in row and "a trial" in row and "trained on drawn phantoms" in row

    rolled_back = models("rollback", "--json")
    assert json.loads(rolled_back.output)["champion"] == "1"
    assert models("rollback").exit_code == 2


@pytest.mark.usefixtures("in_project")
def test_only_generators_are_promoted_and_all_have_cards() -> None:
    """The address of another model is refused; `card` prints the model card of any of the three models."""
    assert "synthcxr-generator" in models("promote", "models:/other/1").output
    assert models("card", "models:/synthcxr-judge/1").output.startswith("---\nlibrary_name: onnx")


@pytest.mark.usefixtures("in_project")
def test_an_image_is_traced_to_its_films(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    """`lineage` gives version, fingerprint of films, run and parameters of the model that made an image."""
    lineage = json.loads(models("lineage", "data/synthetic/metadata.csv:3", "--json").output)
    assert lineage["image"]["file_name"] == "images/1.png"
    assert lineage["made"]["version"] == "2"
    assert lineage["made"]["training_data"] == "0123456789abcdef"
    assert lineage["made"]["params"]["prepare.sources.0.reader"] == "phantom"
    text = models("lineage", "data/synthetic/metadata.csv:2").output
    assert f"image: images/0.png, candidate 0 of seed 1, {NO_FINDING}" in text
    assert "films: 0123456789abcdef (drawn phantoms)" in text
    monkeypatch.chdir(project / "data")
    assert "no registry here" in models("lineage", "synthetic/metadata.csv:3").output


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("data/synthetic/metadata.csv:1", "the images are on lines 2 to 3"),
        ("data/synthetic/metadata.csv", "give metadata.csv and the line of an image"),
    ],
)
def test_a_wrong_line_is_refused(in_project: Path, address: str, message: str) -> None:
    """A line without an image, and an address without a line, are errors that say what to give."""
    result = models("lineage", address)
    assert result.exit_code == 2
    assert message in result.output


def test_a_changed_image_has_no_lineage(in_project: Path) -> None:
    """An image whose sha256 differs from metadata.csv is not traced."""
    image = in_project / "data" / "synthetic" / "images" / "1.png"
    content = image.read_bytes()
    image.write_bytes(content + b"x")
    try:
        assert "its sha256 differs" in models("lineage", "data/synthetic/metadata.csv:3").output
    finally:
        image.write_bytes(content)


def test_an_empty_list_says_where_to_look(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a registry or a starter model, `models list` prints a hint on stderr and [] as JSON."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.setattr(packaged_files, "find", lambda name: None)
    result = models("list", "--json")
    assert (result.exit_code, result.stdout.strip()) == (0, "[]")
    assert "no model is registered here" in result.stderr
