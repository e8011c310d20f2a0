"""Claims about structure: the order of imports, the doors, what DVC watches, what --help loads, the public names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from support.paths import REPOSITORY

import synthcxr
from synthcxr.project import import_closure

PIPELINE: dict[str, Any] = YAML(typ="safe", pure=True).load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))
HEAVY = {
    *("torch", "monai", "mlflow", "great_expectations", "onnxruntime", "onnx", "matplotlib", "pandas", "sklearn"),
    *("scipy", "PIL", "dvc", "jinja2", "numpy", "ruamel"),
}
VAGUE = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc", "core"}


def loaded(code: str) -> set[str]:
    """The top-level names of what a fresh interpreter has imported after `code`."""
    script = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_imports_go_one_way() -> None:
    """The contracts of pyproject.toml hold: layers, independent stages, one door a heavy library."""
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_pipeline_has_the_stages() -> None:
    """dvc.yaml's stages are those whose code is known, in the order of the data."""
    assert list(PIPELINE["stages"]) == list(import_closure.STAGE_MODULES)


def source_deps(stage: str) -> Iterator[Path]:
    """The source files and folders that a stage of dvc.yaml lists."""
    return (Path(dep) for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith("synthcxr/"))


@pytest.mark.parametrize("stage", import_closure.STAGE_MODULES)
def test_dvc_reruns_a_stage_for_its_code(stage: str) -> None:
    """A stage's deps cover all that it imports: changed code never leaves an old result standing."""
    listed = list(source_deps(stage))
    bare = [
        p.as_posix()
        for p in import_closure.find_closure(import_closure.STAGE_MODULES[stage])
        if not any(p.is_relative_to(d) for d in listed)
    ]
    assert not bare, f"dvc.yaml: {stage}: add to deps: {', '.join(bare)}"


@pytest.mark.parametrize("stage", import_closure.STAGE_MODULES)
def test_dvc_reruns_a_stage_for_nothing_else(stage: str) -> None:
    """A stage lists no source that it does not import: hours are not spent again for a change elsewhere."""
    files = import_closure.find_closure(import_closure.STAGE_MODULES[stage])
    idle = [dep.as_posix() for dep in source_deps(stage) if not any(path.is_relative_to(dep) for path in files)]
    assert not idle, f"dvc.yaml: {stage}: take from deps: {', '.join(idle)}"


@pytest.mark.parametrize("arguments", [[], ["generate"], ["models", "pull"]])
def test_help_is_light(arguments: list[str]) -> None:
    """--help of the program and of its verbs loads none of the heavy libraries, so that it answers at once."""
    code = f"from synthcxr.cli.main import main\nmain({[*arguments, '--help']!r}, standalone_mode=False)"
    assert not loaded(code) & HEAVY


def test_importing_the_package_is_light() -> None:
    """`import synthcxr` costs nothing: its names are imported when they are first used."""
    assert not loaded("import synthcxr") & HEAVY


def test_public_names() -> None:
    """Every name of `__all__` is there, is listed by dir(), and no other name is made up."""
    assert 5 <= len(synthcxr.__all__) <= 16
    assert set(synthcxr.__all__) <= set(dir(synthcxr))
    assert all(getattr(synthcxr, name) is not None for name in synthcxr.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = synthcxr.no_such_name


def test_no_vague_names() -> None:
    """No file is named for what it is not about."""
    assert not [path for path in (REPOSITORY / "synthcxr").rglob("*.py") if path.stem in VAGUE]


def test_files_stay_short() -> None:
    """A file answers one question; the command line, which is declarations, may be longer."""
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for path in (REPOSITORY / "synthcxr").rglob("*.py")
    }
    assert not {path.name: n for path, n in lengths.items() if n > (440 if path.name == "cli.py" else 320)}
