"""The import closure of a stage, on small packages written here."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from synthcxr.errors import ConfigError
from synthcxr.project import import_closure


def write(root: Path, files: dict[str, str]) -> Path:
    """A package synthcxr under `root` with these files and an `__init__.py` in every folder."""
    given = {"__init__.py": "__version__ = '1'", "stages/__init__.py": ""} | files
    for name, text in given.items():
        path = root / "synthcxr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def names(root: Path, module: str = "synthcxr.stages.prepare") -> set[str]:
    """The closure of a module of that package, without "synthcxr/"."""
    return {path.as_posix().removeprefix("synthcxr/") for path in import_closure.closure(module, root=root)}


@pytest.mark.parametrize(
    "line",
    [
        "import synthcxr.data.findings",
        "import synthcxr.data.findings as l",
        "from synthcxr import labels",
        "from synthcxr.data.findings import FINDINGS",
        "from .. import labels",
        "from ..labels import FINDINGS",
        "def f():\n    from synthcxr.data.findings import FINDINGS",
        "if True:\n    from synthcxr import labels",
    ],
)
def test_every_way_to_import_counts(tmp_path: Path, line: str) -> None:
    """Plain, from, relative and late imports are all followed."""
    root = write(tmp_path, {"labels.py": "FINDINGS = ()", "seeds.py": "x = 1", "stages/prepare.py": line})
    assert names(root) == {"labels.py", "stages/prepare.py"}


def test_is_transitive_and_ends(tmp_path: Path) -> None:
    """What an import imports counts too, and a circle of imports comes to an end."""
    root = write(
        tmp_path,
        {
            "stages/prepare.py": "from synthcxr import a",
            "a.py": "import os\nfrom synthcxr import b",
            "b.py": "def f():\n    from synthcxr import a",
        },
    )
    assert names(root) == {"stages/prepare.py", "a.py", "b.py"}


def test_a_package_counts_with_its_init_and_its_data(tmp_path: Path) -> None:
    """A sub-package brings its `__init__.py` and its templates, never its empty files or what it does not import."""
    root = write(
        tmp_path,
        {
            "stages/prepare.py": "from synthcxr.report import html",
            "report/__init__.py": "from synthcxr import seeds",
            "report/html.py": "x = 1",
            "report/plots.py": "x = 1",
            "report/template.html": "<p>",
            "report/.swp": "x",
            "seeds.py": "x = 1",
        },
    )
    assert names(root) == {
        "stages/prepare.py",
        "report/__init__.py",
        "report/html.py",
        "report/template.html",
        "seeds.py",
    }


def test_imports_for_type_checkers_do_not_count(tmp_path: Path) -> None:
    """What never runs reruns nothing; the other branch does run."""
    branches = "if TYPE_CHECKING:\n    from synthcxr import a\nelse:\n    from synthcxr import b"
    text = f"from typing import TYPE_CHECKING\n{branches}"
    root = write(tmp_path, {"stages/prepare.py": text, "a.py": "x = 1", "b.py": "x = 1"})
    assert names(root) == {"stages/prepare.py", "b.py"}


def test_digest_follows_content_and_nothing_else(tmp_path: Path) -> None:
    """Another byte in the closure is another digest; a byte outside it, the version included, is none."""
    files = {"stages/prepare.py": "from synthcxr import a", "a.py": "x = 1", "b.py": "x = 1"}
    root = write(tmp_path, files)
    module = "synthcxr.stages.prepare"
    before = import_closure.digest(module, root=root)
    write(root, {"__init__.py": "__version__ = '2'", "b.py": "x = 2"})
    assert import_closure.digest(module, root=root) == before
    write(root, {"a.py": "x = 2"})
    assert import_closure.digest(module, root=root) != before


def test_no_such_module(tmp_path: Path) -> None:
    """A name that is no module is an error, not an empty closure."""
    with pytest.raises(ConfigError, match="no such module"):
        import_closure.closure("synthcxr.stages.preapre", root=write(tmp_path, {}))


def test_lock_names_every_stage() -> None:
    """synthcxr.lock is YAML with the version and sixteen digits for each stage."""
    held = YAML(typ="safe", pure=True).load(import_closure.lock_text("1.0"))
    assert held["version"] == "1.0"
    assert list(held["stages"]) == list(import_closure.STAGES)
    assert all(len(digest) == 16 for digest in held["stages"].values())
