"""List registered models, describe one, and copy one: `synthcxr models list`, `show`, `card` and `pull`."""

from __future__ import annotations

import dataclasses
import datetime
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder, onnx_metadata
from synthcxr.project import packaged_files
from synthcxr.registry import ResolvedModel, resolve_model, tracking_uri
from synthcxr.registry.model_address import STARTER
from synthcxr.storage import atomic, guarded_files, output_lock
from synthcxr.storage.progress import track

if TYPE_CHECKING:
    from synthcxr.registry.client import Version

_JSON_KEYS = {"metadata": "contracts"}  # where they differ from the field's name


@dataclasses.dataclass(frozen=True)
class ListedModel:
    """A registered version, or the starter model; `why` is the outcome of its gates or of a later decision.

    A `phantom` model was trained on drawn films.
    """

    address: str
    aliases: tuple[str, ...]
    created: str
    why: str
    phantom: bool = False

    def format_line(self) -> str:
        """The fields that are not empty, in one line."""
        phantom = "trained on drawn phantoms" if self.phantom else ""
        return "  ".join(filter(None, (self.address, ",".join(self.aliases), self.created, phantom, self.why)))


@dataclasses.dataclass(frozen=True)
class ModelDetails:
    """One model: its address and folder, the metadata of each ONNX file without its network, its index and its card."""

    name: str
    path: Path
    metadata: dict[str, dict[str, Any]]
    index: dict[str, Any]
    card: str

    def as_dict(self) -> dict[str, Any]:
        """The JSON object that `--json` prints."""
        return {_JSON_KEYS.get(name, name): value for name, value in dataclasses.asdict(self).items()}


def list_models() -> tuple[ListedModel, ...]:
    """All versions of synthcxr's models in the registry of this folder, newest first, then the starter model."""
    uri = tracking_uri.find()
    rows = []
    if uri is not None:
        from synthcxr.registry.client import Registry  # MLflow takes seconds to import

        rows = [_describe_version(version) for version in Registry.open(uri).list_versions()]
    if packaged_files.find(STARTER) is not None:
        rows.append(ListedModel(STARTER, (), "", "ships with synthcxr"))
    return tuple(rows)


def _refuse_other_content(out: Path) -> None:
    """Raise ArtifactError if `out` contains files and is no copy of a model."""
    if out.exists() and not (out.is_dir() and ((out / model_folder.INDEX_FILE).is_file() or not any(out.iterdir()))):
        raise ArtifactError(f"{out}: contains something else; choose another --out")


def show(address: str | None) -> ModelDetails:
    """Describe the model at an address; without one, the model that `generate` uses."""
    from synthcxr.registry import model_card

    model = resolve_model(address)
    files = [model.path / name for name in model_folder.ONNX_FILES if (model.path / name).is_file()]
    index_file, card_file = model.path / model_folder.INDEX_FILE, model.path / model_card.CARD_FILE
    return ModelDetails(
        name=str(model),
        path=model.path,
        metadata={path.name: _read_metadata(path) for path in files},
        index=dict(model_folder.read_index(model.path)) if index_file.is_file() else {},
        card=guarded_files.read_text(card_file, error=ArtifactError, advice="pull the model again")
        if card_file.is_file()
        else "",
    )


@output_lock.replaces_folder(_refuse_other_content)
def pull(address: str | None, *, out: Path) -> ResolvedModel:
    """Copy a model to the folder `out` and verify it; the folder is complete or absent.

    Copying the same model again changes nothing. ArtifactError if `out` contains anything else.
    """
    model = resolve_model(address)
    if not (model.path / model_folder.INDEX_FILE).is_file():
        raise ArtifactError(
            f"{model.path}: has no {model_folder.INDEX_FILE} to verify a copy with; export the model with"
            " `synthcxr export`"
        )
    atomic.finish_rename(out)
    if out.exists() and any(out.iterdir()):
        if _contains_copy(out, model.path):
            return ResolvedModel(out, model.address, "already there")
        raise ArtifactError(f"{out}: contains something else; choose another --out")
    with atomic.open_folder(out) as partial:
        names = (*model_folder.read_index(model.path)["files"], model_folder.INDEX_FILE)
        for name in track(names, "copying", unit="files"):
            shutil.copyfile(model.path / name, partial / name)
        model_folder.verify_files(partial)
    return ResolvedModel(out, model.address, model.note)


def _contains_copy(out: Path, source: Path) -> bool:
    copy, original = out / model_folder.INDEX_FILE, source / model_folder.INDEX_FILE
    if not copy.is_file() or copy.read_bytes() != original.read_bytes():
        return False
    model_folder.verify_files(out)
    return True


def _describe_version(version: Version) -> ListedModel:
    from synthcxr.registry import client

    created = datetime.datetime.fromtimestamp(version.created_ms / 1000, tz=datetime.UTC)
    return ListedModel(
        address=f"models:/{version.name}/{version.version}",
        aliases=version.aliases,
        created=created.isoformat(sep=" ", timespec="seconds"),
        why=version.tags.get(client.DECISION_WHY_TAG) or version.tags.get(client.WHY_TAG, ""),
        phantom=version.tags.get(client.PHANTOM_TAG) == "true",
    )


def _read_metadata(path: Path) -> dict[str, Any]:
    fields = dataclasses.asdict(onnx_metadata.read(path))
    return {key: value for key, value in fields.items() if key != "network"}
