"""The files of a model folder, and model.json, its index: the sha256 of each file and the attribution of the films."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthcxr.errors import ArtifactError, DataError
from synthcxr.storage import digests, json_files

INDEX_FILE = "model.json"
GENERATOR_FILE, CLASSIFIER_FILE, JUDGE_FILE = "generator.onnx", "classifier.onnx", "judge.onnx"
ONNX_FILES = (GENERATOR_FILE, CLASSIFIER_FILE, JUDGE_FILE)
PROPOSAL_FILE, PROPOSAL_REPORT_FILE = "proposal.onnx", "proposal.json"
PROPOSAL_FILES = (PROPOSAL_FILE, PROPOSAL_REPORT_FILE)
"""The files that `distill` adds to an export; a folder may lack them."""


def read_index(folder: Path) -> dict[str, Any]:
    """Read model.json; ArtifactError if it is absent or is not an index."""
    try:
        index = json_files.read_json(folder / INDEX_FILE)
    except DataError as error:
        raise ArtifactError(f"{error}; export or pull the models again") from error
    if not isinstance(index, dict) or not isinstance(index.get("files"), dict):
        raise ArtifactError(f"{folder / INDEX_FILE}: lists no files; export or pull the models again")
    return index


def read_attribution(folder: Path) -> tuple[str, ...]:
    """Read the attributions that the sources of the training films require; empty for a folder without an index."""
    if not (folder / INDEX_FILE).is_file():
        return ()
    return tuple(map(str, read_index(folder).get("attribution", ())))


def verify_files(folder: Path) -> None:
    """Check the sha256 of every file in the index; ArtifactError for the first that is absent or differs."""
    for name, entry in sorted(read_index(folder)["files"].items()):
        path = folder / name
        if Path(name).name != name or name == "..":
            raise ArtifactError(f"{folder / INDEX_FILE}: {name!r} is not a file name; export or pull the models again")
        if not path.is_file():
            raise ArtifactError(f"{path}: is listed in {INDEX_FILE} but absent; export or pull the models again")
        if digests.sha256_file(path) != entry.get("sha256"):
            raise ArtifactError(f"{path}: its sha256 differs from {INDEX_FILE}; export or pull the models again")
