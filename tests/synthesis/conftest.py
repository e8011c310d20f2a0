"""Minimal ONNX models: real files for real onnxruntime sessions, without torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import ModelMetadata

SIDE, LATENT = 8, 4
SaveModel = Callable[..., Path]


def save_model(path: Path, kind: str, nodes: list, shapes: tuple[dict, dict], weights: dict, overrides: dict) -> Path:
    """Write a model with metadata; `overrides` replace fields of the metadata."""
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in values.items()]
        for values in shapes
    ]
    initialisers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, kind, *infos, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    fields = {"kind": kind, "resolution": SIDE, "latent": LATENT if kind == "generator" else 0}
    fields |= {"findings": FINDINGS, "thresholds": {}, "network": {}, "training_data": "0" * 16}
    onnx_metadata.stamp(model, ModelMetadata(**(fields | {"phantom": True, "licence": "Apache-2.0"} | overrides)))
    onnx.save(model, path)
    return path


@pytest.fixture
def save_generator(tmp_path: Path) -> SaveModel:
    """Write tmp_path/generator.onnx: tanh(scale * z W)."""

    def write(scale: float = 1.0, **overrides: object) -> Path:
        w = np.random.default_rng(0).standard_normal((LATENT, SIDE * SIDE)).astype(np.float32) * np.float32(scale)
        nodes = [
            helper.make_node("MatMul", ["z", "w"], ["flat"]),
            helper.make_node("Tanh", ["flat"], ["tanh"]),
            helper.make_node("Reshape", ["tanh", "shape"], ["image"]),
        ]
        weights = {"w": w, "shape": np.array([-1, 1, SIDE, SIDE])}
        shapes = {"z": [LATENT]}, {"image": [1, SIDE, SIDE]}
        return save_model(tmp_path / "generator.onnx", "generator", nodes, shapes, weights, overrides)

    return write


@pytest.fixture
def save_classifier(tmp_path: Path) -> SaveModel:
    """Write tmp_path/classifier.onnx: logits linear in the image, features the pixels."""

    def write(kind: str = "classifier", outputs: tuple[str, ...] = ("logits", "features"), **overrides: object) -> Path:
        w = np.random.default_rng(1).standard_normal((SIDE * SIDE, 14)).astype(np.float32) / 4
        nodes = [
            helper.make_node("Flatten", ["image"], ["features"]),
            helper.make_node("MatMul", ["features", "w"], ["logits"]),
        ]
        sizes = {"logits": [14], "features": [SIDE * SIDE]}
        shapes = {"image": [1, SIDE, SIDE]}, {name: sizes[name] for name in outputs}
        fields = {"thresholds": dict.fromkeys(FINDINGS, 0.5)} | overrides
        return save_model(tmp_path / f"{kind}.onnx", kind, nodes, shapes, {"w": w}, fields)

    return write
