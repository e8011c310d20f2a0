"""The section "names" of metrics.json: the judge, the classifier and the extractors in words."""

from __future__ import annotations

from synthcxr.data.film_dataset import FilmDataset
from synthcxr.data.model_names import describe_classifier
from synthcxr.model_files.onnx_metadata import ModelMetadata

_SPLITS = {"judge": "judge", "classifier": "train"}


def name_models(*models: ModelMetadata | None, films: FilmDataset | None) -> dict[str, str]:
    """Describe each model that is at hand.

    Models of earlier versions do not state the number of their training films; it is that of the split in `films` if
    they were trained on `films`.
    """
    return {
        model.kind: describe_classifier(model.network, n_films=_count_training_films(model, films))
        for model in models
        if model is not None
    }


def _count_training_films(model: ModelMetadata, films: FilmDataset | None) -> int | None:
    if films is None or films.fingerprint != model.training_data or model.resolution > films.resolution:
        return None
    return len(films.indices(model.resolution, (_SPLITS[model.kind],)))
