"""Log a packed or generated dataset as the input of an MLflow run, and load it again by its path and digest.

MLflow loads this module during its own import, so the module imports nothing heavy at the top.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.data.dataset_source import DatasetSource

if TYPE_CHECKING:
    from mlflow.data.dataset import Dataset

SCHEME = "synthcxr:"
_DIGEST_LENGTH = 16


@dataclasses.dataclass(frozen=True)
class FolderSource(DatasetSource):
    """A folder of films or images; `path` is relative to the project if the folder is inside it, "" if unknown."""

    path: str
    digest: str

    @staticmethod
    def _get_source_type() -> str:
        return "synthcxr"

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return isinstance(raw_source, str) and raw_source.startswith(SCHEME)

    @classmethod
    def _resolve(cls, raw_source: Any) -> FolderSource:
        return cls.from_folder(Path(str(raw_source).removeprefix(SCHEME)))

    @classmethod
    def from_folder(cls, folder: Path) -> FolderSource:
        """Return the source of a folder; DataError if it contains no dataset."""
        project = Path.cwd()
        path = folder.absolute()
        return cls(str(path.relative_to(project) if path.is_relative_to(project) else path), _compute_digest(folder))

    def load(self) -> Path:
        """Return the folder if it still contains what was logged; DataError says what differs."""
        from synthcxr.errors import DataError

        if not self.path:
            raise DataError(f"films {self.digest}: the run has their fingerprint but no path")
        folder = Path(self.path)
        digest = _compute_digest(folder)
        if digest != self.digest:
            raise DataError(
                f"{folder}: has digest {digest}, the run used {self.digest}; restore it with `dvc checkout`"
            )
        return folder

    def to_dict(self) -> dict[str, Any]:
        """Return what a run stores of the source."""
        return {"path": self.path, "fingerprint": self.digest}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> FolderSource:
        """Return the source that a run stored; `register` stores only a fingerprint. DataError if that is missing."""
        from synthcxr.errors import DataError

        path, fingerprint = source_dict.get("path", ""), source_dict.get("fingerprint")
        if not isinstance(path, str) or not isinstance(fingerprint, str) or "\0" in path:
            raise DataError("the source of a dataset that the run stored has no fingerprint, or a path that is no text")
        return cls(path, fingerprint)


def from_folder(folder: Path | str) -> Dataset:
    """Return the dataset in a folder for `mlflow.log_input`, with its digest and the counts of its findings."""
    from mlflow.data.dataset import Dataset

    class FolderDataset(Dataset):
        """Source, digest and profile of a folder."""

        def _compute_digest(self) -> str:
            return source.digest

        @property
        def profile(self) -> dict[str, Any]:
            return _build_profile(Path(folder))

        @property
        def schema(self) -> None:
            return None

        def to_dict(self) -> dict[str, str]:
            return super().to_dict() | {"profile": json.dumps(self.profile)}

    source = FolderSource.from_folder(Path(folder))
    return FolderDataset(source, name=Path(folder).absolute().name)


def _is_packed(folder: Path) -> bool:
    from synthcxr.data.films import MANIFEST_FILE

    return (folder / MANIFEST_FILE).is_file()


def _compute_digest(folder: Path) -> str:
    """Return 16 hex digits: the fingerprint of packed films, or the start of the sha256 of metadata.csv."""
    from synthcxr.data.films import fingerprint_films, read_film_manifest
    from synthcxr.data.synthetic_dataset import METADATA_FILE, read_metadata
    from synthcxr.storage import digests

    if _is_packed(folder):
        return fingerprint_films(read_film_manifest(folder))
    read_metadata(folder)
    return digests.sha256_file(folder / METADATA_FILE)[:_DIGEST_LENGTH]


def _build_profile(folder: Path) -> dict[str, Any]:
    """Count the films or images, and those with each finding."""
    from synthcxr.data.films import read_film_manifest
    from synthcxr.data.findings import FINDINGS, NO_FINDING
    from synthcxr.data.synthetic_dataset import read_image_records

    if _is_packed(folder):
        films = read_film_manifest(folder)
        counts = {name: int((films[name] == 1).sum()) for name in FINDINGS}
        return {"n_films": len(films), "n_patients": int(films["patient_id"].nunique()), "findings": counts}
    images = read_image_records(folder)
    counts = {name: sum(name in image.findings for image in images) for name in (NO_FINDING, *FINDINGS)}
    return {"n_images": len(images), "findings": counts}
