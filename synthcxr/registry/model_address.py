"""Resolve a model address to a verified folder on this machine.

An address is a folder, an .onnx file, models:/name@alias, models:/name/3 or runs:/id/path. The default is the champion
of the registry, else the starter that ships with synthcxr. Resolving writes nothing in the current folder.
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
from synthcxr.storage.sqlite_store import UnfinishedStoreError

if TYPE_CHECKING:
    from synthcxr.registry.client import Registry

GENERATOR_MODEL = "synthcxr-generator"
CHAMPION = "champion"
CANDIDATE = "candidate"
STARTER = "starter"
_BY_ALIAS = re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[^/@]+)")
_BY_NUMBER = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)")
_BY_RUN = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)")
_FORMS = "a folder, an .onnx file, models:/name@alias, models:/name/3 or runs:/id/path"


@dataclasses.dataclass(frozen=True)
class ResolvedModel:
    """A verified model folder. `address` resolves to the same folder again; `note` says why it was chosen."""

    path: Path
    address: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.address} ({self.note})" if self.note else self.address


def resolve_model(address: str | None) -> ResolvedModel:
    """Return the model folder of an address; ArtifactError says what to type if there is none."""
    if not address:
        return _resolve_default()
    if address.startswith("models:"):
        return _resolve_registered(address)
    if address.startswith("runs:"):
        return _resolve_logged(address)
    return _resolve_path(address)


def _resolve_default() -> ResolvedModel:
    uri = tracking_uri.find()
    note = "ships with synthcxr"
    if uri is not None:
        note = f"{tracking_uri.redact(uri)} has no champion"
        try:
            registry = _open_registry(uri)
        except UnfinishedStoreError:
            number = None
        else:
            number = registry.get_aliases(GENERATOR_MODEL).get(CHAMPION)
        if number is not None:
            champion = _fetch_version(registry, GENERATOR_MODEL, number, note=CHAMPION)
            if model_folder.read_complete_index(champion.path)["phantom"]:
                note = f"{CHAMPION}, trained on drawn phantoms; `--model {STARTER}` is the one that ships"
                champion = dataclasses.replace(champion, note=note)
            return champion
    starter = packaged_files.find(STARTER)
    if starter is None:
        problem, advice = note, f"name a version, such as `--model models:/{GENERATOR_MODEL}@{CANDIDATE}`"
        if uri is None:
            problem = "no registry here"
            advice = (
                f"run `dvc repro` in a project, go to the folder that contains {tracking_uri.EMBEDDED_DATABASE},"
                f" set {tracking_uri.URI_VARIABLE} to a server, or give `--model` a folder"
            )
        raise ArtifactError(f"no model: {problem}, and this install contains no starter; {advice}")
    model_folder.verify_files(starter)
    return ResolvedModel(starter, STARTER, note)


def _resolve_registered(address: str) -> ResolvedModel:
    by_alias, by_number = _BY_ALIAS.fullmatch(address), _BY_NUMBER.fullmatch(address)
    if by_number:
        return _fetch_version(_require_registry(address), by_number["name"], by_number["version"])
    if by_alias is None:
        raise ArtifactError(f"{address}: not a model address; give {_FORMS}")
    name, alias = by_alias["name"], by_alias["alias"]
    registry = _require_registry(address)
    aliases = registry.get_aliases(name)
    if alias not in aliases:
        listing = ", ".join(f"{known} (version {number})" for known, number in sorted(aliases.items()))
        hint = f"its aliases: {listing}" if listing else "`synthcxr models list` shows what is registered"
        raise ArtifactError(f"{address}: not in {tracking_uri.redact(registry.uri)}; {hint}")
    return _fetch_version(registry, name, aliases[alias], note=alias)


def _resolve_logged(address: str) -> ResolvedModel:
    match = _BY_RUN.fullmatch(address)
    if match is None:
        raise ArtifactError(f"{address}: not a model address; give {_FORMS}")
    return ResolvedModel(_require_registry(address).fetch_run_model(match["run"], match["path"].rstrip("/")), address)


def _fetch_version(registry: Registry, name: str, number: str, note: str = "") -> ResolvedModel:
    return ResolvedModel(registry.fetch_model(registry.get_version(name, number)), f"models:/{name}/{number}", note)


def _require_registry(address: str) -> Registry:
    uri = tracking_uri.find()
    if uri is None:
        raise ArtifactError(
            f"{address}: no registry here; go to the folder that contains {tracking_uri.EMBEDDED_DATABASE}"
            f" or set {tracking_uri.URI_VARIABLE} to a server"
        )
    return _open_registry(uri)


def _open_registry(uri: str) -> Registry:
    from synthcxr.registry.client import Registry  # MLflow takes seconds to import, and a folder does not need it

    return Registry.open(uri)


def _resolve_path(address: str) -> ResolvedModel:
    path = Path(address)
    try:
        path.stat()
    except (OSError, ValueError) as error:  # such as a name that is too long
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise ArtifactError(f"{address}: not a path that can be read ({error}); give {_FORMS}") from error
    starter = packaged_files.find(STARTER)
    if address == STARTER and starter is not None and not path.exists():
        path = starter
    names = ", ".join(model_folder.ONNX_FILES)
    if path.suffix == ".onnx" and path.is_file():
        if path.name not in model_folder.ONNX_FILES:
            raise ArtifactError(f"{path}: a model file must be named {names}; rename it or give its folder")
        path = path.parent
    if not path.is_dir():
        raise ArtifactError(f"{address}: no such model; give {_FORMS}")
    if not any((path / name).is_file() for name in model_folder.ONNX_FILES):
        raise ArtifactError(f"{path}: contains no {names}; run `synthcxr export` or `synthcxr models pull`")
    if (path / model_folder.INDEX_FILE).is_file():
        model_folder.verify_files(path)
    return ResolvedModel(path, address)
