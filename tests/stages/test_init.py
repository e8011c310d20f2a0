"""`synthcxr init`: a ready project around a user's own films, and nothing of theirs overwritten."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from dvc.repo import Repo
from PIL import Image
from ruamel.yaml import YAML
from support.file_digests import digest_files

from synthcxr.cli.main import main
from synthcxr.config.schema import load_config
from synthcxr.errors import ConfigError, DataError
from synthcxr.project import import_closure
from synthcxr.stages import init, upgrade

WRITTEN = ("params.yaml", "dvc.yaml", "synthcxr.lock", ".gitignore", ".dvcignore")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A folder a class, one drawn square in each."""
    folder = tmp_path / "my films"
    for name in ("Effusion", "Normal"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.full((32, 32), 90, np.uint8)).save(folder / name / f"{name}.png")
    return folder


def read(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def test_a_project_around_films(tmp_path: Path, films: Path) -> None:
    """The reader is named, the films are the one source, the commands to type come last, and the config loads."""
    folder = tmp_path / "project"
    made = init.run(folder=folder, profile="nih-64", films=films)
    assert made.reader == "folder"
    assert {path.name for path in made.written} == set(WRITTEN)
    assert made.commands[0].startswith(f"cd {folder} && git add . && git commit")
    assert made.commands[1] == "dvc repro"
    assert len(made.commands) == 3
    assert load_config(folder / "params.yaml").prepare.sources == ({"reader": "folder", "path": str(films)},)
    assert (folder / ".git").is_dir()
    assert (folder / ".dvc" / "config").is_file()


def test_its_pipeline_watches_films_and_code(tmp_path: Path, films: Path) -> None:
    """DVC takes the pipeline; films are a dep of `prepare`, and synthcxr.lock stands for the code of every stage."""
    folder = tmp_path / "project"
    init.run(folder=folder, profile="nih-64", films=films)
    with Repo(str(folder)) as repo:
        stages = {stage.name: stage for stage in repo.index.stages}
    assert set(stages) == {"lock", *import_closure.STAGE_MODULES}
    assert str(films) in [str(dep) for dep in stages["prepare"].deps]
    for name in import_closure.STAGE_MODULES:
        deps = [str(dep) for dep in stages[name].deps]
        assert "synthcxr.lock" in deps
        assert not [dep for dep in deps if dep.startswith("synthcxr/")]
        locked = [dep.params for dep in stages[name].deps if str(dep) == "synthcxr.lock"]
        assert locked == [[f"stages.{name}"]]


def test_it_is_the_same_pipeline(tmp_path: Path) -> None:
    """Commands, outputs and inputs are those of the repository's dvc.yaml, its comments kept."""
    init.run(folder=tmp_path / "project", profile="phantom", films=None)
    ours, theirs = (read(path)["stages"] for path in (Path("dvc.yaml"), tmp_path / "project" / "dvc.yaml"))
    for name, stage in ours.items():
        assert theirs[name]["cmd"] == stage["cmd"]
        assert theirs[name].get("outs") == stage.get("outs")
        kept = [dep for dep in stage["deps"] if not dep.startswith("synthcxr/")]
        assert theirs[name].get("deps", []) == kept
    assert "# --record" in (tmp_path / "project" / "dvc.yaml").read_text(encoding="utf-8")


def test_films_inside_the_project_stay_out_of_git(tmp_path: Path, films: Path) -> None:
    """Films within DIR are named relative to it and ignored by git."""
    folder = films.parent
    made = init.run(folder=folder, profile="nih-64", films=films)
    assert made.films == films
    assert load_config(folder / "params.yaml").prepare.sources[0]["path"] == "my films"
    seen = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert "params.yaml" in seen.stdout
    assert "my films" not in seen.stdout


def test_inside_a_repository_no_second_one_is_made(tmp_path: Path) -> None:
    """A folder of a git repository becomes a DVC project there."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    init.run(folder=tmp_path / "project", profile="phantom", films=None)
    assert not (tmp_path / "project" / ".git").exists()
    assert (tmp_path / "project" / ".dvc").is_dir()


@pytest.mark.parametrize("name", ["params.yaml", "synthcxr.lock"])
def test_overwrites_nothing(tmp_path: Path, name: str) -> None:
    """One file in the way: it is named, it keeps its content, and no other is written."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match=f"holds {name} already"):
        init.run(folder=tmp_path, profile="phantom", films=None)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_lists_of_what_is_ignored_are_added_to(tmp_path: Path, films: Path) -> None:
    """A .gitignore and a .dvcignore that stand there keep their lines and get those they lack, once each."""
    folder = films.parent
    (folder / ".gitignore").write_bytes(b"# caf\xe9\n!keep\n.venv/\n/data/\r\n*.bak")
    (folder / ".dvcignore").write_text("# mine\n*.partial\n")
    made = init.run(folder=folder, profile="nih-64", films=films)
    assert [path.name for path in made.added_to] == [".gitignore", ".dvcignore"]
    assert {path.name for path in made.written} == set(WRITTEN) - {".gitignore", ".dvcignore"}
    lines = (folder / ".gitignore").read_text(encoding="latin-1").splitlines()
    assert lines[:5] == ["# café", "!keep", ".venv/", "/data/", "*.bak"]
    assert {"/my films/", "/models/"} <= set(lines[5:])
    assert len(lines) == len(set(lines))
    held = (folder / ".dvcignore").read_text()
    assert held.startswith("# mine\n*.partial\n")
    assert held.count("*.partial") == held.count("checkpoints") == 1


def test_a_folder_in_the_place_of_a_list_is_refused(tmp_path: Path) -> None:
    """Where .gitignore is no file nothing is written."""
    (tmp_path / ".gitignore").mkdir()
    with pytest.raises(DataError, match="holds .gitignore already"):
        init.run(folder=tmp_path, profile="phantom", films=None)
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


def test_refuses_what_cannot_be(tmp_path: Path, films: Path) -> None:
    """An unknown profile, films missing or too many, no films in PATH: a plain line, and no folder is made."""
    folder, empty = tmp_path / "project", tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="unknown profile 'nih64'; known: phantom, .*nih-64"):
        init.run(folder=folder, profile="nih64", films=films)
    with pytest.raises(ConfigError, match="--films PATH"):
        init.run(folder=folder, profile="nih-64", films=None)
    with pytest.raises(ConfigError, match="leave --films out"):
        init.run(folder=folder, profile="phantom", films=films)
    with pytest.raises(ConfigError, match="a folder of its own"):
        init.run(folder=films, profile="nih-64", films=films)
    with pytest.raises(DataError):
        init.run(folder=folder, profile="nih-64", films=empty)
    assert not folder.exists()


def test_a_folder_that_git_ignores_is_refused_in_one_line(tmp_path: Path) -> None:
    """DVC could not track it; nothing of ours is written there."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/scratch/\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot become a DVC project") as caught:
        init.run(folder=tmp_path / "scratch", profile="phantom", films=None)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "scratch" / name).exists() for name in WRITTEN)


DVC_OF_OTHERS = """\
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


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A Git and DVC repository with a stage, parameters and plots of its own."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        program = [command[0]] if command[0] == "git" else [sys.executable, "-m", "dvc"]
        subprocess.run([*program, *command[1:]], cwd=folder, check=True, capture_output=True)
    for name, text in {
        "dvc.yaml": DVC_OF_OTHERS,
        "params.yaml": "clean: {rows: 3}\n",
        "raw.csv": "a\n1\n",
        ".gitignore": "/scratch/\n",
    }.items():
        (folder / name).write_text(text)
    return folder


def test_stages_are_added_to_those_of_others(theirs: Path) -> None:
    """Every line of theirs stays, our stages stand behind, values in a file of our own; DVC takes the whole."""
    made = init.run(folder=theirs, profile="phantom", films=None)
    text = (theirs / "dvc.yaml").read_text()
    kept = DVC_OF_OTHERS.splitlines()
    assert [line for line in text.splitlines() if line in kept and line] == [line for line in kept if line]
    assert read(theirs / "params.yaml") == {"clean": {"rows": 3}}
    assert load_config(theirs / "synthcxr-params.yaml").generate.n == 600
    with Repo(str(theirs)) as repo:
        stages = {stage.name: stage for stage in repo.index.stages}
    assert set(stages) == {"clean", "lock", *import_closure.STAGE_MODULES}
    assert all("--params synthcxr-params.yaml" in stages[name].cmd for name in import_closure.STAGE_MODULES)
    assert [dep.params for dep in stages["generate"].deps if str(dep) == "synthcxr-params.yaml"] == [["generate"]]
    assert made.left_out == ("plots",)
    assert read(theirs / "dvc.yaml")["metrics"] == ["models/gan/metrics.json", "results/registered.json"]
    assert {path.name for path in made.added_to} == {"dvc.yaml", ".gitignore", ".dvcignore"}
    assert "/data/" not in (theirs / ".gitignore").read_text().splitlines()
    assert made.commands[0].startswith(f"cd {theirs} && git add synthcxr-params.yaml synthcxr.lock dvc.yaml")


def test_a_stage_of_the_same_name_is_in_the_way(theirs: Path) -> None:
    """Names that clash, and a file that is no pipeline, are refused before anything is written."""
    before = {path: path.read_bytes() for path in theirs.iterdir() if path.is_file()}
    (theirs / "dvc.yaml").write_text(DVC_OF_OTHERS.replace("clean:  ", "prepare:"))
    with pytest.raises(DataError, match="dvc.yaml already has stages named prepare; nothing was written"):
        init.run(folder=theirs, profile="phantom", films=None)
    (theirs / "dvc.yaml").write_text("stages: {clean: {cmd: ls}}\n")
    with pytest.raises(DataError, match="a layout to which no stages can be added"):
        init.run(folder=theirs, profile="phantom", films=None)
    (theirs / "dvc.yaml").write_text("a: b: c")
    with pytest.raises(DataError, match="not readable as YAML"):
        init.run(folder=theirs, profile="phantom", films=None)
    (theirs / "dvc.yaml").write_text(DVC_OF_OTHERS)
    assert {path: path.read_bytes() for path in theirs.iterdir() if path.is_file()} == before


def test_films_of_a_format_that_is_said(tmp_path: Path, films: Path) -> None:
    """--format names the reader, none by another name; dicom gets a salt that git ignores and the owner alone reads."""
    made = init.run(folder=tmp_path / "project", profile="nih-64", films=films, reader="dicom")
    assert made.reader == "dicom"
    source = load_config(tmp_path / "project" / "params.yaml").prepare.sources[0]
    salt = tmp_path / "project" / source["salt"]
    assert len(salt.read_text().strip()) == 64 and salt.stat().st_mode & 0o077 == 0
    seen = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], cwd=salt.parent, capture_output=True, text=True, check=True
    )
    assert "params.yaml" in seen.stdout and salt.name not in seen.stdout
    with pytest.raises(ConfigError, match="unknown format 'pacs'; known: nih, chexpert, dicom, folder"):
        init.run(folder=tmp_path / "other", profile="nih-64", films=films, reader="pacs")


@pytest.mark.parametrize(
    ("kind", "name"),
    [("github", ".github/workflows/synthcxr.yml"), pytest.param("gitlab", ".gitlab-ci.yml", marks=pytest.mark.slow)],
)
def test_ci_runs_the_pipeline_and_posts_the_metrics(tmp_path: Path, kind: str, name: str) -> None:
    """The file is YAML, its commands are shell, it reproduces, and posts the table; one that stands is refused."""
    init.run(folder=tmp_path / "project", profile="phantom", films=None, ci=kind)
    tree = read(tmp_path / "project" / name)
    if kind == "github":
        script = "\n".join(step["run"] for step in tree["jobs"]["pipeline"]["steps"] if "run" in step)
        script = script.replace("${{ github.event.pull_request.number }}", "1")
        assert "gh pr comment" in script
    else:
        script = "\n".join(tree["synthcxr"]["script"])
        assert "/notes" in script
    assert "dvc repro" in script and "dvc metrics diff --md" in script
    subprocess.run(["bash", "-n", "-c", script], check=True)
    (tmp_path / "second" / name).parent.mkdir(parents=True)
    (tmp_path / "second" / name).write_text("mine")
    with pytest.raises(DataError, match="already; nothing was written"):
        init.run(folder=tmp_path / "second", profile="phantom", films=None, ci=kind)


@pytest.mark.slow
def test_an_upgrade_says_what_changed(tmp_path: Path) -> None:
    """Of a project that is as today's, nothing; of an older one each stage, command and parameter that differs.

    It says so and writes nothing.
    """
    folder = tmp_path / "project"
    with pytest.raises(DataError, match="holds no synthcxr.lock"):
        list(upgrade.run(tmp_path))
    init.run(folder=folder, profile="phantom", films=None)
    assert [line.split(":")[0] for line in upgrade.run(folder)] == ["version", "code"]
    lock = (folder / "synthcxr.lock").read_text()
    lock = lock.replace(import_closure.compute_digest(import_closure.STAGE_MODULES["report"]), "0123456789abcdef")
    (folder / "synthcxr.lock").write_text(re.sub("version: .*", "version: '0.0.1'", lock))
    pipeline = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(pipeline.replace("synthcxr distill --models", "synthcxr distil --models"))
    params = (folder / "params.yaml").read_text()
    params = params.replace("  n_val_distance: 0\n", "").replace("  fp16: true\n", "  fp16: true\n  half: true\n")
    (folder / "params.yaml").write_text(params)
    before = digest_files(tmp_path)
    lines = CliRunner().invoke(main, ["init", str(folder), "--upgrade"], catch_exceptions=False).output
    assert digest_files(tmp_path) == before
    assert "version: 0.0.1 then" in lines
    assert "code: changed for report;" in lines
    assert "dvc.yaml: distill.cmd is now 'synthcxr distill" in lines
    assert "params.yaml: train_gan.n_val_distance is new; the default profile has 0" in lines
    assert "params.yaml: export.half is no longer known" in lines
