"""A torch network to an ONNX file that carries its contract; only the number of rows is dynamic."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.storage import atomic

OPSET = 18
LEAST_HALVED = 64
"""Initialisers of fewer elements or one dimension stay fp32: they weigh nothing."""


def export(
    network: nn.Module,
    *,
    path: Path,
    contract: Contract,
    row: tuple[int, ...],
    input_name: str,
    output_names: tuple[str, ...],
    fp16: bool,
) -> Contract:
    """Write `network` to `path` and return its contract with the digest filled in.

    `row` is the shape of one row of the input. With `fp16` the weights are stored in half precision and cast
    in the graph, which computes in fp32. Initialisers keep the network's own parameter names.
    """
    model = _trace(network.eval(), torch.zeros(2, *row), input_name, output_names)
    if fp16:
        _halve(model)
    onnx.checker.check_model(model)
    stamped = contracts.stamp(model, contract)
    try:
        with atomic.file(path) as file:
            onnx.save(model, file)
    except OSError as error:
        raise ArtifactError(f"{path}: not written ({error.strerror})") from error
    return stamped


def round_weights(network: nn.Module) -> None:
    """Round the weights to what `fp16` stores, in place."""
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.dtype == torch.float32 and tensor.ndim > 1 and tensor.numel() >= LEAST_HALVED:
                tensor.copy_(tensor.half().float())


def _trace(network: nn.Module, example: Tensor, input_name: str, output_names: tuple[str, ...]) -> onnx.ModelProto:
    rows = torch.export.Dim("n", min=1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            network,
            (example,),
            input_names=[input_name],
            output_names=list(output_names),
            dynamic_shapes=({0: rows},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise ArtifactError("torch.onnx.export returned nothing; install the pinned versions of constraints.txt")
    model: onnx.ModelProto = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:  # the exporter notes where in whose source a node comes from
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    return model


def _halve(model: onnx.ModelProto) -> None:
    """Store large fp32 initialisers as fp16 and cast them where they are used."""
    casts = []
    renamed = {}
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.ndim < 2 or values.size < LEAST_HALVED:
            continue
        wide = f"{tensor.name}.fp32"
        renamed[tensor.name] = wide
        casts.append(helper.make_node("Cast", [tensor.name], [wide], name=f"cast.{tensor.name}", to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    kept = [value for value in model.graph.value_info if value.name not in renamed]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
