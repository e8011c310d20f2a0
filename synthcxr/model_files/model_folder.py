"""model.json: what a folder of models holds, each file with its sha256, and whose films the models learned from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synthcxr.errors import ArtifactError, DataError
from synthcxr.storage import digests, json_files

INDEX = "model.json"
ONNX_FILES = ("generator.onnx", "classifier.onnx", "judge.onnx")
PROPOSAL_FILES = ("proposal.onnx", "proposal.json")
"""What `distill` adds to an export; a folder may lack them."""


def read(folder: Path) -> dict[str, Any]:
    """The folder's model.json; ArtifactError where it is absent or is not one."""
    try:
        index = json_files.read_json(folder / INDEX)
    except DataError as error:
        raise ArtifactError(f"{error}; export or pull the models again") from error
    if not isinstance(index, dict) or not isinstance(index.get("files"), dict):
        raise ArtifactError(f"{folder / INDEX}: lists no files; export or pull the models again")
    return index


def attribution(folder: Path) -> tuple[str, ...]:
    """What the sources of the models' films ask to be said; nothing for bare ONNX files, which have no index."""
    return tuple(map(str, read(folder).get("attribution", ()))) if (folder / INDEX).is_file() else ()


def verify(folder: Path) -> None:
    """Check every file that model.json lists against its sha256; ArtifactError names the first that differs."""
    for name, entry in sorted(read(folder)["files"].items()):
        path = folder / name
        if Path(name).name != name or name == "..":
            raise ArtifactError(f"{folder / INDEX}: {name!r} is no plain file name")
        if not path.is_file():
            raise ArtifactError(f"{path}: is listed in {INDEX} but absent; pull or export it again")
        if digests.sha256_file(path) != entry.get("sha256"):
            raise ArtifactError(f"{path}: sha256 differs from {INDEX}; pull or export it again")
