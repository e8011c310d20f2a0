"""What is registered, what a model is, and a copy of it: the verbs of `synthcxr models`."""

from __future__ import annotations

import dataclasses
import datetime
import shutil
from pathlib import Path
from typing import Any

from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder, onnx_metadata
from synthcxr.project import packaged_files
from synthcxr.registry import Resolved, client, model_bundle, resolve, tracking_uri
from synthcxr.registry.model_address import STARTER
from synthcxr.storage import atomic


@dataclasses.dataclass(frozen=True)
class Listed:
    """A registered version, or the starter; `why` says what its gates came to, and what was decided.

    A `phantom` was trained on drawn films, champion or not.
    """

    address: str
    aliases: tuple[str, ...]
    created: str
    why: str
    phantom: bool = False


@dataclasses.dataclass(frozen=True)
class Shown:
    """One model: its address, where it lies, each file's contract without the network, its index and its card."""

    name: str
    path: Path
    contracts: dict[str, dict[str, Any]]
    index: dict[str, Any]
    card: str


def list_models() -> tuple[Listed, ...]:
    """Every version of synthcxr's models in the registry that is here, the newest first, then the starter."""
    uri = tracking_uri.find()
    rows = [] if uri is None else [_listed(version) for version in client.Registry.open(uri).versions()]
    if packaged_files.find(STARTER) is not None:
        rows.append(Listed(STARTER, (), "", "ships with synthcxr"))
    return tuple(rows)


def show(address: str | None) -> Shown:
    """What the model at an address is; without one, the model that `generate` would take."""
    found = resolve(address)
    contracts = {
        name: _contract(found.path / name) for name in model_folder.ONNX_FILES if (found.path / name).is_file()
    }
    index, card = found.path / model_folder.INDEX, found.path / model_bundle.CARD
    return Shown(
        name=str(found),
        path=found.path,
        contracts=contracts,
        index=model_folder.read(found.path) if index.is_file() else {},
        card=card.read_text(encoding="utf-8") if card.is_file() else "",
    )


def pull(address: str | None, *, out: Path) -> Resolved:
    """Copy a model to the folder `out`, verified, whole or not at all; the same model again changes nothing."""
    found = resolve(address)
    if not (found.path / model_folder.INDEX).is_file():
        raise ArtifactError(
            f"{found.path}: has no {model_folder.INDEX} to verify a copy by; export it with `synthcxr export`"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if _holds(out, found.path):
            return Resolved(out, found.name, "already there")
        raise ArtifactError(f"{out}: holds something else; choose another --out")
    with atomic.folder(out) as partial:
        for name in (*model_folder.read(found.path)["files"], model_folder.INDEX):
            shutil.copyfile(found.path / name, partial / name)
        model_folder.verify(partial)
    return Resolved(out, found.name, found.note)


def _holds(out: Path, source: Path) -> bool:
    held, wanted = out / model_folder.INDEX, source / model_folder.INDEX
    if not held.is_file() or held.read_bytes() != wanted.read_bytes():
        return False
    model_folder.verify(out)
    return True


def _listed(version: client.Version) -> Listed:
    created = datetime.datetime.fromtimestamp(version.created_ms / 1000, tz=datetime.UTC)
    return Listed(
        address=f"models:/{version.name}/{version.version}",
        aliases=version.aliases,
        created=created.isoformat(sep=" ", timespec="seconds"),
        why=version.tags.get(client.DECISION_WHY_TAG) or version.tags.get(client.WHY_TAG, ""),
        phantom=version.tags.get(client.PHANTOM_TAG) == "true",
    )


def _contract(path: Path) -> dict[str, Any]:
    fields = dataclasses.asdict(onnx_metadata.read(path))
    return {key: value for key, value in fields.items() if key != "network"}
