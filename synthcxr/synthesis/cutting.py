"""The part of a graph that some of its outputs need."""

from __future__ import annotations

from collections.abc import Sequence

import onnx


def only(model: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """A copy of `model` that computes those of its outputs that are named, and nothing else."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    held = [value for value in copy.graph.output if value.name in outputs]
    del copy.graph.output[:]
    copy.graph.output.extend(held)
    del copy.graph.value_info[:]
    drop_unused(copy.graph)
    return copy


def drop_unused(graph: onnx.GraphProto) -> None:
    """Without the nodes and initialisers that no output of the graph needs."""
    while True:
        used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        nodes = [node for node in graph.node if used.intersection(node.output)]
        held = [tensor for tensor in graph.initializer if tensor.name in used]
        if len(nodes) == len(graph.node) and len(held) == len(graph.initializer):
            return
        for field, kept in ((graph.node, nodes), (graph.initializer, held)):
            del field[:]
            field.extend(kept)
