"""`synthcxr doctor`: each thing looked at, what is said where it is wrong, and the exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from synthcxr.cli.main import main
from synthcxr.evaluation.features import inception_weights
from synthcxr.networks import efficientnet_weights
from synthcxr.registry import tracking_uri
from synthcxr.stages import doctor
from synthcxr.stages.doctor import Finding


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No server, no weight file and no cache of the machine's own."""
    for variable in (
        tracking_uri.URI_VARIABLE,
        efficientnet_weights.LITE0.variable,
        efficientnet_weights.LITE1.variable,
        inception_weights.VARIABLE,
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def found(folder: Path) -> dict[str, Finding]:
    return {finding.name: finding for finding in doctor.run(folder=folder)}


def dvc(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True, capture_output=True)


def test_an_empty_folder_has_nothing_to_do(empty_folder: Path) -> None:
    """What is not needed yet is a note with the command that would make it; the exit code is 0."""
    shown = CliRunner().invoke(main, ["doctor"], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    lines = dict(line[6:].split(": ", 1) for line in shown.stdout.splitlines())
    assert lines["project"].endswith("`synthcxr init DIR --profile PROFILE` makes one")
    assert "MLFLOW_TRACKING_URI" in lines["registry"]
    assert "dvc remote add" in lines["remote"]
    assert {"versions", "extras", "provider", "GPU", "disk", "starter", "Inception"} <= set(lines)
    assert not any(empty_folder.iterdir())


def test_what_is_wrong_is_to_do(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken parameters, a server that is down and a weight file of something else: named, with exit code 1."""
    (empty_folder / "params.yaml").write_text("prepare: {}\n")
    (empty_folder / "weights.pth").write_bytes(b"something else")
    monkeypatch.setenv(tracking_uri.URI_VARIABLE, "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, "weights.pth")
    shown = CliRunner().invoke(main, ["doctor", "--json"], catch_exceptions=False)
    assert shown.exit_code == 1
    states = {each["name"]: each for each in json.loads(shown.stdout)}
    todo = {name for name, each in states.items() if each["state"] == "TO DO"}
    assert todo == {"project", "registry", "EfficientNet-Lite0"}
    assert "cannot connect; start the server" in states["registry"]["sentence"]
    assert "secret" not in shown.output
    assert shown.stderr == "Failed: something is to do about project, registry, EfficientNet-Lite0\n"


def test_weights_that_are_absent_are_named_once(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package of the weights the line has their name and what to install."""
    monkeypatch.setitem(sys.modules, efficientnet_weights.LITE0.package, None)
    assert found(empty_folder)["EfficientNet-Lite0"].sentence.startswith("the weights are not installed; run")


@pytest.mark.slow
def test_a_remote_that_is_a_folder(empty_folder: Path) -> None:
    """A folder that is there, one that a push would make, and one that nobody can."""
    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc(empty_folder, "init")
    remote = empty_folder.parent / "remote"
    dvc(empty_folder, "remote", "add", "--default", "shelf", str(remote))
    assert found(empty_folder)["remote"].state == "OK"
    remote.mkdir()
    assert found(empty_folder)["remote"].sentence == "shelf is there"
    dvc(empty_folder, "remote", "modify", "shelf", "url", str(empty_folder.parent / "not" / "mounted"))
    assert found(empty_folder)["remote"].state == "TO DO"


def test_a_remote_that_does_not_answer(empty_folder: Path) -> None:
    """Another address is asked by DVC itself, and what it says is the line."""
    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc(empty_folder, "init")
    dvc(empty_folder, "remote", "add", "--default", "far", "http://127.0.0.1:9/data")
    remote = found(empty_folder)["remote"]
    assert remote.state == "TO DO"
    assert remote.sentence.startswith("far does not answer") or "no answer" in remote.sentence


def test_two_runtimes_are_one_too_many(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    """Both onnxruntime packages at once, a package too old and one missing are to do."""
    held = {"onnxruntime": "1.30", "onnxruntime-gpu": "1.30", "numpy": "1.0", "tqdm": None}
    real = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda name: held.get(name, real(name)))
    lines = found(empty_folder)
    assert lines["onnxruntime"].state == "TO DO"
    assert "numpy 1.0 is not >=1.26" in lines["versions"].sentence
    assert "tqdm is missing" in lines["versions"].sentence


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, empty_folder: Path) -> None:
    """Too little room says how much is wanted."""
    monkeypatch.setattr(doctor, "NEEDED_GB", 1e9)
    assert "make room" in found(empty_folder)["disk"].sentence
