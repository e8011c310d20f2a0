"""The structure of the code: order of imports, pipeline, names, and what the program loads for --help."""

from __future__ import annotations

import ast
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
HEAVY_LIBRARIES = {
    *("torch", "monai", "mlflow", "great_expectations", "onnxruntime", "onnx", "matplotlib", "pandas", "sklearn"),
    *("scipy", "PIL", "dvc", "jinja2", "numpy", "ruamel"),
}
VAGUE_FILE_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "misc", "core"}
VAGUE_IDENTIFIERS = {"held", "asked", "wanted", "told", "found", "came", "grown"}
MAX_LINES = 320
STORAGE, NETWORKS = "synthcxr/storage", "synthcxr/networks"
LOADERS = {
    "json.load": [f"{STORAGE}/json_files.py"],
    # An answer from a browser, and one that the database holds, have rules of their own; a worker obeys its parent.
    "json.loads": [
        f"{STORAGE}/json_files.py",
        "synthcxr/reader_study/answer.py",
        "synthcxr/reader_study/app.py",
        "synthcxr/readers/dicom_worker.py",
    ],
    "csv.reader": [f"{STORAGE}/csv_files.py", "synthcxr/readers/csv_table.py"],
    "csv.DictReader": [f"{STORAGE}/csv_files.py"],
    "pd.read_csv": [f"{STORAGE}/csv_files.py"],
    "pd.read_json": [],
    "pd.read_parquet": [f"{STORAGE}/parquet_files.py"],
    "pd.read_pickle": [],
    "pq.ParquetFile": [f"{STORAGE}/parquet_files.py"],
    "pq.read_table": [],
    "gzip.open": [],
    "gzip.GzipFile": [f"{STORAGE}/csv_files.py"],
    "np.load": [f"{STORAGE}/numpy_files.py"],
    "np.fromfile": [],
    "np.loadtxt": [],
    "np.genfromtxt": [],
    "np.memmap": [f"{STORAGE}/numpy_files.py"],
    "zipfile.ZipFile": [f"{STORAGE}/numpy_files.py"],
    "tarfile.open": [f"{STORAGE}/tar_files.py"],
    "tarfile.TarFile": [],
    "tarfile.TarInfo.frombuf": [f"{STORAGE}/tar_files.py"],
    "yaml.load": [f"{STORAGE}/yaml_files.py"],
    "onnx.load": [],
    "onnx.load_model": [],
    "onnx.load_model_from_string": [f"{STORAGE}/onnx_files.py"],
    "safetensors.safe_open": [f"{NETWORKS}/safetensors_files.py"],
    "safetensors.torch.load": [],
    "safetensors.torch.load_file": [],
    "torch.load": [f"{NETWORKS}/torch_files.py"],
    "torch.jit.load": [f"{NETWORKS}/torch_files.py"],
    "ort.InferenceSession": ["synthcxr/synthesis/runtime/onnx_session.py"],
    "pickle.load": [],
    "pickle.loads": [],
}
"""The functions of libraries that read files, and the modules that may call them: one guarded loader a format."""


def list_source_files() -> list[Path]:
    """The Python files of the package, the tests and the benchmarks."""
    return [
        path for folder in ("synthcxr", "tests", "benchmarks") for path in sorted((REPOSITORY / folder).rglob("*.py"))
    ]


def list_loaded_modules(code: str) -> list[str]:
    """The names of the modules that a fresh interpreter has imported after running `code`."""
    script = f"{code}\nimport json, sys\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(process.stdout.splitlines()[-1])
    return names


def list_loaded_libraries(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter has imported after running `code`."""
    return {name.split(".")[0] for name in list_loaded_modules(code)}


def test_import_contracts_are_kept() -> None:
    """The contracts in pyproject.toml hold: layers, independent stages, one door for each heavy library, no cycles."""
    command = Path(sys.executable).with_name("lint-imports")
    process = subprocess.run([command, "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout


def test_the_pipeline_has_every_stage() -> None:
    """dvc.yaml has the stage `lock`, and then the stages with a digest in synthcxr.lock, in the same order."""
    assert list(PIPELINE["stages"]) == ["lock", *import_closure.STAGE_MODULES]


@pytest.mark.parametrize("stage", import_closure.STAGE_MODULES)
def test_the_code_of_a_stage_is_a_parameter_of_it(stage: str) -> None:
    """Each stage depends on its digest in synthcxr.lock, on its section of params.yaml, and on no source file."""
    params = PIPELINE["stages"][stage]["params"]
    assert {"synthcxr.lock": [f"stages.{stage}"]} in params
    assert stage in params
    assert not [dep for dep in PIPELINE["stages"][stage].get("deps", ()) if dep.startswith("synthcxr")]


@pytest.mark.parametrize("stage", ["prepare", "generate", "report"])
def test_the_import_closure_covers_the_modules_that_a_stage_loads(stage: str) -> None:
    """Every module of the package that an interpreter loads for a stage is in its closure, except empty ones."""
    module = import_closure.STAGE_MODULES[stage]
    loaded = {
        Path(*name.split(".")) for name in list_loaded_modules(f"import {module}") if name.startswith("synthcxr.")
    }
    files = {
        path
        for name in loaded
        for path in (name.with_suffix(".py"), name / "__init__.py")
        if (REPOSITORY / path).is_file() and (REPOSITORY / path).stat().st_size
    }
    assert files
    assert files <= set(import_closure.find_closure(module))


@pytest.mark.parametrize("arguments", [[], ["generate"], ["models", "pull"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    """--help of the program and of its commands answers without loading a heavy library."""
    code = f"from synthcxr.cli.main import main\nmain({[*arguments, '--help']!r}, standalone_mode=False)"
    assert not list_loaded_libraries(code) & HEAVY_LIBRARIES


def test_generate_loads_no_library_of_tables(tmp_path: Path) -> None:
    """A plain `generate`, its checks included, waits for none of the libraries that take long to import."""
    arguments = ["generate", "--n", "1", "--out", str(tmp_path / "x")]
    code = f"from synthcxr.cli.main import main\nmain({arguments!r}, standalone_mode=False)"
    loaded = list_loaded_libraries(code)
    assert (tmp_path / "x" / "metadata.csv").is_file()
    assert not loaded & {"great_expectations", "mlflow", "pandas", "pyarrow", "scipy", "torch"}


def test_importing_the_package_loads_no_heavy_library() -> None:
    """`import synthcxr` loads nothing heavy: public names are imported when they are first used."""
    assert not list_loaded_libraries("import synthcxr") & HEAVY_LIBRARIES


def test_public_names_can_be_imported() -> None:
    """Every name of `__all__` exists and is listed by dir(); any other name is an AttributeError."""
    assert 5 <= len(synthcxr.__all__) <= 16
    assert set(synthcxr.__all__) <= set(dir(synthcxr))
    assert all(getattr(synthcxr, name) is not None for name in synthcxr.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = synthcxr.no_such_name


def test_no_file_has_a_vague_name() -> None:
    """A file name says what the file is about."""
    assert not [path for path in list_source_files() if path.stem in VAGUE_FILE_NAMES]


def test_no_file_is_long() -> None:
    """A file answers one question, in at most 320 lines."""
    n_lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in list_source_files()}
    assert not {str(path.relative_to(REPOSITORY)): n for path, n in n_lines.items() if n > MAX_LINES}


def list_bound_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a module binds, with its line: variables, attributes, parameters, functions, classes, imports.

    The fields of a TypedDict are keys of a file, not names of our choice.
    """
    file_keys = {
        id(node)
        for typed_dict in ast.walk(tree)
        if isinstance(typed_dict, ast.ClassDef) and any(ast.unparse(base) == "TypedDict" for base in typed_dict.bases)
        for node in ast.walk(typed_dict)
    }
    for node in ast.walk(tree):
        if id(node) in file_keys:
            continue
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno


def test_no_identifier_is_vague() -> None:
    """No variable, attribute, parameter, function or class has a name that says nothing about its content."""
    vague = [
        f"{path.relative_to(REPOSITORY)}:{line}: {name}"
        for path in list_source_files()
        for name, line in list_bound_names(ast.parse(path.read_text(encoding="utf-8")))
        if name.strip("_").lower() in VAGUE_IDENTIFIERS
    ]
    assert not vague, "\n".join(vague)


def list_called_functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every dotted name that a module calls, with its line; a name that is imported from a module has its full name."""
    origins = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            first, _, rest = name.partition(".")
            yield name, node.lineno
            yield f"{origins.get(first, first)}{'.' if rest else ''}{rest}", node.lineno


def test_each_format_has_one_loader() -> None:
    """Only the guarded loaders call the functions of libraries that read files."""
    calls = {
        f"{path.relative_to(REPOSITORY).as_posix()}:{line}: {name}"
        for path in (REPOSITORY / "synthcxr").rglob("*.py")
        for name, line in list_called_functions(ast.parse(path.read_text(encoding="utf-8")))
        if name in LOADERS and path.relative_to(REPOSITORY).as_posix() not in LOADERS[name]
    }
    assert not calls, "\n".join(sorted(calls))


def test_only_the_loaders_and_the_last_resort_catch_every_exception() -> None:
    """`except Exception` without `raise` is in the guards of files and packages, the CLI and the DICOM worker only."""
    broad = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (REPOSITORY / "synthcxr").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or "Exception" in ast.unparse(node.type).split())
        if not (isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None)
    }
    assert broad == {
        "synthcxr/storage/guarded_files.py",
        "synthcxr/cli/exit_codes.py",
        "synthcxr/project/extensions.py",
        "synthcxr/readers/dicom_worker.py",
    }
