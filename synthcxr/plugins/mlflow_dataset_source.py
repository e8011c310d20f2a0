"""A packed or generated dataset as the input of an MLflow run, found again by its path and digest.

MLflow loads this module while it is imported itself: nothing heavy stands at the top of it.
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
_DIGITS = 16


@dataclasses.dataclass(frozen=True)
class FolderSource(DatasetSource):
    """A folder of films or images; `path` is relative to the project where it lies in it, "" where it was not told."""

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
        return cls.of(Path(str(raw_source).removeprefix(SCHEME)))

    @classmethod
    def of(cls, folder: Path) -> FolderSource:
        """The source that a folder is; DataError where it holds no dataset."""
        here = Path.cwd()
        path = folder.absolute()
        return cls(str(path.relative_to(here) if path.is_relative_to(here) else path), _digest(folder))

    def load(self) -> Path:
        """The folder, if it still holds what was logged; DataError says what it lacks."""
        from synthcxr.errors import DataError

        if not self.path:
            raise DataError(f"films {self.digest}: the run names them by their fingerprint alone, not by a path")
        folder = Path(self.path)
        found = _digest(folder)
        if found != self.digest:
            raise DataError(f"{folder}: holds {found} now, the run used {self.digest}; `dvc checkout` brings it back")
        return folder

    def to_dict(self) -> dict[str, Any]:
        """What a run keeps of it."""
        return {"path": self.path, "fingerprint": self.digest}

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> FolderSource:
        """The source that a run kept; `register` keeps a fingerprint alone."""
        return cls(str(source_dict.get("path", "")), str(source_dict["fingerprint"]))


def as_input(folder: Path | str) -> Dataset:
    """What `mlflow.log_input` takes: the dataset in a folder, with its digest and how many of what it holds."""
    from mlflow.data.dataset import Dataset

    class FolderDataset(Dataset):
        """Source, digest and profile of a folder."""

        def _compute_digest(self) -> str:
            return source.digest

        @property
        def profile(self) -> dict[str, Any]:
            return _profile(Path(folder))

        @property
        def schema(self) -> None:
            return None

        def to_dict(self) -> dict[str, str]:
            return super().to_dict() | {"profile": json.dumps(self.profile)}

    source = FolderSource.of(Path(folder))
    return FolderDataset(source, name=Path(folder).absolute().name)


def _is_packed(folder: Path) -> bool:
    from synthcxr.data import records

    return (folder / records.MANIFEST).is_file()


def _digest(folder: Path) -> str:
    """Sixteen digits: the fingerprint of packed films, or those of a generated dataset's metadata.csv."""
    from synthcxr.data import records
    from synthcxr.storage import digests

    if _is_packed(folder):
        return records.films_fingerprint(records.read_films(folder))
    records.read_metadata(folder)
    return digests.sha256_file(folder / records.METADATA)[:_DIGITS]


def _profile(folder: Path) -> dict[str, Any]:
    """How many films or images there are, and how many show each finding."""
    from synthcxr.data import findings, records

    if _is_packed(folder):
        films = records.read_films(folder)
        counts = {name: int((films[name] == 1).sum()) for name in findings.FINDINGS}
        return {"n_films": len(films), "n_patients": int(films["patient_id"].nunique()), "findings": counts}
    held = records.read_records(folder)
    counts = {name: sum(name in one.findings for one in held) for name in (findings.NO_FINDING, *findings.FINDINGS)}
    return {"n_images": len(held), "findings": counts}
