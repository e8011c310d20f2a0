"""Find the stages of a generator's ONNX graph, in the form in which networks/generator.py exports them."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

Float32 = NDArray[np.float32]

_ONES, _PAD_ONE, _PAD_ZERO = [1, 1], [1, 1, 1, 1], [0, 0, 0, 0]


@dataclasses.dataclass(frozen=True)
class GreyConvolution:
    """The 1 x 1 convolution to one channel: weight [1, C], bias [1]."""

    weight: Float32
    bias: Float32


@dataclasses.dataclass(frozen=True)
class Stage:
    """A 3 x 3 convolution with leaky ReLU and pixelwise norm, optionally after upsampling and before grey."""

    source: str
    """The name of the input map [N, I, R, R]."""
    output: str
    """The name of the output: a map [N, O, R, R], or of side 2 R if upsampled, or the image."""
    inside: frozenset[str]
    """The names of all intermediate values."""
    weight: Float32
    bias: Float32
    leak: float
    upsampled_side: int | None
    """R if the stage upsamples the input map by 2 first."""
    grey: GreyConvolution | None


def find_stages(model: onnx.ModelProto) -> list[Stage]:
    """Every stage of `model` whose intermediate values are used nowhere else."""
    graph = _Graph(onnx.shape_inference.infer_shapes(model).graph)
    convolutions = (node for node in graph.nodes if node.op_type == "Conv")
    return [stage for node in convolutions if (stage := graph.match_stage(node)) is not None]


class _Graph:
    """A graph with the producer and the consumers of each value."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.consumers: dict[str, list[NodeProto]] = collections.defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.consumers[name].append(node)
        self.shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
        self.initialisers = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {value.name for value in graph.output}

    def match_stage(self, conv: NodeProto) -> Stage | None:
        """The stage around this convolution, or None if it matches no stage."""
        weight, leaky = self.read_constant(conv.input[1]), self.sole_consumer(conv, "LeakyRelu")
        if weight is None or leaky is None or weight.shape[2:] != (3, 3) or not _keeps_side(conv, pads=_PAD_ONE):
            return None
        bias, norm = self._read_bias(conv, len(weight)), self._match_norm(leaky.output[0])
        if bias is None or not norm:
            return None
        nodes = [conv, leaky, *norm]
        upsampling, grey_conv = self.producers.get(conv.input[0]), self.sole_consumer(norm[-1], "Conv")
        side = self._match_upsampling(upsampling) if upsampling is not None else None
        if upsampling is not None and side is not None:
            nodes.insert(0, upsampling)
        grey = self._match_grey(grey_conv) if grey_conv is not None else None
        if grey_conv is not None and grey is not None:
            nodes.append(grey_conv)
        names = [node.output[0] for node in nodes]
        return Stage(
            source=nodes[0].input[0],
            output=names[-1],
            inside=frozenset(names[:-1]),
            weight=weight.astype(np.float32),
            bias=bias,
            leak=_read_attributes(leaky).get("alpha", 0.01),
            upsampled_side=side,
            grey=grey,
        )

    def sole_consumer(self, node: NodeProto, op_type: str) -> NodeProto | None:
        """The consumer of the result of `node`, if it is the only one and of this operator type."""
        consumers = self.consumers[node.output[0]]
        is_sole = len(consumers) == 1 and node.output[0] not in self.outputs
        return consumers[0] if is_sole and consumers[0].op_type == op_type else None

    def read_constant(self, name: str) -> Float32 | None:
        """The array with this name: a constant, or an initialiser, possibly cast to fp32 where it is used."""
        producer = self.producers.get(name)
        if producer is not None and producer.op_type == "Constant":
            return np.asarray(numpy_helper.to_array(producer.attribute[0].t))
        tensor = self.initialisers.get(
            producer.input[0] if producer is not None and producer.op_type == "Cast" else name
        )
        return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))

    def _match_norm(self, name: str) -> list[NodeProto]:
        """The nodes of x / sqrt(mean(x^2)) over the channels of x, if they are the only consumers of x."""
        consumers = self.consumers[name]
        square = next((node for node in consumers if node.op_type == "Mul" and set(node.input) == {name}), None)
        if square is None or len(consumers) != 3 or name in self.outputs:
            return []
        nodes = [square]
        for op_type in ("ReduceMean", "Sqrt", "Reciprocal", "Mul"):
            node = self.sole_consumer(nodes[-1], op_type)
            if node is None:
                return []
            nodes.append(node)
        mean = nodes[1]
        axes = self.read_constant(mean.input[1]) if len(mean.input) > 1 else None
        over_channels = axes is not None and axes.tolist() == [1] and _read_attributes(mean).get("keepdims", 1) == 1
        return nodes if over_channels and name in nodes[-1].input else []

    def _match_grey(self, conv: NodeProto) -> GreyConvolution | None:
        weight = self.read_constant(conv.input[1])
        if weight is None or weight.shape[0] != 1 or weight.shape[2:] != (1, 1):
            return None
        bias = self._read_bias(conv, 1)
        if bias is None or not _keeps_side(conv, pads=_PAD_ZERO):
            return None
        return GreyConvolution(weight.astype(np.float32)[:, :, 0, 0], bias)

    def _read_bias(self, conv: NodeProto, n_channels: int) -> Float32 | None:
        """The bias; zeros if the convolution has none, None if the graph computes it."""
        if len(conv.input) < 3 or not conv.input[2]:
            return np.zeros(n_channels, dtype=np.float32)
        bias = self.read_constant(conv.input[2])
        return None if bias is None else bias.astype(np.float32)

    def _match_upsampling(self, node: NodeProto) -> int | None:
        """The side of the input map, if this node is nearest-neighbour upsampling by 2 for one convolution."""
        if node.op_type != "Resize" or len(node.input) < 3 or not node.input[2]:
            return None
        if self.sole_consumer(node, "Conv") is None:
            return None
        attributes, scales = _read_attributes(node), self.read_constant(node.input[2])
        is_nearest = (
            attributes.get("mode", b"nearest") == b"nearest"
            and attributes.get("coordinate_transformation_mode", b"half_pixel") == b"asymmetric"
            and attributes.get("nearest_mode", b"round_prefer_floor") == b"floor"
        )
        if not is_nearest or scales is None or scales.tolist() != [1, 1, 2, 2]:
            return None
        shape = self.shapes.get(node.input[0])
        return shape[-1].dim_value or None if shape else None


def _read_attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _keeps_side(conv: NodeProto, *, pads: list[int]) -> bool:
    """Whether an ungrouped convolution with these pads and stride and dilation 1 keeps the side of its map."""
    attributes = _read_attributes(conv)
    ungrouped = attributes.get("group", 1) == 1 and attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
    dense = attributes.get("strides", _ONES) == attributes.get("dilations", _ONES) == _ONES
    return bool(ungrouped and dense and attributes.get("pads", _PAD_ZERO) == pads)
