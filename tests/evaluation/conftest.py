"""A fixture that runs functions of other packages as references, without the packages' heavy imports."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

LoadReference = Callable[..., SimpleNamespace]


@pytest.fixture(scope="session")
def load_reference() -> LoadReference:
    """`load_reference(package, file, *names, **namespace)`: these functions of one file of an installed package.

    Nothing else of the package is imported (it would import torchvision). `namespace` holds the modules and functions
    that the functions use. Skips the test if the package is not installed.
    """

    def load(package: str, file: str, *names: str, **namespace: Any) -> SimpleNamespace:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            pytest.skip(f"{package} is not installed: pip install --no-deps {package.replace('_', '-')}")
        path = Path(spec.origin).parent / file
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
        assert {node.name for node in functions} == set(names)
        global_names = dict(namespace)
        exec(compile(ast.Module(functions, []), str(path), "exec"), global_names)
        return SimpleNamespace(**{name: global_names[name] for name in names})

    return load
