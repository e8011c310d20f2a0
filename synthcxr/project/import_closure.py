"""The import closure of a stage: the source files that it runs, found from its imports without running any of them.

synthcxr.lock has a digest of each stage's closure. dvc.yaml makes it a parameter of the stage, so that DVC reruns a
stage when its code changes and only then.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from synthcxr.errors import ConfigError
from synthcxr.project import extensions

PACKAGE = "synthcxr"
STAGE_MODULES = {
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
"""The module of each stage of dvc.yaml, in the order of the pipeline."""
ROOT = Path(__file__).parents[2]


def find_closure(module: str, *, root: Path = ROOT) -> tuple[Path, ...]:
    """Find the files that `module` (such as "synthcxr.stages.prepare") imports, sorted and relative to `root`.

    Imports inside functions count; imports for type checkers do not. Other files next to the modules of a subpackage,
    such as templates, count too. Empty files do not count, and neither does `synthcxr/__init__.py`, because its version
    would rerun every stage at every release. Raises ConfigError if there is no such module.
    """
    if _find_file(module, root) is None:
        raise ConfigError(f"{module}: no such module of {PACKAGE}")
    paths: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _find_file(name, root)
        if path is None or name in paths or name == PACKAGE:
            continue
        paths[name] = path
        waiting += [*_list_parents(name), *_read_imports(name, path)]
    folders = {path.parent for path in paths.values()} - {root / PACKAGE}
    files = {*paths.values(), *(path for folder in folders for path in _list_data_files(folder))}
    return tuple(sorted(path.relative_to(root) for path in files if path.stat().st_size))


def compute_digests() -> dict[str, str]:
    """The digest of each stage of dvc.yaml: of its code, and of the packages that extend it with their versions."""
    return {
        stage: compute_digest(module, packages=extensions.list_packages(stage))
        for stage, module in STAGE_MODULES.items()
    }


def compute_digest(module: str, *, root: Path = ROOT, packages: Sequence[str] = ()) -> str:
    """Return sixteen hex digits of the names and contents of the closure of `module`, and of `packages`."""
    sha256 = hashlib.sha256()
    for path in find_closure(module, root=root):
        content = hashlib.sha256((root / path).read_bytes()).hexdigest()
        sha256.update(f"{path.as_posix()} {content}\n".encode())
    for package in packages:
        sha256.update(f"{package}\n".encode())
    return sha256.hexdigest()[:16]


def render_lock(version: str) -> str:
    """Return the text of synthcxr.lock: YAML with the version, and the digest of each stage under `stages`."""
    lines = [f"  {stage}: '{digest}'" for stage, digest in compute_digests().items()]
    return "\n".join([f"version: '{version}'", "stages:", *lines, ""])


def _find_file(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _list_data_files(folder: Path) -> Iterator[Path]:
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return (path for path in files if path.suffix not in {".py", ".pyc"})


def _list_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def _read_imports(module: str, path: Path) -> Iterator[str]:
    """The names that a file imports from the package. "from x import y" gives x and x.y, which may be no module."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom):
            source = _resolve_source(node, package)
            if source.split(".")[0] == PACKAGE:
                yield source
                yield from (f"{source}.{alias.name}" for alias in node.names)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node below, except in the bodies of `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _walk(other)
        else:
            yield from _walk(child)


def _resolve_source(node: ast.ImportFrom, package: str) -> str:
    """The full name of the module in "from ... import", with leading dots resolved."""
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)
