"""A generator's graph made quicker on a CPU and no other: fewer multiply-adds, and fewer passes over large maps.

Nearest-neighbour doubling followed by a 3 x 3 convolution is one 2 x 2 convolution on the small map that gives the four
pixels which each becomes as channels, its taps sums of the 3 x 3 ones: 16 multiply-adds where the two spend 36. The
leaky ReLU follows while they are channels still. They are put in their places with the channels last, where those of a
pixel lie side by side, and are normalised so. At the last convolution only the grey image is put together: a pixel's
grey value is drawn from the map as it is and divided by the map's norm there, so that the map itself need not be.
The file stays as it is.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from synthcxr.synthesis.runtime import graph_patterns
from synthcxr.synthesis.runtime.graph_patterns import Stage

Float32 = NDArray[np.float32]

EPSILON = 1e-8
"""The pixelwise norm's, as in networks/layers.py; torch's exporter takes it for nought and leaves it out."""

# Of one dimension: between two pixels of the small map lie an odd pixel of the doubled one, which sees w0 + w1 of the
# first and w2 of the second, and an even one, which sees w0 and w1 + w2.
_TAPS = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], dtype=np.float32)


def merged(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """A copy of `model` for onnxruntime on a CPU, and how many doublings were merged with the convolution after them.

    What does not fit stays: a doubling whose result is used twice, a convolution without leaky ReLU and norm behind it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stages = graph_patterns.stages(copy)
    new: dict[str, list[NodeProto]] = {}
    gone: set[str] = set()
    for stage in stages:
        written = _Written(copy.graph, stage.output)
        if stage.grey is not None:
            _grey(written, stage)
        elif stage.side is not None:
            _doubled(written, stage)
        else:
            _same_side(written, stage)
        new[stage.output] = written.nodes
        gone |= stage.inside
    nodes = [new.get(node.output[0], [node]) for node in copy.graph.node if node.output[0] not in gone]
    del copy.graph.node[:]
    copy.graph.node.extend(itertools.chain(*nodes))
    del copy.graph.value_info[:]
    _drop_unused(copy.graph)
    return copy, sum(stage.side is not None for stage in stages)


def in_phases(weight: Float32) -> Float32:
    """The kernel [4 O, I, 2, 2] that a doubling and a kernel [O, I, 3, 3] amount to, on a map padded by 1.

    Of the four pixels around each place between pixels it gives the upper left, upper right, lower left, lower right.
    """
    four = np.einsum("auy,bvx,oiyx->aboiuv", _TAPS, _TAPS, weight)
    return np.ascontiguousarray(four.reshape(-1, *four.shape[3:]))


class _Written:
    """Steps that follow each other, added to a graph under names that begin with `name`."""

    def __init__(self, graph: onnx.GraphProto, name: str) -> None:
        self.graph, self.name = graph, name
        self.nodes: list[NodeProto] = []

    def step(self, kind: str, *takes: str, to: str = "", **attributes: object) -> str:
        """Add a step and return the name of its result."""
        result = to or f"{self.name}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, takes, [result], **attributes))
        return result

    def held(self, values: NDArray[np.generic]) -> str:
        """Add an initialiser and return its name."""
        name = f"{self.name}.held.{len(self.graph.initializer)}"
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def sizes(self, *values: int) -> str:
        return self.held(np.array(values, dtype=np.int64))


def _convolved(written: _Written, stage: Stage) -> str:
    """The convolution and its leaky ReLU, of a doubled map in phases."""
    if stage.side is None:
        kernel, bias, size, pads = stage.weight, stage.bias, [3, 3], [1, 1, 1, 1]
    else:
        kernel, bias, size, pads = in_phases(stage.weight), np.tile(stage.bias, 4), [2, 2], [1, 1, 1, 1]
    x = written.step("Conv", stage.source, written.held(kernel), written.held(bias), kernel_shape=size, pads=pads)
    return written.step("LeakyRelu", x, alpha=stage.leak)


def _doubled(written: _Written, stage: Stage) -> None:
    """A stage that doubles: phases beside each other, channels last, are rows and columns after one exchange."""
    assert stage.side is not None
    n, places = len(stage.bias), stage.side + 1
    x = written.step("Transpose", _convolved(written, stage), perm=[0, 2, 3, 1])
    x = written.step("Reshape", x, written.sizes(-1, places, places, 2, 2 * n))
    x = written.step("Transpose", x, perm=[0, 1, 3, 2, 4])
    x = written.step("Reshape", x, written.sizes(-1, 2 * places, 2 * places, n))
    x = written.step("Slice", x, written.sizes(1, 1), written.sizes(-1, -1), written.sizes(1, 2))
    ones = written.held(np.ones(n, dtype=np.float32))
    x = written.step("SimplifiedLayerNormalization", x, ones, axis=-1, epsilon=EPSILON)
    written.step("Transpose", x, perm=[0, 3, 1, 2], to=stage.output)


def _same_side(written: _Written, stage: Stage) -> None:
    """A stage that does not double; its mean is a convolution, since onnxruntime's takes one thread an image."""
    x = _convolved(written, stage)
    inverse = written.step("Reciprocal", _root_mean_square(written, x, len(stage.bias), 1))
    written.step("Mul", x, inverse, to=stage.output)


def _grey(written: _Written, stage: Stage) -> None:
    """The last stage and the grey image drawn from it: a value for every pixel, and the norm that it is divided by."""
    assert stage.grey is not None
    x, phases = _convolved(written, stage), 1 if stage.side is None else 4
    weight = np.kron(np.eye(phases, dtype=np.float32), stage.grey.weight)[..., None, None]
    value = written.step("Conv", x, written.held(weight), kernel_shape=[1, 1])
    image = written.step("Div", value, _root_mean_square(written, x, len(stage.bias), phases))
    if stage.side is not None:
        image = written.step("DepthToSpace", image, blocksize=2)
        image = written.step("Slice", image, written.sizes(1, 1), written.sizes(-1, -1), written.sizes(2, 3))
    written.step("Add", image, written.held(stage.grey.bias), to=stage.output)


def _root_mean_square(written: _Written, x: str, n: int, phases: int) -> str:
    """Over each of the `phases` runs of `n` channels."""
    mean = np.kron(np.eye(phases, dtype=np.float32), np.full((1, n), 1 / n, dtype=np.float32))[..., None, None]
    epsilon = written.held(np.full(phases, EPSILON, dtype=np.float32))
    square = written.step("Mul", x, x)
    return written.step("Sqrt", written.step("Conv", square, written.held(mean), epsilon, kernel_shape=[1, 1]))


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
