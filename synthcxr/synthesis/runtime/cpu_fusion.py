"""Rewrite a generator's graph to run faster on a CPU: fewer multiply-adds, and fewer passes over large feature maps.

Three rewrites apply to the stages that `graph_patterns` finds:

- Nearest-neighbour upsampling by 2 and the 3 x 3 convolution after it become one 2 x 2 convolution on the small map.
  Its output channels are the four phases (the four output pixels per place between input pixels), and its taps are sums
  of the 3 x 3 taps. This takes 16 multiply-adds instead of 36.
- The leaky ReLU runs while the phases are still channels. The phases are then interleaved, and normalised, in
  channels-last order, in which the channels of a pixel are adjacent in memory.
- The last stage computes only the grey image: the grey value of a pixel comes from the map before normalisation and is
  divided by that pixel's norm, so the normalised map is never stored.

The file itself does not change.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from synthcxr.synthesis.runtime.graph_patterns import Stage, find_stages

Float32 = NDArray[np.float32]

EPSILON = 1e-8
"""The pixelwise norm's epsilon, as in networks/layers.py; torch's exporter folds it away as zero."""

# In one dimension, two output pixels lie between two pixels of the small map. The odd one sees w0 + w1 of the first
# pixel and w2 of the second; the even one sees w0 of the first pixel and w1 + w2 of the second.
_TAPS = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], dtype=np.float32)


def fuse_for_cpu(model: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """A fused copy of `model`, and how many upsampling steps were fused with the convolution after them.

    Steps that match no pattern stay as they are, for example an upsampled map that is used twice, or a convolution
    without leaky ReLU and norm after it.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    stages = find_stages(copy)
    new_nodes: dict[str, list[NodeProto]] = {}
    replaced: set[str] = set()
    for stage in stages:
        builder = _GraphBuilder(copy.graph, stage.output)
        if stage.grey is not None:
            _build_grey_stage(builder, stage)
        elif stage.upsampled_side is not None:
            _build_upsampling_stage(builder, stage)
        else:
            _build_same_side_stage(builder, stage)
        new_nodes[stage.output] = builder.nodes
        replaced |= stage.inside
    nodes = [new_nodes.get(node.output[0], [node]) for node in copy.graph.node if node.output[0] not in replaced]
    del copy.graph.node[:]
    copy.graph.node.extend(itertools.chain(*nodes))
    del copy.graph.value_info[:]
    _remove_unused(copy.graph)
    return copy, sum(stage.upsampled_side is not None for stage in stages)


def to_phase_kernel(weight: Float32) -> Float32:
    """The kernel [4 O, I, 2, 2] equivalent to upsampling by 2 and a kernel [O, I, 3, 3], on a map padded by 1.

    The four blocks of O channels are the upper left, upper right, lower left and lower right pixel around each place
    between input pixels.
    """
    phases = np.einsum("auy,bvx,oiyx->aboiuv", _TAPS, _TAPS, weight)
    return np.ascontiguousarray(phases.reshape(-1, *phases.shape[3:]))


class _GraphBuilder:
    """Builds a chain of nodes whose names begin with `name`, and adds their initialisers to a graph."""

    def __init__(self, graph: onnx.GraphProto, name: str) -> None:
        self.graph, self.name = graph, name
        self.nodes: list[NodeProto] = []

    def add_node(self, op_type: str, *inputs: str, output: str = "", **attributes: object) -> str:
        """Add a node and return the name of its output."""
        name = output or f"{self.name}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def add_initialiser(self, values: NDArray[np.generic]) -> str:
        """Add an initialiser and return its name."""
        name = f"{self.name}.initialiser.{len(self.graph.initializer)}"
        self.graph.initializer.append(numpy_helper.from_array(values, name))
        return name

    def add_integers(self, *values: int) -> str:
        return self.add_initialiser(np.array(values, dtype=np.int64))


def _build_convolution(builder: _GraphBuilder, stage: Stage) -> str:
    """Build the convolution and its leaky ReLU; an upsampling stage gives four phases of channels."""
    if stage.upsampled_side is None:
        kernel, bias, kernel_shape = stage.weight, stage.bias, [3, 3]
    else:
        kernel, bias, kernel_shape = to_phase_kernel(stage.weight), np.tile(stage.bias, 4), [2, 2]
    inputs = stage.source, builder.add_initialiser(kernel), builder.add_initialiser(bias)
    x = builder.add_node("Conv", *inputs, kernel_shape=kernel_shape, pads=[1, 1, 1, 1])
    return builder.add_node("LeakyRelu", x, alpha=stage.leak)


def _build_upsampling_stage(builder: _GraphBuilder, stage: Stage) -> None:
    """Build a stage that upsamples: in channels-last order, one transposition interleaves the phases."""
    assert stage.upsampled_side is not None
    n_channels, n_places = len(stage.bias), stage.upsampled_side + 1
    x = builder.add_node("Transpose", _build_convolution(builder, stage), perm=[0, 2, 3, 1])
    x = builder.add_node("Reshape", x, builder.add_integers(-1, n_places, n_places, 2, 2 * n_channels))
    x = builder.add_node("Transpose", x, perm=[0, 1, 3, 2, 4])
    x = builder.add_node("Reshape", x, builder.add_integers(-1, 2 * n_places, 2 * n_places, n_channels))
    starts, ends, axes = builder.add_integers(1, 1), builder.add_integers(-1, -1), builder.add_integers(1, 2)
    x = builder.add_node("Slice", x, starts, ends, axes)
    ones = builder.add_initialiser(np.ones(n_channels, dtype=np.float32))
    x = builder.add_node("SimplifiedLayerNormalization", x, ones, axis=-1, epsilon=EPSILON)
    builder.add_node("Transpose", x, perm=[0, 3, 1, 2], output=stage.output)


def _build_same_side_stage(builder: _GraphBuilder, stage: Stage) -> None:
    """Build a stage without upsampling; its mean is a convolution, because ReduceMean uses one thread per image."""
    x = _build_convolution(builder, stage)
    inverse = builder.add_node("Reciprocal", _build_root_mean_square(builder, x, len(stage.bias), 1))
    builder.add_node("Mul", x, inverse, output=stage.output)


def _build_grey_stage(builder: _GraphBuilder, stage: Stage) -> None:
    """Build the last stage and the grey image: a value per pixel, divided by the norm at that pixel."""
    assert stage.grey is not None
    x, n_phases = _build_convolution(builder, stage), 1 if stage.upsampled_side is None else 4
    weight = np.kron(np.eye(n_phases, dtype=np.float32), stage.grey.weight)[..., None, None]
    value = builder.add_node("Conv", x, builder.add_initialiser(weight), kernel_shape=[1, 1])
    image = builder.add_node("Div", value, _build_root_mean_square(builder, x, len(stage.bias), n_phases))
    if stage.upsampled_side is not None:
        image = builder.add_node("DepthToSpace", image, blocksize=2)
        starts, ends, axes = builder.add_integers(1, 1), builder.add_integers(-1, -1), builder.add_integers(2, 3)
        image = builder.add_node("Slice", image, starts, ends, axes)
    builder.add_node("Add", image, builder.add_initialiser(stage.grey.bias), output=stage.output)


def _build_root_mean_square(builder: _GraphBuilder, x: str, n_channels: int, n_phases: int) -> str:
    """Build the root mean square over the channels of each phase."""
    one_phase = np.full((1, n_channels), 1 / n_channels, dtype=np.float32)
    mean = np.kron(np.eye(n_phases, dtype=np.float32), one_phase)[..., None, None]
    epsilon = builder.add_initialiser(np.full(n_phases, EPSILON, dtype=np.float32))
    square = builder.add_node("Mul", x, x)
    mean_square = builder.add_node("Conv", square, builder.add_initialiser(mean), epsilon, kernel_shape=[1, 1])
    return builder.add_node("Sqrt", mean_square)


def _remove_unused(graph: onnx.GraphProto) -> None:
    """Remove nodes and initialisers that nothing uses any more."""
    while True:
        used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
        nodes = [node for node in graph.node if used.intersection(node.output)]
        initialisers = [tensor for tensor in graph.initializer if tensor.name in used]
        if len(nodes) == len(graph.node) and len(initialisers) == len(graph.initializer):
            return
        for field, remaining in ((graph.node, nodes), (graph.initializer, initialisers)):
            del field[:]
            field.extend(remaining)
