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

from synthcxr.data.film_dataset import Dataset
from synthcxr.data.pyramid import SMALLEST
from synthcxr.errors import ArtifactError

LEARNED = ("train", "judge", "val")
"""The splits that models learn from, or are chosen and set by."""
PUBLIC = "nih"  # the reader whose patients' numbers are public
FILE = "seen.npz"
_FILMS, _PATIENTS, _TRAINING_DATA = "films", "patients", "training_data"
_NOW, _EARLIER = "seen_", "earlier_"

Digests = NDArray[np.uint64]


@dataclasses.dataclass(frozen=True)
class Seen:
    """Digests of films and of public patients, each uint64 [n], of the dataset with fingerprint `training_data`."""

    training_data: str
    films: Digests
    patients: Digests

    def arrays(self, earlier: Seen | None = None) -> dict[str, Any]:
        """As arrays of an .npz file, sorted, so that their order tells nothing.

        `earlier` is what a model had seen that the training of this one went on from.
        """
        held = {_NOW: self} if earlier is None else {_NOW: self, _EARLIER: earlier}
        arrays = {f"{when}{_FILMS}": np.unique(seen.films) for when, seen in held.items()}
        arrays |= {f"{when}{_PATIENTS}": np.unique(seen.patients) for when, seen in held.items()}
        return arrays | {_TRAINING_DATA: np.array(self.training_data)}

    def joined(self, other: Seen) -> Seen:
        """These and the others."""
        films, patients = (
            np.concatenate(pair) for pair in ((self.films, other.films), (self.patients, other.patients))
        )
        return Seen(self.training_data, films, patients)

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
            return Seen(str(held[_TRAINING_DATA]), held[_NOW + _FILMS], held[_NOW + _PATIENTS])
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; export or pull the models again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path}: does not say which films the models saw; export the models again") from error


def read_earlier(path: Path) -> Seen:
    """What had been seen before the training that an .npz file tells of; nothing where it does not say."""
    nothing = np.empty(0, np.uint64)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return Seen("", held[_EARLIER + _FILMS], held[_EARLIER + _PATIENTS])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return Seen("", nothing, nothing)


def _digests(values: Iterable[bytes]) -> Digests:
    short = b"".join(hashlib.sha256(value).digest()[:8] for value in values)
    return np.frombuffer(short, dtype="<u8").astype(np.uint64)
