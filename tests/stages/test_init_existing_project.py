"""`synthcxr init` in a DVC project that already has stages of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo
from ruamel.yaml import YAML

from synthcxr.config.schema import load_config
from synthcxr.errors import DataError
from synthcxr.project import import_closure
from synthcxr.stages import init

EXISTING_PIPELINE = """\
# Theirs.
stages:
    clean:   # four spaces
        cmd: "cp raw.csv clean.csv"
        deps: [raw.csv]
        params:
        - clean.rows
        outs:
        - clean.csv

plots:
- clean.csv
"""


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


@pytest.fixture
def existing_project(tmp_path: Path) -> Path:
    """A git and DVC repository with a stage, parameters and plots of its own."""
    folder = tmp_path / "existing"
    folder.mkdir()
    for command in (["git", "init", "--quiet"], [sys.executable, "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    for name, text in {
        "dvc.yaml": EXISTING_PIPELINE,
        "params.yaml": "clean: {rows: 3}\n",
        "raw.csv": "a\n1\n",
        ".gitignore": "/scratch/\n",
    }.items():
        (folder / name).write_text(text)
    return folder


def test_stages_are_added_after_the_existing_ones(existing_project: Path) -> None:
    """Existing lines stay, our stages come after them with a parameter file of their own, and DVC loads the whole."""
    project = init.run(folder=existing_project, profile="phantom", source=None)
    text = (existing_project / "dvc.yaml").read_text()
    existing_lines = [line for line in EXISTING_PIPELINE.splitlines() if line]
    assert [line for line in text.splitlines() if line in existing_lines] == existing_lines
    assert read_yaml(existing_project / "params.yaml") == {"clean": {"rows": 3}}
    assert load_config(existing_project / "synthcxr-params.yaml").generate.n == 600
    with Repo(str(existing_project)) as repo:
        stages = {stage.name: stage for stage in repo.index.stages}
    assert set(stages) == {"clean", "lock", *import_closure.STAGE_MODULES}
    assert all("--params synthcxr-params.yaml" in stages[name].cmd for name in import_closure.STAGE_MODULES)
    assert [dep.params for dep in stages["generate"].deps if str(dep) == "synthcxr-params.yaml"] == [["generate"]]
    assert project.left_out == ("plots",)
    assert read_yaml(existing_project / "dvc.yaml")["metrics"] == ["models/gan/metrics.json", "results/registered.json"]
    assert {path.name for path in project.added_to} == {"dvc.yaml", ".gitignore", ".dvcignore"}
    assert "/data/" not in (existing_project / ".gitignore").read_text().splitlines()
    command = f"cd {existing_project} && git add synthcxr-params.yaml synthcxr.lock dvc.yaml"
    assert project.commands[0].startswith(command)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (EXISTING_PIPELINE.replace("clean:  ", "prepare:"), "prepare; nothing was written"),
        ("stages: {clean: {cmd: ls}}\n", "nothing was written"),
        ("a: b: c", "not readable as YAML"),
    ],
    ids=["same name", "flow style", "no YAML"],
)
def test_a_pipeline_that_cannot_be_extended_is_refused(existing_project: Path, pipeline: str, message: str) -> None:
    """Stages of the same name, or a dvc.yaml that cannot be extended, are refused before anything is written."""
    (existing_project / "dvc.yaml").write_text(pipeline)
    before = {path: path.read_bytes() for path in existing_project.iterdir() if path.is_file()}
    with pytest.raises(DataError, match=message):
        init.run(folder=existing_project, profile="phantom", source=None)
    assert {path: path.read_bytes() for path in existing_project.iterdir() if path.is_file()} == before
