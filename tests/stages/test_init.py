"""`synthcxr init`: a working project around a user's own films; no file of theirs is overwritten."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dvc.repo import Repo
from PIL import Image
from ruamel.yaml import YAML

from synthcxr.config.schema import load_config
from synthcxr.errors import ConfigError, DataError
from synthcxr.project import import_closure
from synthcxr.stages import init

PROJECT_FILES = ("params.yaml", "dvc.yaml", "synthcxr.lock", ".gitignore", ".dvcignore")


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Raw films in a folder per class, one drawn square in each."""
    folder = tmp_path / "my films"
    for name in ("Effusion", "Normal"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.full((32, 32), 90, np.uint8)).save(folder / name / f"{name}.png")
    return folder


def read_yaml(path: Path) -> Any:
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def untracked_files(folder: Path) -> str:
    """What `git status` lists, without ignored files."""
    command = ["git", "status", "--porcelain", "-uall"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_project_around_films(tmp_path: Path, films: Path) -> None:
    """The films are the only source, their reader is recognised, and the next commands are given."""
    folder = tmp_path / "project"
    project = init.run(folder=folder, profile="nih-64", source=films)
    assert project.reader == "folder"
    assert {path.name for path in project.written} == set(PROJECT_FILES)
    assert project.commands[0].startswith(f"cd {folder} && git add . && git commit")
    assert project.commands[1] == "dvc repro"
    assert len(project.commands) == 3
    assert load_config(folder / "params.yaml").prepare.sources == ({"reader": "folder", "path": str(films)},)
    assert (folder / ".git").is_dir()
    assert (folder / ".dvc" / "config").is_file()


def test_the_pipeline_depends_on_films_and_code(tmp_path: Path, films: Path) -> None:
    """DVC loads the pipeline; films are a dependency of `prepare`, and each stage depends on its digest in the lock."""
    folder = tmp_path / "project"
    init.run(folder=folder, profile="nih-64", source=films)
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


def test_the_pipeline_is_that_of_the_repository(tmp_path: Path) -> None:
    """Commands, outputs and dependencies are those of the repository's dvc.yaml, comments included."""
    init.run(folder=tmp_path / "project", profile="phantom", source=None)
    repository_stages, project_stages = (
        read_yaml(path)["stages"] for path in (Path("dvc.yaml"), tmp_path / "project" / "dvc.yaml")
    )
    for name, stage in repository_stages.items():
        assert project_stages[name]["cmd"] == stage["cmd"]
        assert project_stages[name].get("outs") == stage.get("outs")
        assert project_stages[name].get("deps", []) == stage.get("deps", [])
    assert "# --record" in (tmp_path / "project" / "dvc.yaml").read_text(encoding="utf-8")


def test_films_inside_the_project_stay_out_of_git(tmp_path: Path, films: Path) -> None:
    """Films below DIR are named by a relative path and ignored by git."""
    folder = films.parent
    project = init.run(folder=folder, profile="nih-64", source=films)
    assert project.films == films
    assert load_config(folder / "params.yaml").prepare.sources[0]["path"] == "my films"
    listed = untracked_files(folder)
    assert "params.yaml" in listed and "my films" not in listed


def test_an_existing_git_repository_is_used(tmp_path: Path) -> None:
    """A folder inside a git repository becomes a DVC project there, without a second repository."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    init.run(folder=tmp_path / "project", profile="phantom", source=None)
    assert not (tmp_path / "project" / ".git").exists()
    assert (tmp_path / "project" / ".dvc").is_dir()


@pytest.mark.parametrize("name", ["params.yaml", "synthcxr.lock"])
def test_no_file_is_overwritten(tmp_path: Path, name: str) -> None:
    """One existing file: the error names it, it keeps its content, and nothing else is written."""
    (tmp_path / name).write_text("mine")
    with pytest.raises(DataError, match=f"already contains {name}"):
        init.run(folder=tmp_path, profile="phantom", source=None)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_existing_ignore_files_are_extended(tmp_path: Path, films: Path) -> None:
    """An existing .gitignore and .dvcignore keep their lines and get those they lack, once each."""
    folder = films.parent
    (folder / ".gitignore").write_bytes(b"# caf\xe9\n!keep\n.venv/\n/data/\r\n*.bak")
    (folder / ".dvcignore").write_text("# mine\n*.partial\n")
    project = init.run(folder=folder, profile="nih-64", source=films)
    assert [path.name for path in project.added_to] == [".gitignore", ".dvcignore"]
    assert {path.name for path in project.written} == set(PROJECT_FILES) - {".gitignore", ".dvcignore"}
    lines = (folder / ".gitignore").read_text(encoding="latin-1").splitlines()
    assert lines[:5] == ["# café", "!keep", ".venv/", "/data/", "*.bak"]
    assert {"/my films/", "/models/"} <= set(lines[5:])
    assert len(lines) == len(set(lines))
    dvc_ignore = (folder / ".dvcignore").read_text()
    assert dvc_ignore.startswith("# mine\n*.partial\n")
    assert dvc_ignore.count("*.partial") == dvc_ignore.count("checkpoints") == 1


def test_a_folder_named_like_an_ignore_file_is_refused(tmp_path: Path) -> None:
    """If .gitignore is a folder, nothing is written."""
    (tmp_path / ".gitignore").mkdir()
    with pytest.raises(DataError, match=r"already contains \.gitignore"):
        init.run(folder=tmp_path, profile="phantom", source=None)
    assert [path.name for path in tmp_path.iterdir()] == [".gitignore"]


def test_bad_arguments_are_refused(tmp_path: Path, films: Path) -> None:
    """An unknown profile, films missing or superfluous, and a folder without films: an error, and no project folder."""
    folder, empty = tmp_path / "project", tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigError, match="unknown profile 'nih64'; known: phantom, .*nih-64"):
        init.run(folder=folder, profile="nih64", source=films)
    with pytest.raises(ConfigError, match="needs your own films: --source FOLDER"):
        init.run(folder=folder, profile="nih-64", source=None)
    with pytest.raises(ConfigError, match="leave --source out"):
        init.run(folder=folder, profile="phantom", source=films)
    with pytest.raises(ConfigError, match="cannot be the project; give another DIR"):
        init.run(folder=films, profile="nih-64", source=films)
    with pytest.raises(DataError):
        init.run(folder=folder, profile="nih-64", source=empty)
    assert not folder.exists()


def test_a_folder_that_git_ignores_is_refused_in_one_line(tmp_path: Path) -> None:
    """DVC cannot track a folder that git ignores; the error is one line and nothing is written."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("/scratch/\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot become a DVC project") as caught:
        init.run(folder=tmp_path / "scratch", profile="phantom", source=None)
    assert "\n" not in str(caught.value)
    assert not any((tmp_path / "scratch" / name).exists() for name in PROJECT_FILES)


def test_the_reader_can_be_given(tmp_path: Path, films: Path) -> None:
    """--reader overrides recognition; dicom gets a salt that git ignores and only the owner can read."""
    project = init.run(folder=tmp_path / "project", profile="nih-64", source=films, reader="dicom")
    assert project.reader == "dicom"
    entry = load_config(tmp_path / "project" / "params.yaml").prepare.sources[0]
    salt = tmp_path / "project" / entry["salt"]
    assert len(salt.read_text().strip()) == 64 and salt.stat().st_mode & 0o077 == 0
    listed = untracked_files(salt.parent)
    assert "params.yaml" in listed and salt.name not in listed
    with pytest.raises(ConfigError, match="unknown reader 'pacs'; known: nih, chexpert, mimic, dicom, folder"):
        init.run(folder=tmp_path / "other", profile="nih-64", source=films, reader="pacs")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "name"),
    [("github", ".github/workflows/synthcxr.yml"), pytest.param("gitlab", ".gitlab-ci.yml", marks=pytest.mark.slow)],
)
def test_ci_runs_the_pipeline_and_posts_the_metrics(tmp_path: Path, kind: str, name: str) -> None:
    """The CI file is YAML with valid shell commands that reproduce and post the metrics; an existing one is refused."""
    init.run(folder=tmp_path / "project", profile="phantom", source=None, ci=kind)
    tree = read_yaml(tmp_path / "project" / name)
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
    with pytest.raises(DataError, match="nothing was written"):
        init.run(folder=tmp_path / "second", profile="phantom", source=None, ci=kind)
