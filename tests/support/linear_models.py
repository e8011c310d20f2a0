"""Linear stand-ins for a generator and a classifier, and a request, for tests of the generate stage."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from synthcxr.config.schema import GenerateConfig
from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.stages import generate
from synthcxr.stages.generate import GenerateReport

SIDE, LATENT = 16, 8
THRESHOLD = 0.6
SETTINGS = {"n": 20, "seed": 1, "labels": (), "without": (), "per_label": None, "mix": None, "method": "auto"}
SETTINGS |= {"view": None, "sex": None, "age": None, "with_judge": False, "max_draws": 400, "batch": 8, "device": "cpu"}


def generate_dataset(
    model: Path, out: Path, *, flags: dict[str, Any] | None = None, **changes: object
) -> GenerateReport:
    """Run the stage with SETTINGS, some of them changed; `flags` are its other arguments."""
    config = dataclasses.replace(GenerateConfig(**SETTINGS), **changes)  # type: ignore[arg-type]
    return generate.run(config, model=model, out=out, model_name="stand-in", command=["test"], **(flags or {}))


def list_neighbours(out: Path) -> list[str]:
    """The names in the folder that contains the dataset."""
    return sorted(path.name for path in out.parent.iterdir())


def write_linear_models(folder: Path, *, n_slow: int = 0) -> Path:
    """Write generator.onnx and classifier.onnx."""
    write_linear_generator(folder, n_slow=n_slow)
    write_linear_classifier(folder)
    return folder


def write_linear_generator(
    folder: Path, *, seed: int = 0, n_slow: int = 0, side: int = SIDE, condition: tuple[str, ...] = ()
) -> None:
    """Write a generator tanh(z W), or tanh(z W + c V) of a `condition` with these columns.

    `n_slow` products of large matrices make it slow without changing its output.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    weights = {
        "w": rng.standard_normal((LATENT, side * side)).astype(np.float32) / 2,
        "shape": np.array([-1, 1, side, side]),
    }
    nodes = [helper.make_node("MatMul", ["z", "w"], ["flat"])]
    last, inputs = "flat", {"z": [LATENT]}
    if condition:
        inputs["condition"] = [len(condition)]
        weights["v"] = rng.standard_normal((len(condition), side * side)).astype(np.float32)
        nodes += [
            helper.make_node("MatMul", ["condition", "v"], ["shift"]),
            helper.make_node("Add", ["flat", "shift"], ["shifted"]),
        ]
        last = "shifted"
    if n_slow:
        weights |= {"up": np.ones((side * side, 2000), np.float32), "slow": np.eye(2000, dtype=np.float32)}
        weights |= {"down": np.ones((2000, side * side), np.float32), "zero": np.zeros((), np.float32)}
        nodes.append(helper.make_node("MatMul", ["flat", "up"], ["s0"]))
        nodes += [helper.make_node("MatMul", [f"s{i}", "slow"], [f"s{i + 1}"]) for i in range(n_slow)]
        nodes.append(helper.make_node("MatMul", [f"s{n_slow}", "down"], ["wide"]))
        nodes.append(helper.make_node("Mul", ["wide", "zero"], ["none"]))
        nodes.append(helper.make_node("Add", ["flat", "none"], ["sum"]))
        last = "sum"
    nodes += [helper.make_node("Tanh", [last], ["tanh"]), helper.make_node("Reshape", ["tanh", "shape"], ["image"])]
    fields = {"resolution": side, "latent": LATENT, "condition": condition}
    _write(folder / "generator.onnx", "generator", nodes, inputs, {"image": [1, side, side]}, weights, fields)


def write_linear_classifier(folder: Path, *, side: int = SIDE, threshold: float = THRESHOLD) -> None:
    """Write a classifier with logits linear in the image. No image reaches the threshold of Hernia."""
    rng = np.random.default_rng(9)
    weights = {"w": rng.standard_normal((side * side, 14)).astype(np.float32) / 5}
    nodes = [
        helper.make_node("Flatten", ["image"], ["features"]),
        helper.make_node("MatMul", ["features", "w"], ["logits"]),
    ]
    fields = {"resolution": side, "thresholds": dict.fromkeys(FINDINGS, threshold) | {"Hernia": 1.5}}
    inputs, outputs = {"image": [1, side, side]}, {"logits": [14], "features": [side * side]}
    _write(folder / "classifier.onnx", "classifier", nodes, inputs, outputs, weights, fields)


def _write(
    path: Path,
    kind: str,
    nodes: list[NodeProto],
    inputs: dict[str, list[int]],
    outputs: dict[str, list[int]],
    weights: dict[str, np.ndarray],
    fields: dict[str, Any],
) -> None:
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in shapes.items()]
        for shapes in (inputs, outputs)
    ]
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, kind, *infos, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    defaults = {"latent": 0, "thresholds": {}, "network": {}, "training_data": "0" * 16}
    defaults |= {"kind": kind, "findings": FINDINGS, "phantom": True, "licence": "Apache-2.0"}
    onnx_metadata.stamp(model, ModelMetadata(**defaults | fields))
    onnx.save(model, path)
