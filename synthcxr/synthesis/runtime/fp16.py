"""A generator's graph in half precision, for GPUs: the same steps on fp16, latents in and images out in fp32.

The file stays as it is. Squares of maps stay below fp16's 65,504 as long as maps stay below 255, and pixelwise norm
keeps them near 1; its 1e-8 would be lost and becomes the smallest number that fp16 has.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEAST = 2.0**-24
"""The smallest positive number of fp16."""
_AS_THEY_ARE = {"Resize": slice(1, None)}
"""Inputs of these that are sizes and scales, not values."""


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` that computes in fp16 and takes and gives fp32."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    kept = {name for node in graph.node for name in node.input[_AS_THEY_ARE.get(node.op_type, slice(0))]}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in kept:
            tensor.CopyFrom(_half(tensor))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            if node.op_type == "Constant" and attribute.t.data_type == TensorProto.FLOAT and node.output[0] not in kept:
                attribute.t.CopyFrom(_half(attribute.t))
    del graph.value_info[:]
    _cross(graph)
    return copy


def _half(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The same numbers in fp16; what would vanish stays the smallest there is."""
    values = numpy_helper.to_array(tensor)
    tiny = (values != 0) & (np.abs(values) < LEAST)
    return numpy_helper.from_array(np.where(tiny, np.copysign(LEAST, values), values).astype(np.float16), tensor.name)


def _cross(graph: onnx.GraphProto) -> None:
    """Cast what comes in to fp16 and what goes out to fp32, under the names that they have outside."""
    inside = {value.name: f"{value.name}.fp16" for value in (*graph.input, *graph.output)}
    for node in graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                names[at] = inside.get(name, name)
    entering = [_cast(each.name, inside[each.name], TensorProto.FLOAT16) for each in graph.input]
    leaving = [_cast(inside[each.name], each.name, TensorProto.FLOAT) for each in graph.output]
    nodes = [*entering, *graph.node, *leaving]
    del graph.node[:]
    graph.node.extend(nodes)


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast.{target}", to=kind)
