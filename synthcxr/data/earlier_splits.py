"""The splits that the patients of an earlier packed dataset keep, so that models and results stay comparable."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from synthcxr.data.films import SPLITS, Film


def find_earlier_splits(films: Sequence[Film], manifest: pd.DataFrame) -> dict[str, str]:
    """The split of each patient of `films` who, or a film of whom, is in the manifest of an earlier dataset.

    A patient with films of several splits, as when films with the same picture join two patients, is in the first of
    train, judge, val and test: a model may have learned from the patient.
    """
    by_film = dict(zip(manifest["image_index"], manifest["split"], strict=True))
    by_patient = dict(zip(manifest["patient_id"], manifest["split"], strict=True))
    earlier: dict[str, set[str]] = {}
    for film in films:
        known = {by_film.get(film.image_index), by_patient.get(film.patient_id)} - {None}
        if known:
            earlier.setdefault(film.patient_id, set()).update(str(split) for split in known)
    return {patient: min(splits, key=SPLITS.index) for patient, splits in earlier.items()}
