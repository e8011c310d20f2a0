"""Which source files a stage runs: its imports within synthcxr, followed to their ends without running any of them.

DVC re-runs a stage for the files that it lists, so `dvc.yaml` lists these, and a project made by `synthcxr init`
keeps a digest of them per stage in `synthcxr.lock`.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

from synthcxr.errors import ConfigError

PACKAGE = "synthcxr"
STAGES = {
    "prepare": "synthcxr.stages.prepare",
    "train_classifier": "synthcxr.stages.train_classifier",
    "train_judge": "synthcxr.stages.train_classifier",
    "train_gan": "synthcxr.stages.train_gan",
    "export": "synthcxr.stages.export",
    "distill": "synthcxr.stages.distill",
    "generate": "synthcxr.stages.generate",
    "evaluate": "synthcxr.stages.evaluate",
    "register": "synthcxr.stages.register",
    "report": "synthcxr.stages.report",
}
ROOT = Path(__file__).parents[2]


def closure(module: str, *, root: Path = ROOT) -> tuple[Path, ...]:
    """The files behind `module` (such as "synthcxr.stages.prepare"), sorted, relative to `root`.

    Imports inside functions count, those for type checkers alone do not. What lies beside the modules of a
    sub-package and is no Python (a template) counts too; empty files do not, nor does `synthcxr/__init__.py`, whose
    version would rerun every stage at every release. ConfigError where there is no such module.
    """
    if _file(module, root) is None:
        raise ConfigError(f"{module}: no such module of {PACKAGE}")
    found: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file(name, root)
        if path is None or name in found or name == PACKAGE:
            continue
        found[name] = path
        waiting += [*_parents(name), *_imports(name, path)]
    folders = {path.parent for path in found.values()} - {root / PACKAGE}
    files = {*found.values(), *(path for folder in folders for path in _data_files(folder))}
    return tuple(sorted(path.relative_to(root) for path in files if path.stat().st_size))


def digest(module: str, *, root: Path = ROOT) -> str:
    """Sixteen hex digits of the names and contents of `closure(module)`."""
    total = hashlib.sha256()
    for path in closure(module, root=root):
        content = hashlib.sha256((root / path).read_bytes()).hexdigest()
        total.update(f"{path.as_posix()} {content}\n".encode())
    return total.hexdigest()[:16]


def lock_text(version: str) -> str:
    """What synthcxr.lock holds, as YAML: the version, and under `stages` the digest of each stage's closure."""
    lines = [f"  {stage}: '{digest(module)}'" for stage, module in STAGES.items()]
    return "\n".join([f"version: '{version}'", "stages:", *lines, ""])


def _file(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _data_files(folder: Path) -> Iterator[Path]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return (path for path in files if path.suffix not in {".py", ".pyc"})


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _imports(module: str, path: Path) -> Iterator[str]:
    """Names that `path` imports from the package; "from x import y" gives x and x.y, of which y may be no module."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom):
            source = _absolute(node, package)
            if source.split(".")[0] == PACKAGE:
                yield source
                yield from (f"{source}.{alias.name}" for alias in node.names)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, without the bodies of `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _walk(other)
        else:
            yield from _walk(child)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The full name that a "from ... import" starts at, dots resolved."""
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)
