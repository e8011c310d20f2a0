"""The folder of one model version: its ONNX files, weights to go on from, reference and card, each with its sha256."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr.model_files import model_folder
from synthcxr.storage import digests, json_files

CARD = "README.md"
FOLDER = "model"
_NONE: Mapping[str, str] = {}


def card_of(kind: str) -> str:
    """The name of a labeller's card in its generator's folder."""
    return f"{kind}.md"


def build(
    parent: Path,
    *,
    index: Mapping[str, Any],
    files: Mapping[str, Path],
    card: str,
    cards: Mapping[str, str] = _NONE,
) -> Path:
    """Copy `files` (name: source) and the card into the new folder `parent`/model, and write its model.json last.

    `cards` are those of models that come with this one, by file name. Entries that `index` (the exported model.json)
    has of a file are kept, the others are written from the file.
    """
    out = parent / FOLDER
    out.mkdir(parents=True)
    for name, source in files.items():
        shutil.copyfile(source, out / name)
    texts = {CARD: card} | dict(cards)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")
    known = index["files"]
    entries = {name: known.get(name, {"kind": _kind(name)}) | _sha256(out / name) for name in (*files, *texts)}
    json_files.write_json(out / model_folder.INDEX, dict(index) | {"files": entries})
    return out


def _sha256(path: Path) -> dict[str, str]:
    return {"sha256": digests.sha256_file(path)}


def _kind(name: str) -> str:
    return {".safetensors": "weights", ".md": "card", ".npz": "reference"}.get(Path(name).suffix, "config")
