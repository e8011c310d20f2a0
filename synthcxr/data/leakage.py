"""Test leakage: which films models have seen in training, and whether films to test them with are among these.

Models carry digests of their training films that identify nobody. A film is known by its smallest packed square
(4 x 4 px), which does not depend on its name, split, labels or packed resolution, and which nobody can find by trying
a list of names. `prepare` puts films that are equal by this measure into one split (`same_films`). Patients are
compared only where their numbers are public (NIH ChestX-ray14): the short patient number of another source could be
recovered from its digest by trying all numbers, so none leaves its project.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.pyramid import SMALLEST_SIDE
from synthcxr.data.same_films import has_contrast
from synthcxr.errors import ArtifactError, DataError
from synthcxr.storage import numpy_files
from synthcxr.storage.numpy_files import ArrayType

if TYPE_CHECKING:
    from synthcxr.data.film_dataset import FilmDataset

SPLITS_SEEN_IN_TRAINING = ("train", "judge", "val")
"""The splits that models learn from, or are chosen and calibrated on."""
PUBLIC_READER = "nih"
"""The reader whose patient numbers are public."""
TRAINING_FILMS_FILE = "seen.npz"
REFERENCE_FILE = "reference.npz"

# Keys of both files.
_FILMS, _PATIENTS, _TRAINING_DATA = "films", "patients", "training_data"
_OWN, _EARLIER = "seen_", "earlier_"

Digests = NDArray[np.uint64]
_ADVICE = "export or pull the models again"


class Overlap(NamedTuple):
    """How many films, and how many patients with public numbers, two sets share."""

    n_films: int
    n_patients: int


@dataclasses.dataclass(frozen=True)
class TrainingFilms:
    """Digests of films and of public patients, each uint64 [n], of the dataset with fingerprint `training_data`."""

    training_data: str
    films: Digests
    patients: Digests

    @classmethod
    def from_dataset(cls, films: FilmDataset, splits: Sequence[str]) -> TrainingFilms:
        """Digests of the films of these splits and of their patients; uniform films are left out."""
        indices = films.indices(SMALLEST_SIDE, splits)
        squares = np.asarray(films.memmap(SMALLEST_SIDE)[indices])
        is_public = films.manifest["source"].isin(sorted(films.sources_of(PUBLIC_READER))).to_numpy(dtype=bool)
        rows = films.rows(SMALLEST_SIDE)[indices]
        patients = sorted(set(films.patients(rows[is_public[rows]])))
        return cls(
            training_data=films.fingerprint,
            films=_compute_digests(square.tobytes() for square in squares[has_contrast(squares)]),
            patients=_compute_digests(f"{PUBLIC_READER}:{patient}".encode() for patient in patients),
        )

    @classmethod
    def read(cls, path: Path) -> TrainingFilms:
        """Read what `to_arrays` put into an .npz file; ArtifactError where it is absent or holds no digests."""
        arrays = numpy_files.read_npz(
            path,
            {_TRAINING_DATA: ArrayType("U", ()), **_digest_types(_OWN)},
            error=ArtifactError,
            advice=_ADVICE,
        )
        return cls(str(arrays[_TRAINING_DATA]), arrays[_OWN + _FILMS], arrays[_OWN + _PATIENTS])

    @classmethod
    def read_earlier(cls, path: Path) -> TrainingFilms:
        """Read the `earlier` of `to_arrays` from an .npz file; empty where the file holds none."""
        if path.is_file() and _EARLIER + _FILMS in numpy_files.list_arrays(path, error=ArtifactError, advice=_ADVICE):
            arrays = numpy_files.read_npz(path, _digest_types(_EARLIER), error=ArtifactError, advice=_ADVICE)
            return cls("", arrays[_EARLIER + _FILMS], arrays[_EARLIER + _PATIENTS])
        return cls("", np.empty(0, np.uint64), np.empty(0, np.uint64))

    def to_arrays(self, earlier: TrainingFilms | None = None) -> dict[str, Any]:
        """The arrays of an .npz file, sorted, so that their order reveals nothing.

        `earlier` are the training films of the model that the training of this one started from.
        """
        parts = {_OWN: self} if earlier is None else {_OWN: self, _EARLIER: earlier}
        arrays = {f"{prefix}{_FILMS}": np.unique(part.films) for prefix, part in parts.items()}
        arrays |= {f"{prefix}{_PATIENTS}": np.unique(part.patients) for prefix, part in parts.items()}
        return arrays | {_TRAINING_DATA: np.array(self.training_data)}

    def union(self, other: TrainingFilms) -> TrainingFilms:
        """These films and the others, with the fingerprint of these."""
        films, patients = (
            np.concatenate(pair) for pair in ((self.films, other.films), (self.patients, other.patients))
        )
        return TrainingFilms(self.training_data, films, patients)

    def count_overlap(self, other: TrainingFilms) -> Overlap:
        """How many of these films and patients are among the others."""
        return Overlap(int(np.isin(self.films, other.films).sum()), int(np.isin(self.patients, other.patients).sum()))


def require_unseen(
    films: FilmDataset, splits: tuple[str, ...], *, training_data: Set[str], models: Path, subject: Path
) -> bool:
    """Check that models have seen no film of `splits`, and return whether they were trained on other splits of `films`.

    `training_data` are the fingerprints of the films behind `subject`, which is to be evaluated. reference.npz in the
    folder `models` lists the training films. Raises DataError where the models have seen films of `splits`, or where
    reference.npz does not cover `training_data`.
    """
    other_data = training_data - {films.fingerprint}
    seen = TrainingFilms.read_earlier(models / REFERENCE_FILE)
    if other_data:
        seen = TrainingFilms.read(models / REFERENCE_FILE).union(seen)
    for fingerprint in sorted(other_data - {seen.training_data}):
        raise DataError(
            f"{subject}: made from films {fingerprint}, which {models} does not list; give the models that made it"
        )
    overlap = TrainingFilms.from_dataset(films, splits).count_overlap(seen)
    if overlap.n_films or overlap.n_patients:
        raise DataError(
            f"{films.path}: the models have seen {overlap.n_films:,} of its {' and '.join(splits)} films and"
            f" {overlap.n_patients:,} of their patients in training, in another split; give the films as they were"
            " packed for training, or films of other patients"
        )
    return not other_data


def _compute_digests(values: Iterable[bytes]) -> Digests:
    """The first eight bytes of each value's sha256."""
    short = b"".join(hashlib.sha256(value).digest()[:8] for value in values)
    return np.frombuffer(short, dtype="<u8").astype(np.uint64)


def _digest_types(prefix: str) -> dict[str, ArrayType]:
    return {prefix + name: ArrayType("u", (None,)) for name in (_FILMS, _PATIENTS)}
