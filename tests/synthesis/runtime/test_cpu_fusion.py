"""A generator's graph fused for the CPU: the same images to 1e-4; steps that match no pattern stay as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import NodeProto, helper, numpy_helper
from support.exported_models import LATENT, write_generator

from synthcxr.data import random_streams
from synthcxr.synthesis.runtime.cpu_fusion import fuse_for_cpu, to_phase_kernel
from synthcxr.synthesis.runtime.onnx_session import Session


def run(model: onnx.ModelProto, latents: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"z": latents})[0])


@pytest.mark.parametrize("blocks", ["lean", "paper"])
@pytest.mark.parametrize("fp16", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_fused_graph_gives_the_same_images(tmp_path: Path, blocks: str, *, fp16: bool) -> None:
    """Every upsampling of either kind of block is fused, and no image changes by more than 1e-4, at N = 1, 3, 32."""
    model = onnx.load(write_generator(tmp_path / "generator.onnx", blocks=blocks, fp16=fp16))
    fused, n_fused = fuse_for_cpu(model)
    assert n_fused == 2 and not [node for node in fused.graph.node if node.op_type == "Resize"]
    used = {name for node in fused.graph.node for name in node.input}
    assert {tensor.name for tensor in fused.graph.initializer} <= used, "unused kernels remain"
    for n in (1, 3, 32):
        latents = random_streams.draw_latents(0, 0, n, LATENT)
        assert np.abs(run(fused, latents) - run(model, latents)).max() < 1e-4


def test_a_session_runs_the_fused_graph_and_leaves_the_file(tmp_path: Path) -> None:
    """Opening changes no byte of the file, keeps its digest, and runs the fused graph."""
    path = write_generator(tmp_path / "generator.onnx")
    content, latents = path.read_bytes(), random_streams.draw_latents(0, 0, 4, LATENT)
    session = Session.open(path, device="cpu")
    assert path.read_bytes() == content and session.digest == session.metadata.digest
    fused, _ = fuse_for_cpu(onnx.load(path))
    np.testing.assert_allclose(session.run(latents)["image"], run(fused, latents), atol=1e-5)


def test_a_phase_kernel_equals_upsampling_and_convolution() -> None:
    """For each tap alone, the phase kernel gives the result of upsampling followed by the 3 x 3 convolution."""
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    for tap in range(9):
        weight = torch.zeros(3, 2, 9)
        weight[:, :, tap] = torch.arange(6.0).reshape(3, 2)
        weight = weight.reshape(3, 2, 3, 3)
        expected = torch.nn.functional.conv2d(torch.nn.functional.interpolate(x, scale_factor=2.0), weight, padding=1)
        phases = torch.nn.functional.conv2d(x, torch.from_numpy(to_phase_kernel(weight.numpy())), padding=1)
        rows = phases.reshape(2, 2, 3, 6, 6).permute(2, 3, 0, 4, 1).reshape(1, 3, 12, 12)
        torch.testing.assert_close(rows[..., 1:-1, 1:-1], expected, atol=1e-5, rtol=0)


def use_upsampled_map_twice(graph: onnx.GraphProto, resize: NodeProto, conv: NodeProto) -> None:
    graph.node.append(helper.make_node("Identity", [resize.output[0]], ["again"]))


def make_upsampling_linear(graph: onnx.GraphProto, resize: NodeProto, conv: NodeProto) -> None:
    next(attribute for attribute in resize.attribute if attribute.name == "mode").s = b"linear"


def expose_intermediate_map(graph: onnx.GraphProto, resize: NodeProto, conv: NodeProto) -> None:
    (leaky,) = (node for node in graph.node if node.input[0] == conv.output[0])
    graph.output.append(helper.make_tensor_value_info(leaky.output[0], onnx.TensorProto.FLOAT, None))


def set_stride(graph: onnx.GraphProto, resize: NodeProto, conv: NodeProto) -> None:
    for attribute in [attribute for attribute in conv.attribute if attribute.name == "strides"]:
        conv.attribute.remove(attribute)
    conv.attribute.append(helper.make_attribute("strides", [2, 2]))


@pytest.mark.parametrize(
    "change", [use_upsampled_map_twice, make_upsampling_linear, expose_intermediate_map, set_stride]
)
def test_an_upsampling_that_does_not_match_is_not_fused(tmp_path: Path, change: object) -> None:
    """If the map is used twice, interpolated linearly or an output, or the convolution has a stride, it stays."""
    model = onnx.load(write_generator(tmp_path / "generator.onnx", blocks="paper", fp16=False))
    resize = next(node for node in model.graph.node if node.op_type == "Resize")
    conv = next(node for node in model.graph.node if node.op_type == "Conv" and node.input[0] == resize.output[0])
    change(model.graph, resize, conv)  # type: ignore[operator]
    fused, n_fused = fuse_for_cpu(model)
    assert n_fused == 1
    if change is not set_stride:  # its map does not fit the steps after it, so the graph cannot run
        latents = random_streams.draw_latents(0, 0, 3, LATENT)
        assert np.abs(run(fused, latents) - run(model, latents)).max() < 1e-4


def compute_grey_bias(graph: onnx.GraphProto) -> None:
    graph.initializer.append(numpy_helper.from_array(np.full(1, 0.25, dtype=np.float32), "constant"))
    graph.node.insert(0, helper.make_node("Identity", ["constant"], ["computed"]))
    grey = next(node for node in graph.node if node.output[0] == "image")
    del grey.input[2:]
    grey.input.append("computed")


def change_upsampling_coordinates(graph: onnx.GraphProto) -> None:
    resize = next(node for node in graph.node if node.op_type == "Resize")
    next(a for a in resize.attribute if a.name == "coordinate_transformation_mode").s = b"half_pixel"


def pad_grey_convolution(graph: onnx.GraphProto) -> None:
    grey = next(node for node in graph.node if node.output[0] == "image")
    next(attribute for attribute in grey.attribute if attribute.name == "pads").ints[:] = [1, 1, 1, 1]


def remove_mean_axes(graph: onnx.GraphProto) -> None:
    mean = next(node for node in graph.node if node.op_type == "ReduceMean" and node.input[0] != "mul")
    del mean.input[1:]


@pytest.mark.parametrize(
    "change", [compute_grey_bias, change_upsampling_coordinates, pad_grey_convolution, remove_mean_axes]
)
def test_a_graph_that_the_exporter_never_writes_keeps_its_images(tmp_path: Path, change: object) -> None:
    """A step that differs slightly from a pattern is not fused, and the images stay the same to 1e-4."""
    model = onnx.load(write_generator(tmp_path / "generator.onnx", blocks="lean", fp16=False))
    change(model.graph)  # type: ignore[operator]
    fused, _ = fuse_for_cpu(model)
    latents = random_streams.draw_latents(0, 0, 3, LATENT)
    assert np.abs(run(fused, latents) - run(model, latents)).max() < 1e-4
