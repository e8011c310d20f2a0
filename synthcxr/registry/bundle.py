"""The folder of one model version: its ONNX files, weights to go on from, reference and card, each with its sha256."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr import records
from synthcxr.errors import ArtifactError, DataError

INDEX = "model.json"
CARD = "README.md"
FOLDER = "model"
ONNX_FILES = ("generator.onnx", "classifier.onnx", "judge.onnx")


def read_index(folder: Path) -> dict[str, Any]:
    """The folder's model.json; ArtifactError where it is absent or is not one."""
    try:
        index = records.read_json(folder / INDEX)
    except DataError as error:
        raise ArtifactError(f"{error}; export or pull the models again") from error
    if not isinstance(index, dict) or not isinstance(index.get("files"), dict):
        raise ArtifactError(f"{folder / INDEX}: lists no files; export or pull the models again")
    return index


def verify(folder: Path) -> None:
    """Check every file that model.json lists against its sha256; ArtifactError names the first that differs."""
    for name, entry in sorted(read_index(folder)["files"].items()):
        path = folder / name
        if Path(name).name != name or name == "..":
            raise ArtifactError(f"{folder / INDEX}: {name!r} is no plain file name")
        if not path.is_file():
            raise ArtifactError(f"{path}: is listed in {INDEX} but absent; pull or export it again")
        if records.sha256_file(path) != entry.get("sha256"):
            raise ArtifactError(f"{path}: sha256 differs from {INDEX}; pull or export it again")


def build(parent: Path, *, index: Mapping[str, Any], files: Mapping[str, Path], card: str) -> Path:
    """Copy `files` (name: source) and the card into the new folder `parent`/model, and write its model.json last.

    Entries that `index` (the exported model.json) has of a file are kept, the others are written from the file.
    """
    out = parent / FOLDER
    out.mkdir(parents=True)
    for name, source in files.items():
        shutil.copyfile(source, out / name)
    (out / CARD).write_text(card, encoding="utf-8")
    known = index["files"]
    entries = {name: known.get(name, {"kind": _kind(name)}) | _sha256(out / name) for name in (*files, CARD)}
    records.write_json(out / INDEX, dict(index) | {"files": entries})
    return out


def _sha256(path: Path) -> dict[str, str]:
    return {"sha256": records.sha256_file(path)}


def _kind(name: str) -> str:
    return {".safetensors": "weights", ".md": "card", ".npz": "reference"}.get(Path(name).suffix, "config")
