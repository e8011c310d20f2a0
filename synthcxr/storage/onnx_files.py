"""ONNX files: parsed with errors that name the file. Weights in other files are refused: they may be any file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from synthcxr.errors import ArtifactError
from synthcxr.storage import guarded_files
from synthcxr.storage.guarded_files import RefusedContentError

MAX_BYTES = 2**31 - 1
"""The limit of a protobuf message."""
_ADVICE = "export or pull the model again"


def read_model(path: Path) -> onnx.ModelProto:
    """Parse an ONNX file; ArtifactError where it is absent, not ONNX, or keeps weights in other files."""
    data = guarded_files.read_bytes(path, "ONNX", max_bytes=MAX_BYTES, error=ArtifactError, advice=_ADVICE)
    with guarded_files.report_failure(path, "ONNX", error=ArtifactError, advice=_ADVICE):
        model = onnx.load_model_from_string(data)
        if not model.graph.node:
            raise RefusedContentError("not readable as ONNX (it contains no graph)")
        for tensor in _list_tensors(model):
            if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
                raise RefusedContentError(f"keeps the weight {tensor.name!r} in another file, which is not read")
    return model


def _list_tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of the model: initialisers and attributes, also of subgraphs and functions."""
    graphs = [model.graph]
    nodes = [node for function in model.functions for node in function.node]
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
            nodes += graph.node
        for attribute in (attribute for node in nodes for attribute in node.attribute):
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            graphs += (attribute.g, *attribute.graphs)
        nodes = []
