"""The section "names" of metrics.json: the judge, the classifier and the extractors in words."""

from __future__ import annotations

from collections.abc import Iterable

from synthcxr.data.film_dataset import FilmDataset
from synthcxr.data.model_names import describe_classifier
from synthcxr.evaluation.features.extractors import FEATURE_EXTRACTORS
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.project.extensions import EXTRACTORS, find_entry_points

_SPLITS = {"judge": "judge", "classifier": "train"}


def name_networks(
    *models: ModelMetadata | None, films: FilmDataset | None, extractors: Iterable[str]
) -> dict[str, str]:
    """Describe each model that is at hand, and each extractor of an installed package.

    Models of earlier versions do not state the number of their training films; it is that of the split in `films` if
    they were trained on `films`.
    """
    return _name_extractors(extractors) | {
        model.kind: describe_classifier(model.network, n_films=_count_training_films(model, films))
        for model in models
        if model is not None
    }


def _name_extractors(names: Iterable[str]) -> dict[str, str]:
    """The summary of each extractor that an installed package adds."""
    packages = find_entry_points(EXTRACTORS)
    return {name: FEATURE_EXTRACTORS.load(name).summary for name in names if name in packages}


def _count_training_films(model: ModelMetadata, films: FilmDataset | None) -> int | None:
    if films is None or films.fingerprint != model.training_data or model.resolution > films.resolution:
        return None
    return len(films.labelled_indices(model.resolution, (_SPLITS[model.kind],)))
