"""Which films models have seen, as digests that name nobody, and how many of other films are among them.

A film is known by its smallest packed square (4 x 4): the same however it is called, split, labelled or at which
resolution it is packed, and nothing that a list of names could be tried against. Patients are compared where their
numbers are public, those of NIH ChestX-ray14: the short number of anybody else's patient would be found again from
its digest by trying all numbers, so none of them leaves its project.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.dataset import Dataset
from synthcxr.errors import ArtifactError
from synthcxr.packing import SMALLEST

LEARNED = ("train", "judge", "val")
"""The splits that models learn from, or are chosen and set by."""
PUBLIC = "nih"  # the reader whose patients' numbers are public
_FILMS, _PATIENTS, _TRAINING_DATA = "seen_films", "seen_patients", "training_data"

Digests = NDArray[np.uint64]


@dataclasses.dataclass(frozen=True)
class Seen:
    """Digests of films and of public patients, each uint64 [n], of the dataset with fingerprint `training_data`."""

    training_data: str
    films: Digests
    patients: Digests

    def arrays(self) -> dict[str, Any]:
        """As arrays of an .npz file, sorted, so that their order tells nothing."""
        films, patients = np.unique(self.films), np.unique(self.patients)
        return {_FILMS: films, _PATIENTS: patients, _TRAINING_DATA: np.array(self.training_data)}

    def among(self, others: Seen) -> tuple[int, int]:
        """How many of these films, and of these patients, are among `others`."""
        return int(np.isin(self.films, others.films).sum()), int(np.isin(self.patients, others.patients).sum())


def of(films: Dataset, splits: Sequence[str]) -> Seen:
    """The films of these splits and their patients; blank films, which tell nothing, are left out."""
    at = films.indices(SMALLEST, splits)
    squares = np.asarray(films.memmap(SMALLEST)[at])
    public = films.films["source"].isin(sorted(films.sources_of(PUBLIC))).to_numpy(dtype=bool)
    rows = films.rows(SMALLEST)[at]
    patients = sorted(set(films.patients(rows[public[rows]])))
    return Seen(
        training_data=films.fingerprint,
        films=_digests(square.tobytes() for square in squares if square.min() < square.max()),
        patients=_digests(f"{PUBLIC}:{patient}".encode() for patient in patients),
    )


def read(path: Path) -> Seen:
    """What `arrays` put into an .npz file; ArtifactError where it is absent or holds none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return Seen(str(held[_TRAINING_DATA]), held[_FILMS], held[_PATIENTS])
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; export or pull the models again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path}: does not say which films the models saw; export the models again") from error


def _digests(values: Iterable[bytes]) -> Digests:
    short = b"".join(hashlib.sha256(value).digest()[:8] for value in values)
    return np.frombuffer(short, dtype="<u8").astype(np.uint64)
