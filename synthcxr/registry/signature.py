"""The MLflow signature of a registered model, its synthetic input example and its pinned requirements."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType
from numpy.typing import NDArray

from synthcxr.data.condition import PARTS, find_parts
from synthcxr.data.condition_columns import CONDITION_COLUMNS
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS
from synthcxr.model_files.onnx_metadata import Kind

LOADER = "synthcxr.plugins.mlflow_model"
FINDINGS_COLUMN = "Finding Labels"
_RUNTIMES = ("onnxruntime-gpu", "onnxruntime")
_PARAMS: dict[str, tuple[str, str | float | int]] = {
    "method": ("string", "auto"),
    "threshold": ("double", 0.0),
    "max_draws": ("long", 0),
}
_Spec = ColSpec | TensorSpec
_REQUIRED = ("mlflow", "numpy", "onnx", "pandas", "pillow", "synthcxr")


def build_signature(kind: Kind, side: int, condition: Sequence[str] = ()) -> ModelSignature:
    """Return the signature of a model.

    A generator turns requests (label, n, seed) into images; a conditional one, with the columns `condition`, also takes
    the view, sex and age of its condition, and returns the condition. Classifier and judge turn uint8
    [N, 1, side, side] into findings and probabilities. n and seed are of any type, because MLflow would cut 1.9 to the
    type "long", that is to 1; the model refuses what is not a whole number.
    """
    labels: list[_Spec] = [ColSpec("string", FINDINGS_COLUMN)]
    labels += [ColSpec("double", column) for column in PROBABILITY_COLUMNS]
    if kind != "generator":
        pixels = TensorSpec(np.dtype(np.uint8), (-1, 1, side, side))
        return ModelSignature(Schema([pixels]), Schema(labels))
    parts = find_parts(condition, "the generator")
    any_type = AnyType()  # type: ignore[no-untyped-call]
    request: list[_Spec] = [
        ColSpec("string", "label", required=False),
        ColSpec(any_type, "n"),
        ColSpec(any_type, "seed", required=False),
        *(ColSpec("string", part, required=False) for part in PARTS if part != "findings"),
    ]
    images: list[_Spec] = [
        *(ColSpec("long", column) for column in ("request", "index", "seed")),
        *labels,
        *(ColSpec("string", CONDITION_COLUMNS[part]) for part in parts),
        ColSpec("double", "weight"),
        *(ColSpec("string", column) for column in ("sha256", "latent_sha256")),
        ColSpec("binary", "image"),
    ]
    params = ParamSchema([ParamSpec(name, dtype, default) for name, (dtype, default) in _PARAMS.items()])
    return ModelSignature(Schema(request), Schema(images), params)


def build_example(kind: Kind, image: NDArray[np.uint8]) -> object:
    """Return one request for one image with any finding, or for a classifier the synthetic image, uint8 [H, W]."""
    if kind != "generator":
        return image[None, None]
    defaults = {name: default for name, (_, default) in _PARAMS.items()}
    return pd.DataFrame({"label": [""], "n": [1], "seed": [0]}), defaults


def pin_requirements() -> list[str]:
    """Return what a service needs to load the model, pinned to the installed versions; torch is not needed."""
    runtime = next(name for name in _RUNTIMES if _installed_version(name))
    return [f"{name}=={_installed_version(name)}" for name in sorted((*_REQUIRED, runtime))]


def _installed_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
