"""Other people's formulas, run without the rest of their packages, which would bring torchvision."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Formulas = Callable[..., SimpleNamespace]


@pytest.fixture(scope="session")
def formulas() -> Formulas:
    """`formulas(package, file, *names, **given)`: those functions of one file of an installed package, nothing else
    of it imported; `given` are the modules and functions that they use. Skips where the package is not installed.
    """

    def take(package: str, file: str, *names: str, **given: Any) -> SimpleNamespace:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            pytest.skip(f"{package} is not installed: pip install --no-deps {package.replace('_', '-')}")
        path = Path(spec.origin).parent / file
        tree = ast.parse(path.read_text(encoding="utf-8"))
        held = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
        assert {node.name for node in held} == set(names)
        space = dict(given)
        exec(compile(ast.Module(held, []), str(path), "exec"), space)
        return SimpleNamespace(**{name: space[name] for name in names})

    return take
