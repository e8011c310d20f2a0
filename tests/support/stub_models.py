"""Stub models with our metadata: real ONNX files for real onnxruntime sessions, built in milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import model_folder, onnx_metadata
from synthcxr.model_files.onnx_metadata import Kind, ModelMetadata
from synthcxr.storage import digests, json_files

SIDE, LATENT = 8, 4


def write_stub_model(path: Path, kind: Kind, seed: int = 0) -> None:
    """Write a model with one matrix product instead of a network."""
    rng = np.random.default_rng(seed)
    n_pixels = SIDE * SIDE
    if kind == "generator":
        weights = {"w": (LATENT, n_pixels)}
        shape = np.array([-1, 1, SIDE, SIDE])
        nodes = [("MatMul", ["z", "w"], ["flat"]), ("Tanh", ["flat"], ["t"]), ("Reshape", ["t", "shape"], ["image"])]
        inputs = {"z": ["N", LATENT]}
        outputs = {"image": ["N", 1, SIDE, SIDE]}
    else:
        weights = {"w": (n_pixels, len(FINDINGS)), "v": (n_pixels, 3)}
        shape = np.array([-1, n_pixels])
        nodes = [
            ("Reshape", ["image", "shape"], ["flat"]),
            ("MatMul", ["flat", "w"], ["logits"]),
            ("MatMul", ["flat", "v"], ["features"]),
        ]
        inputs = {"image": ["N", 1, SIDE, SIDE]}
        outputs = {"logits": ["N", len(FINDINGS)], "features": ["N", 3]}
    graph = helper.make_graph(
        [helper.make_node(op, node_inputs, node_outputs) for op, node_inputs, node_outputs in nodes],
        kind,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape_) for name, shape_ in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape_) for name, shape_ in outputs.items()],
        [numpy_helper.from_array(shape, "shape")]
        + [numpy_helper.from_array(rng.normal(size=size).astype(np.float32), name) for name, size in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    thresholds = {} if kind == "generator" else dict.fromkeys(FINDINGS, 0.5)
    metadata = ModelMetadata(
        kind=kind,
        resolution=SIDE,
        latent=LATENT if kind == "generator" else 0,
        findings=FINDINGS,
        thresholds=thresholds,
        network={},
        training_data="0123456789abcdef",
        phantom=True,
        licence="Apache-2.0",
    )
    onnx_metadata.stamp(model, metadata)
    onnx.save(model, path)


def write_stub_models(folder: Path, seed: int = 0) -> Path:
    """Write a models/onnx folder: three stub models, a reference and model.json."""
    folder.mkdir(parents=True)
    for name in model_folder.ONNX_FILES:
        write_stub_model(folder / name, name.removesuffix(".onnx"), seed)  # type: ignore[arg-type]
    np.savez(folder / "reference.npz", counts=np.zeros(15))
    index = {
        "files": {path.name: {"sha256": digests.sha256_file(path)} for path in sorted(folder.iterdir())},
        "training_data": "0123456789abcdef",
        "phantom": True,
        "attribution": ["Films of nobody"],
        "resolution": SIDE,
        "latent": 4,
    }
    json_files.write_json(folder / model_folder.INDEX_FILE, index)
    return folder
