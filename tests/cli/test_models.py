"""`synthcxr models ...` as it is typed, in a project with two registered versions, the second worse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.registered_project import record_evaluated_digests, write_project

from synthcxr.cli.main import main
from synthcxr.config.schema import RegisterConfig
from synthcxr.data.findings import NO_FINDING
from synthcxr.registry import tracking_uri
from synthcxr.stages import register
from synthcxr.storage import json_files


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 is champion; version 2 has the same models and a distance beyond the intervals."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(tracking_uri.URI_VARIABLE, raising=False)
        patch.chdir(root)
        given = write_project(root)
        register.run(RegisterConfig(experiment="e"), **given)
        metrics = json_files.read_json(root / "results" / "metrics.json")
        metrics["distance"]["judge"] |= {"relative": 4.5, "relative_interval": [4.2, 4.8]}
        json_files.write_json(root / "results" / "metrics.json", metrics)
        record_evaluated_digests(given["results"], given["models"], given["dataset"])
        register.run(RegisterConfig(experiment="e"), **given)
    return root


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["models", *arguments])


def test_versions_are_compared_promoted_and_rolled_back(registered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worse candidate exits 1 and says why; --force wants a reason; rollback is one command; both are listed so."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(registered)
    compared = typed("compare")
    assert compared.output == "distance.judge.relative  4.5 [4.2, 4.8]  3.5 [3.2, 3.9]  worse\n"
    assert json.loads(typed("compare", "1", "@candidate", "--json").output)[0]["finding"] == "better"
    assert "version 1 is candidate and champion; name the two" in typed("compare", "1", "@champion").output
    refused = typed("promote")
    assert refused.exit_code == 1
    assert "Failed: models:/synthcxr-generator/2 is not champion: passed:" in refused.output
    assert "worse than the champion: distance.judge.relative 4.5 [4.2, 4.8]" in refused.output
    assert typed("promote", "--force").exit_code == typed("promote", "--reason", "x").exit_code == 2
    assert "--force needs --reason" in typed("promote", "--force").output
    forced = typed("promote", "models:/synthcxr-generator@candidate", "--force", "--reason", "a trial")
    assert forced.output.splitlines() == [
        "champion: version 2, before it version 1 (forced: a trial)",
        *(f"synthcxr-{kind}@champion is version 2" for kind in ("classifier", "judge")),
    ]
    assert "models:/synthcxr-generator/2  candidate,champion" in typed("list").output
    assert "a trial" in typed("list").output and "drawn phantoms" in typed("list").output
    back = typed("rollback", "--json")
    assert json.loads(back.output)["champion"] == "1"
    assert typed("rollback").exit_code == 2
    assert "no version of synthcxr-generator" in typed("promote", "models:/other/1").output
    assert typed("card", "models:/synthcxr-judge/1").output.startswith("---\nlibrary_name: onnx")


def test_an_image_leads_back_to_its_films(registered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of an image in metadata.csv gives model, films' fingerprint, run and parameters; a changed one none."""
    monkeypatch.delenv(tracking_uri.URI_VARIABLE, raising=False)
    monkeypatch.chdir(registered)
    found = json.loads(typed("lineage", "data/synthetic/metadata.csv:3", "--json").output)
    assert found["image"]["file_name"] == "images/1.png"
    assert found["made"]["version"] == "2"
    assert found["made"]["training_data"] == "0123456789abcdef"
    assert found["made"]["params"]["prepare.sources.0.reader"] == "phantom"
    told = typed("lineage", "data/synthetic/metadata.csv:2").output
    assert f"image: images/0.png, candidate 0 of seed 1, {NO_FINDING}" in told
    assert "films: 0123456789abcdef (drawn phantoms)" in told
    for wrong, line in (
        ("data/synthetic/metadata.csv:1", "its images stand on lines 2 to 3"),
        ("data/synthetic/metadata.csv", "give a manifest and a line of it"),
    ):
        failed = typed("lineage", wrong)
        assert failed.exit_code == 2
        assert line in failed.output
    image = registered / "data" / "synthetic" / "images" / "1.png"
    before = image.read_bytes()
    image.write_bytes(before + b"x")
    assert "its sha256 differs" in typed("lineage", "data/synthetic/metadata.csv:3").output
    image.write_bytes(before)
    monkeypatch.chdir(registered / "data")
    assert "no registry here" in typed("lineage", "synthetic/metadata.csv:3").output
