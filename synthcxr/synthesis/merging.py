"""A generator's graph made quicker and no other: each doubling of the side and the convolution after it become one.

Nearest-neighbour doubling followed by a 3 x 3 convolution is one transposed convolution with a 4 x 4 kernel, stride 2
and padding 1, whose taps are sums of the 3 x 3 ones: 16 multiply-adds where the two spend 36. The file stays as it is.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Float32 = NDArray[np.float32]

# Of one dimension: an even pixel sees w0 of the pixel before and w1 + w2 of its own, an odd one w0 + w1 and w2.
_TAPS = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=np.float32)


def merged(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """A copy of `model` with each pair of doubling and convolution merged, and how many there were.

    Pairs of any other kind stay as they are, as does a doubling whose result is used twice.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    uses: dict[str, int] = {}
    for name in [name for node in graph.node for name in node.input] + [value.name for value in graph.output]:
        uses[name] = uses.get(name, 0) + 1
    doublings = {node.output[0]: node for node in graph.node if _doubles(graph, node) and uses[node.output[0]] == 1}
    n_merged, kept, gone = 0, [], set()
    for node in graph.node:
        doubling = doublings.get(node.input[0]) if node.op_type == "Conv" else None
        weight = None if doubling is None or not _keeps_side(node) else _constant(graph, node.input[1])
        if doubling is None or weight is None or weight.shape[2:] != (3, 3):
            kept.append(node)
            continue
        kernel = f"{node.name or node.output[0]}.merged"
        graph.initializer.append(numpy_helper.from_array(transposed(weight), kernel))
        takes = [doubling.input[0], kernel, *node.input[2:]]
        attributes = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}
        kept.append(helper.make_node("ConvTranspose", takes, node.output, name=node.name, **attributes))
        gone.add(doubling.output[0])
        n_merged += 1
    del graph.node[:]
    graph.node.extend(node for node in kept if node.output[0] not in gone)
    del graph.value_info[:]
    _drop_unused(graph)
    return copy, n_merged


def transposed(weight: Float32) -> Float32:
    """The kernel [I, O, 4, 4] of the transposed convolution that a doubling and a kernel [O, I, 3, 3] amount to."""
    return np.ascontiguousarray(np.einsum("ay,bx,oiyx->ioab", _TAPS, _TAPS, weight.astype(np.float32)))


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Without the kernels that were merged and the steps that widened them."""
    while True:
        used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        nodes = [node for node in graph.node if used.intersection(node.output)]
        held = [tensor for tensor in graph.initializer if tensor.name in used]
        if len(nodes) == len(graph.node) and len(held) == len(graph.initializer):
            return
        for field, kept in ((graph.node, nodes), (graph.initializer, held)):
            del field[:]
            field.extend(kept)


def _doubles(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    """It is a Resize that repeats every pixel twice each way."""
    if node.op_type != "Resize" or len(node.input) < 3 or not node.input[2]:
        return False
    held = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    how = held.get("mode", b"nearest"), held.get("coordinate_transformation_mode", b"half_pixel")
    rounds = held.get("nearest_mode", b"round_prefer_floor")
    scales = _constant(graph, node.input[2])
    exact = how == (b"nearest", b"asymmetric") and rounds == b"floor" or how == (b"nearest", b"half_pixel")
    return exact and scales is not None and scales.tolist() == [1, 1, 2, 2]


def _keeps_side(node: onnx.NodeProto) -> bool:
    held = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    plain = held.get("group", 1) == 1 and held.get("auto_pad", b"NOTSET") == b"NOTSET"
    ones = [1, 1]
    return (
        plain
        and list(held.get("pads", [])) == [1, 1, 1, 1]
        and list(held.get("strides", ones)) == ones
        and list(held.get("dilations", ones)) == ones
    )


def _constant(graph: onnx.GraphProto, name: str) -> Float32 | None:
    """The array behind a name: an initialiser, or one that is cast to fp32 where it is used."""
    sources = {node.output[0]: node for node in graph.node if node.op_type in ("Cast", "Constant")}
    if name in sources and sources[name].op_type == "Constant":
        return np.asarray(numpy_helper.to_array(sources[name].attribute[0].t))
    stored = sources[name].input[0] if name in sources else name
    found = next((tensor for tensor in graph.initializer if tensor.name == stored), None)
    return None if found is None else np.asarray(numpy_helper.to_array(found))
