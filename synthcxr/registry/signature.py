"""What a registered model takes and gives: its signature, a tiny synthetic example and its pinned requirements."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from numpy.typing import NDArray

from synthcxr.data.records import PROBABILITY_COLUMNS
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


def signature(kind: Kind, side: int) -> ModelSignature:
    """A generator takes requests (label, n, seed) and gives rows of images; others take uint8 [N, 1, side, side]."""
    labelled: list[_Spec] = [ColSpec("string", FINDINGS_COLUMN)]
    labelled += [ColSpec("double", column) for column in PROBABILITY_COLUMNS]
    if kind != "generator":
        pixels = TensorSpec(np.dtype(np.uint8), (-1, 1, side, side))
        return ModelSignature(Schema([pixels]), Schema(labelled))
    request: list[_Spec] = [
        ColSpec("string", "label", required=False),
        ColSpec("long", "n"),
        ColSpec("long", "seed", required=False),
    ]
    made: list[_Spec] = [
        *(ColSpec("long", column) for column in ("request", "index", "seed")),
        *labelled,
        ColSpec("double", "weight"),
        *(ColSpec("string", column) for column in ("sha256", "latent_sha256")),
        ColSpec("binary", "image"),
    ]
    params = ParamSchema([ParamSpec(name, kind, value) for name, (kind, value) in _PARAMS.items()])
    return ModelSignature(Schema(request), Schema(made), params)


def example(kind: Kind, image: NDArray[np.uint8]) -> object:
    """One request for one image of any finding; for a classifier one synthetic image, uint8 [H, W] as it is given."""
    if kind != "generator":
        return image[None, None]
    return pd.DataFrame({"label": [""], "n": [1], "seed": [0]}), {name: value for name, (_, value) in _PARAMS.items()}


def requirements() -> list[str]:
    """What a service that loads the model installs, pinned to what is installed here; torch is not among it."""
    runtime = next(name for name in _RUNTIMES if _version(name))
    return [f"{name}=={_version(name)}" for name in sorted((*_REQUIRED, runtime))]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""
