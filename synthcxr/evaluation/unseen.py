"""Whether models have learned from the films that are to judge them: then they may not."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

from synthcxr.data import leakage
from synthcxr.data.film_dataset import Dataset
from synthcxr.errors import DataError

REFERENCE = "reference.npz"


def require(films: Dataset, splits: tuple[str, ...], *, learned_from: Set[str], models: Path, subject: Path) -> bool:
    """Whether the models learned from other splits of these films; DataError where they saw films of `splits`.

    `learned_from` are the fingerprints of the films behind whatever is judged, `subject`; reference.npz of `models`
    says which films those are, where they are not these.
    """
    others = learned_from - {films.fingerprint}
    learned = leakage.read_earlier(models / REFERENCE)
    if others:
        learned = leakage.read(models / REFERENCE).joined(learned)
    for unknown in sorted(others - {learned.training_data}):
        raise DataError(
            f"{subject}: comes of films {unknown}, of which {models} knows nothing; give the models that made it"
        )
    n_films, n_patients = leakage.of(films, splits).among(learned)
    if n_films or n_patients:
        raise DataError(
            f"{films.path}: the models have seen {n_films:,} of its {' and '.join(splits)} films and {n_patients:,} of"
            " their patients: another split of films that they learned from; give the films as they were packed for"
            " training, or films of other patients"
        )
    return not others
