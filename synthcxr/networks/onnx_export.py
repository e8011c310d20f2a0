"""Exports a torch network to an ONNX file with our metadata; only the number of rows is dynamic."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.storage import atomic

OPSET = 18
MIN_FP16_ELEMENTS = 64
"""Initialisers with fewer elements, or with one dimension, stay fp32: their size does not matter."""


def export_onnx(
    network: nn.Module,
    *,
    path: Path,
    metadata: ModelMetadata,
    row: tuple[int, ...],
    input_name: str,
    output_names: tuple[str, ...],
    fp16: bool,
    n_condition: int = 0,
) -> ModelMetadata:
    """Write `network` to `path` and return its metadata with the digest filled in.

    `row` is the shape of one row of the input. A conditional generator has a second input, `condition`, with rows of
    `n_condition` values. With `fp16` the file stores the weights in half precision, and the
    graph casts them to fp32 before it computes. Initialisers keep the parameter names of the network.
    """
    examples = {input_name: torch.zeros(2, *row)}
    if n_condition:
        examples["condition"] = torch.zeros(2, n_condition)
    model = _export_graph(network.eval(), examples, output_names)
    if fp16:
        _store_as_fp16(model)
    onnx.checker.check_model(model)
    stamped = onnx_metadata.stamp(model, metadata)
    try:
        with atomic.open_file(path) as file:
            onnx.save(model, file)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot write the model ({error.strerror})") from error
    return stamped


def _export_graph(network: nn.Module, examples: Mapping[str, Tensor], output_names: tuple[str, ...]) -> onnx.ModelProto:
    """Export the graph for inputs of the form of `examples`; the first is positional, the others are keywords."""
    first, *_ = examples.values()
    keywords = dict(list(examples.items())[1:])
    rows = torch.export.Dim("n", min=1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter triggers deprecation warnings of its own
        program = torch.onnx.export(
            network,
            (first,),
            kwargs=keywords,
            input_names=list(examples),
            output_names=list(output_names),
            dynamic_shapes=tuple({0: rows} for _ in examples),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ArtifactError("torch.onnx.export returned nothing; install the versions in constraints.txt")
    model: onnx.ModelProto = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:  # drop the source locations that the exporter records
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    return model


def _store_as_fp16(model: onnx.ModelProto) -> None:
    """Store large fp32 initialisers as fp16 and cast them to fp32 where they are used."""
    casts = []
    renamed = {}
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.ndim < 2 or values.size < MIN_FP16_ELEMENTS:
            continue
        cast_name = f"{tensor.name}.fp32"
        renamed[tensor.name] = cast_name
        casts.append(
            helper.make_node("Cast", [tensor.name], [cast_name], name=f"cast.{tensor.name}", to=TensorProto.FLOAT)
        )
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    value_info = [value for value in model.graph.value_info if value.name not in renamed]
    del model.graph.value_info[:]
    model.graph.value_info.extend(value_info)
