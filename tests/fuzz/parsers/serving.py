"""The inputs of the models that MLflow serves: tables of requests, parameters, and images."""

from __future__ import annotations

import io
import json
from pathlib import Path

from fuzz.parser import OpenParser, Parser
from fuzz.parsers.models import write_models


def _open_requests(root: Path) -> OpenParser:
    """Rows and parameters of a call to the generator; a call that a real server answers with 400 is refused."""
    import pandas as pd
    from mlflow.exceptions import MlflowException

    from synthcxr.errors import DataError
    from synthcxr.plugins import mlflow_model

    model = mlflow_model._load_pyfunc(str(write_models(root)), {"device": "cpu"})
    examples = (
        {"rows": [{"label": "Edema", "n": 1, "seed": 1}, {"label": "", "n": 2, "seed": None}], "params": None},
        {"rows": [{"n": 3}], "params": {"method": "reject", "threshold": 0.1, "max_draws": 50}},
    )

    def predict(data: bytes) -> None:
        try:
            tree = json.loads(data)
            table = pd.DataFrame(tree["rows"])
            params = tree["params"]
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return  # the server refuses what is no table
        if params is not None and not isinstance(params, dict):
            return
        try:
            model.predict(table, params)
        except MlflowException as error:
            raise DataError(error.message) from error

    return OpenParser(tuple(json.dumps(example).encode() for example in examples), predict)


def _open_images(root: Path) -> OpenParser:
    """An array of images for a classifier, as npy."""
    import numpy as np
    from mlflow.exceptions import MlflowException
    from support.stub_models import SIDE

    from synthcxr.errors import DataError
    from synthcxr.plugins import mlflow_model

    models = write_models(root)
    (models / "generator.onnx").unlink()
    index = json.loads((models / "model.json").read_text())
    del index["files"]["generator.onnx"]
    (models / "model.json").write_text(json.dumps(index))
    model = mlflow_model._load_pyfunc(str(models), {"device": "cpu"})

    def encode(images: np.ndarray) -> bytes:
        stream = io.BytesIO()
        np.save(stream, images)
        return stream.getvalue()

    def predict(data: bytes) -> None:
        try:
            images = np.load(io.BytesIO(data), allow_pickle=False)
        except Exception:  # noqa: BLE001  the server decodes the array
            return
        try:
            model.predict(images)
        except MlflowException as error:
            raise DataError(error.message) from error

    examples = (np.zeros((2, 1, SIDE, SIDE), np.uint8), np.full((1, 1, SIDE, SIDE), 0.5, np.float32))
    return OpenParser(tuple(map(encode, examples)), predict)


PARSERS = [
    Parser("serving_requests", "json", _open_requests, share=0.5),
    Parser("serving_images", "npy", _open_images, share=0.5),
]
