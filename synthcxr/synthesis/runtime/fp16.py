"""Convert a generator's graph to half precision for GPUs; latents and images stay in fp32.

The file itself does not change. Squares of feature maps stay below fp16's maximum of 65,504 while the maps stay below
255 in magnitude; pixelwise normalisation keeps them near 1. The normalisation's epsilon, 1e-8, would round to zero, and
becomes the smallest positive number of fp16 instead.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALLEST_FP16 = 2.0**-24
"""The smallest positive number of fp16."""
_FP32_INPUTS = {"Resize": slice(1, None)}
"""By operator, the inputs that are sizes and scales; these stay in fp32."""


def convert_to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of `model` that computes in fp16, with fp32 input and output."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    fp32_names = {name for node in graph.node for name in node.input[_FP32_INPUTS.get(node.op_type, slice(0))]}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in fp32_names:
            tensor.CopyFrom(_convert_tensor(tensor))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            is_fp32_constant = node.op_type == "Constant" and attribute.t.data_type == TensorProto.FLOAT
            if is_fp32_constant and node.output[0] not in fp32_names:
                attribute.t.CopyFrom(_convert_tensor(attribute.t))
    del graph.value_info[:]
    _cast_inputs_and_outputs(graph)
    return copy


def _convert_tensor(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The same values in fp16; a value that would round to zero becomes the smallest fp16 number of its sign."""
    values = numpy_helper.to_array(tensor)
    vanishing = (values != 0) & (np.abs(values) < SMALLEST_FP16)
    clamped = np.where(vanishing, np.copysign(SMALLEST_FP16, values), values)
    return numpy_helper.from_array(clamped.astype(np.float16), tensor.name)


def _cast_inputs_and_outputs(graph: onnx.GraphProto) -> None:
    """Cast inputs to fp16 and outputs to fp32; their external names stay the same."""
    fp16_names = {value.name: f"{value.name}.fp16" for value in (*graph.input, *graph.output)}
    for node in graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = fp16_names.get(name, name)
    input_casts = [_make_cast(value.name, fp16_names[value.name], TensorProto.FLOAT16) for value in graph.input]
    output_casts = [_make_cast(fp16_names[value.name], value.name, TensorProto.FLOAT) for value in graph.output]
    nodes = [*input_casts, *graph.node, *output_casts]
    del graph.node[:]
    graph.node.extend(nodes)


def _make_cast(source: str, target: str, data_type: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast.{target}", to=data_type)
