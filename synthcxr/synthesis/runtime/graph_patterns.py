"""The stages of a generator's graph, as networks/generator.py exports them, found again in its ONNX file."""

from __future__ import annotations

import collections
import dataclasses
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

Float32 = NDArray[np.float32]

_ONES, _PADDED = [1, 1], [1, 1, 1, 1]


@dataclasses.dataclass(frozen=True)
class Grey:
    """The 1 x 1 convolution to one channel: weight [1, C], bias [1]."""

    weight: Float32
    bias: Float32


@dataclasses.dataclass(frozen=True)
class Stage:
    """A 3 x 3 convolution with its leaky ReLU and pixelwise norm, after a doubling or not, and before grey or not."""

    source: str
    """The map [N, I, R, R] that goes in."""
    output: str
    """What comes out: the map [N, O, R, R], or of twice the side, or the image."""
    inside: frozenset[str]
    """All that is computed on the way."""
    weight: Float32
    bias: Float32
    leak: float
    side: int | None
    """R where the map is doubled first."""
    grey: Grey | None


def stages(model: onnx.ModelProto) -> list[Stage]:
    """Every stage of `model` that is used by nothing but what follows it."""
    graph = _Graph(onnx.shape_inference.infer_shapes(model).graph)
    return [stage for node in graph.nodes if node.op_type == "Conv" and (stage := graph.stage(node)) is not None]


class _Graph:
    """Who makes and who takes each value."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.made_by = {name: node for node in self.nodes for name in node.output}
        self.taken_by: dict[str, list[NodeProto]] = collections.defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.taken_by[name].append(node)
        self.shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
        self.held = {tensor.name: tensor for tensor in graph.initializer}
        self.outside = {value.name for value in graph.output}

    def stage(self, conv: NodeProto) -> Stage | None:
        """The stage of this convolution, if it is one."""
        weight, leaky = self.constant(conv.input[1]), self.only(conv, "LeakyRelu")
        if weight is None or leaky is None or weight.shape[2:] != (3, 3) or not _keeps_side(conv, pads=_PADDED):
            return None
        bias, norm = self._bias(conv, len(weight)), self._norm(leaky.output[0])
        if bias is None or not norm:
            return None
        nodes = [conv, leaky, *norm]
        doubling, drawn = self.made_by.get(conv.input[0]), self.only(norm[-1], "Conv")
        side = self._doubled_side(doubling) if doubling is not None else None
        if doubling is not None and side is not None:
            nodes.insert(0, doubling)
        grey = self._grey(drawn) if drawn is not None else None
        if drawn is not None and grey is not None:
            nodes.append(drawn)
        names = [node.output[0] for node in nodes]
        return Stage(
            source=nodes[0].input[0],
            output=names[-1],
            inside=frozenset(names[:-1]),
            weight=weight.astype(np.float32),
            bias=bias,
            leak=_attributes(leaky).get("alpha", 0.01),
            side=side,
            grey=grey,
        )

    def only(self, node: NodeProto, kind: str) -> NodeProto | None:
        """The step that takes the result of `node`, where it is the only one and of this kind."""
        takers = self.taken_by[node.output[0]]
        alone = len(takers) == 1 and node.output[0] not in self.outside
        return takers[0] if alone and takers[0].op_type == kind else None

    def constant(self, name: str) -> Float32 | None:
        """The array behind a name: an initialiser, or one that is cast to fp32 where it is used."""
        maker = self.made_by.get(name)
        if maker is not None and maker.op_type == "Constant":
            return np.asarray(numpy_helper.to_array(maker.attribute[0].t))
        stored = self.held.get(maker.input[0] if maker is not None and maker.op_type == "Cast" else name)
        return None if stored is None else np.asarray(numpy_helper.to_array(stored))

    def _norm(self, name: str) -> list[NodeProto]:
        """The steps of x / sqrt(mean(x^2)) over the channels of x, if they are what takes it."""
        takers = self.taken_by[name]
        square = next((node for node in takers if node.op_type == "Mul" and set(node.input) == {name}), None)
        if square is None or len(takers) != 3 or name in self.outside:
            return []
        steps = [square]
        for kind in ("ReduceMean", "Sqrt", "Reciprocal", "Mul"):
            step = self.only(steps[-1], kind)
            if step is None:
                return []
            steps.append(step)
        axes = self.constant(steps[1].input[1]) if len(steps[1].input) > 1 else None
        over_channels = axes is not None and axes.tolist() == [1] and _attributes(steps[1]).get("keepdims", 1) == 1
        return steps if over_channels and name in steps[-1].input else []

    def _grey(self, conv: NodeProto) -> Grey | None:
        weight = self.constant(conv.input[1])
        if weight is None or weight.shape[0] != 1 or weight.shape[2:] != (1, 1):
            return None
        bias = self._bias(conv, 1)
        if bias is None or not _keeps_side(conv, pads=[0, 0, 0, 0]):
            return None
        return Grey(weight.astype(np.float32)[:, :, 0, 0], bias)

    def _bias(self, conv: NodeProto, n: int) -> Float32 | None:
        """Zeros where it has none; None where it is computed."""
        if len(conv.input) < 3 or not conv.input[2]:
            return np.zeros(n, dtype=np.float32)
        held = self.constant(conv.input[2])
        return None if held is None else held.astype(np.float32)

    def _doubled_side(self, node: NodeProto) -> int | None:
        """The side of what this step takes, if it repeats every pixel twice each way for one convolution."""
        if node.op_type != "Resize" or len(node.input) < 3 or not node.input[2] or self.only(node, "Conv") is None:
            return None
        held = _attributes(node)
        how = held.get("mode", b"nearest"), held.get("coordinate_transformation_mode", b"half_pixel")
        rounds, scales = held.get("nearest_mode", b"round_prefer_floor"), self.constant(node.input[2])
        exact = how == (b"nearest", b"asymmetric") and rounds == b"floor"
        if not exact or scales is None or scales.tolist() != [1, 1, 2, 2]:
            return None
        shape = self.shapes.get(node.input[0])
        return shape[-1].dim_value or None if shape else None


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _keeps_side(conv: NodeProto, *, pads: list[int]) -> bool:
    held = _attributes(conv)
    plain = held.get("group", 1) == 1 and held.get("auto_pad", b"NOTSET") == b"NOTSET"
    ones = held.get("strides", _ONES) == held.get("dilations", _ONES) == _ONES
    return bool(plain and ones and held.get("pads", [0, 0, 0, 0]) == pads)
