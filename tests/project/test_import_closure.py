"""The import closure of a stage, on small packages written here."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from synthcxr.errors import ConfigError
from synthcxr.project import import_closure


def write_package(root: Path, files: dict[str, str]) -> Path:
    """Write a package synthcxr below `root` with these files, and return `root`."""
    for name, text in ({"__init__.py": "__version__ = '1'", "stages/__init__.py": ""} | files).items():
        path = root / "synthcxr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def find_names(root: Path, module: str = "synthcxr.stages.prepare") -> set[str]:
    """The closure of a module of that package, without "synthcxr/"."""
    return {path.as_posix().removeprefix("synthcxr/") for path in import_closure.find_closure(module, root=root)}


@pytest.mark.parametrize(
    "line",
    [
        "import synthcxr.labels",
        "import synthcxr.labels as l",
        "from synthcxr import labels",
        "from synthcxr.labels import FINDINGS",
        "from .. import labels",
        "from ..labels import FINDINGS",
        "def f():\n    from synthcxr.labels import FINDINGS",
        "if True:\n    from synthcxr import labels",
    ],
)
def test_every_form_of_import_is_followed(tmp_path: Path, line: str) -> None:
    """`import`, `from`, relative imports and imports inside functions all count."""
    root = write_package(tmp_path, {"labels.py": "FINDINGS = ()", "other.py": "x = 1", "stages/prepare.py": line})
    assert find_names(root) == {"labels.py", "stages/prepare.py"}


def test_imports_are_followed_transitively(tmp_path: Path) -> None:
    """The imports of an imported module count too, and a cycle of imports ends."""
    root = write_package(
        tmp_path,
        {
            "stages/prepare.py": "from synthcxr import a",
            "a.py": "import os\nfrom synthcxr import b",
            "b.py": "def f():\n    from synthcxr import a",
        },
    )
    assert find_names(root) == {"stages/prepare.py", "a.py", "b.py"}


def test_a_subpackage_counts_with_its_init_and_data_files(tmp_path: Path) -> None:
    """`__init__.py` and templates of a subpackage count; empty and hidden files and other modules do not."""
    root = write_package(
        tmp_path,
        {
            "stages/prepare.py": "from synthcxr.report import html",
            "report/__init__.py": "from synthcxr import other",
            "report/html.py": "x = 1",
            "report/plots.py": "x = 1",
            "report/template.html": "<p>",
            "report/.swp": "x",
            "other.py": "x = 1",
        },
    )
    assert find_names(root) == {
        "stages/prepare.py",
        "report/__init__.py",
        "report/html.py",
        "report/template.html",
        "other.py",
    }


def test_imports_for_type_checkers_do_not_count(tmp_path: Path) -> None:
    """An import under `if TYPE_CHECKING:` never runs; the one under `else:` does."""
    branches = "if TYPE_CHECKING:\n    from synthcxr import a\nelse:\n    from synthcxr import b"
    text = f"from typing import TYPE_CHECKING\n{branches}"
    root = write_package(tmp_path, {"stages/prepare.py": text, "a.py": "x = 1", "b.py": "x = 1"})
    assert find_names(root) == {"stages/prepare.py", "b.py"}


def test_the_digest_depends_only_on_the_closure(tmp_path: Path) -> None:
    """A change in the closure changes the digest; a change elsewhere, or of the version, does not."""
    files = {"stages/prepare.py": "from synthcxr import a", "a.py": "x = 1", "b.py": "x = 1"}
    root = write_package(tmp_path, files)
    module = "synthcxr.stages.prepare"
    before = import_closure.compute_digest(module, root=root)
    write_package(root, {"__init__.py": "__version__ = '2'", "b.py": "x = 2"})
    assert import_closure.compute_digest(module, root=root) == before
    write_package(root, {"a.py": "x = 2"})
    assert import_closure.compute_digest(module, root=root) != before


def test_an_unknown_module_is_an_error(tmp_path: Path) -> None:
    """A misspelled stage is an error, not an empty closure."""
    with pytest.raises(ConfigError, match="no such module"):
        import_closure.find_closure("synthcxr.stages.preapre", root=write_package(tmp_path, {}))


def test_the_lock_has_a_digest_for_every_stage() -> None:
    """synthcxr.lock is YAML with the version and sixteen hex digits for each stage."""
    lock = YAML(typ="safe", pure=True).load(import_closure.render_lock("1.0"))
    assert lock["version"] == "1.0"
    assert list(lock["stages"]) == list(import_closure.STAGE_MODULES)
    assert all(len(digest) == 16 for digest in lock["stages"].values())
