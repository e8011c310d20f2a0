"""From a model's address to a verified folder on this machine.

A folder, an .onnx file, models:/name@alias, models:/name/3, runs:/id/path; without an address the champion of the
registry that is here, else the starter that ships. Nothing is made in the current folder.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.project import packaged_files
from synthcxr.registry import tracking_uri

if TYPE_CHECKING:
    from synthcxr.registry.client import Registry

GENERATOR = "synthcxr-generator"
CHAMPION = "champion"
CANDIDATE = "candidate"
STARTER = "starter"
_BY_ALIAS = re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[^/@]+)")
_BY_NUMBER = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)")
_BY_RUN = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)")
_FORMS = "a folder, an .onnx file, models:/name@alias, models:/name/3 or runs:/id/path"


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A verified model folder. `name` is the address that finds the same one again; `note` says how it was chosen."""

    path: Path
    name: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.note})" if self.note else self.name


def resolve(address: str | None) -> Resolved:
    """The model folder that `address` means; ArtifactError says what to type where there is none."""
    if not address:
        return _default()
    if address.startswith("models:"):
        return _registered(address)
    if address.startswith("runs:"):
        return _logged(address)
    return _file(address)


def _default() -> Resolved:
    uri = tracking_uri.find()
    note = "ships with synthcxr"
    if uri is not None:
        registry = _open(uri)
        number = registry.aliases(GENERATOR).get(CHAMPION)
        if number is not None:
            return _version(registry, GENERATOR, number, note=CHAMPION)
        note = f"{tracking_uri.shown(uri)} has no champion"
    starter = packaged_files.find(STARTER)
    if starter is None:
        todo = (
            f"`dvc repro` in a project makes one; else go to the folder that holds {tracking_uri.EMBEDDED}, set"
            f" {tracking_uri.VARIABLE} to a server, or give `--model` a folder"
            if uri is None
            else f"name one, such as `--model models:/{GENERATOR}@{CANDIDATE}`"
        )
        held = "no registry here" if uri is None else note
        raise ArtifactError(f"no model: {held}, and no starter ships with this install; {todo}")
    model_folder.verify(starter)
    return Resolved(starter, STARTER, note)


def _registered(address: str) -> Resolved:
    by_alias, by_number = _BY_ALIAS.fullmatch(address), _BY_NUMBER.fullmatch(address)
    if by_number:
        return _version(_here(address), by_number["name"], by_number["version"])
    if by_alias is None:
        raise ArtifactError(f"{address}: no model address; one is {_FORMS}")
    name, alias = by_alias["name"], by_alias["alias"]
    registry = _here(address)
    aliases = registry.aliases(name)
    if alias not in aliases:
        held = ", ".join(f"{one} (version {number})" for one, number in sorted(aliases.items()))
        known = f"its aliases: {held}" if held else "`synthcxr models list` shows what is registered"
        raise ArtifactError(f"{address}: not in {tracking_uri.shown(registry.uri)}; {known}")
    return _version(registry, name, aliases[alias], note=alias)


def _logged(address: str) -> Resolved:
    parts = _BY_RUN.fullmatch(address)
    if parts is None:
        raise ArtifactError(f"{address}: no model address; one is {_FORMS}")
    return Resolved(_here(address).run_folder(parts["run"], parts["path"].rstrip("/")), address)


def _version(registry: Registry, name: str, number: str, note: str = "") -> Resolved:
    return Resolved(registry.folder(registry.version(name, number)), f"models:/{name}/{number}", note)


def _here(address: str) -> Registry:
    uri = tracking_uri.find()
    if uri is None:
        raise ArtifactError(
            f"{address}: no registry here; go to the folder that holds {tracking_uri.EMBEDDED}"
            f" or set {tracking_uri.VARIABLE} to a server"
        )
    return _open(uri)


def _open(uri: str) -> Registry:
    from synthcxr.registry.client import Registry  # MLflow takes seconds to import: a folder needs none of it

    return Registry.open(uri)


def _file(address: str) -> Resolved:
    path = Path(address)
    starter = packaged_files.find(STARTER)
    if address == STARTER and starter is not None and not path.exists():
        path = starter
    if path.suffix == ".onnx" and path.is_file():
        if path.name not in model_folder.ONNX_FILES:
            raise ArtifactError(
                f"{path}: a model file is named {', '.join(model_folder.ONNX_FILES)}; rename it or give its folder"
            )
        path = path.parent
    if not path.is_dir():
        raise ArtifactError(f"{address}: no such model; an address is {_FORMS}")
    if not any((path / name).is_file() for name in model_folder.ONNX_FILES):
        raise ArtifactError(
            f"{path}: holds no {', '.join(model_folder.ONNX_FILES)}; run `synthcxr export` or pull a model"
        )
    if (path / model_folder.INDEX).is_file():
        model_folder.verify(path)
    return Resolved(path, address)
