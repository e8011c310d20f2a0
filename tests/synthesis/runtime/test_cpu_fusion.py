"""A generator's graph made quicker: the same images to 1e-4, and what is no such pair stays as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import helper
from support.exported_models import LATENT, write_generator

from synthcxr.data import random_streams
from synthcxr.synthesis.runtime import cpu_fusion
from synthcxr.synthesis.runtime.onnx_session import Session


def run(model: onnx.ModelProto, z: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"z": z})[0])


@pytest.mark.parametrize("blocks", ["lean", "paper"])
@pytest.mark.parametrize("fp16", [pytest.param(False, marks=pytest.mark.slow), True])
def test_the_same_images(tmp_path: Path, blocks: str, *, fp16: bool) -> None:
    """Every doubling of either kind of block is merged, and no image changes by more than 1e-4, at N = 1, 3 and 32."""
    model = onnx.load(write_generator(tmp_path / "generator.onnx", blocks=blocks, fp16=fp16))
    quicker, n_merged = cpu_fusion.merged(model)
    assert n_merged == 2 and not [node for node in quicker.graph.node if node.op_type == "Resize"]
    used = {name for node in quicker.graph.node for name in node.input}
    assert {tensor.name for tensor in quicker.graph.initializer} <= used, "the kernels that were merged are gone"
    for n in (1, 3, 32):
        z = random_streams.latents(0, 0, n, LATENT)
        assert np.abs(run(quicker, z) - run(model, z)).max() < 1e-4


def test_the_file_stays_and_the_session_is_the_quicker_one(tmp_path: Path) -> None:
    """Opening changes no byte of the file, keeps its digest, and runs the merged graph."""
    path = write_generator(tmp_path / "generator.onnx")
    before, z = path.read_bytes(), random_streams.latents(0, 0, 4, LATENT)
    session = Session.open(path, device="cpu")
    assert path.read_bytes() == before and session.digest == session.contract.digest
    quicker, _ = cpu_fusion.merged(onnx.load(path))
    np.testing.assert_allclose(session.run(z)["image"], run(quicker, z), atol=1e-5)


def test_a_kernel_of_known_values() -> None:
    """The kernel in phases gives what doubling and convolving gives, on a map of its own, for every tap alone."""
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    for tap in range(9):
        weight = torch.zeros(3, 2, 9)
        weight[:, :, tap] = torch.arange(6.0).reshape(3, 2)
        weight = weight.reshape(3, 2, 3, 3)
        plain = torch.nn.functional.conv2d(torch.nn.functional.interpolate(x, scale_factor=2.0), weight, padding=1)
        phases = torch.nn.functional.conv2d(x, torch.from_numpy(cpu_fusion.in_phases(weight.numpy())), padding=1)
        rows = phases.reshape(2, 2, 3, 6, 6).permute(2, 3, 0, 4, 1).reshape(1, 3, 12, 12)
        torch.testing.assert_close(rows[..., 1:-1, 1:-1], plain, atol=1e-5, rtol=0)


def test_other_pairs_stay(tmp_path: Path) -> None:
    """A doubling used twice or smoothed, a convolution with a stride and a map that goes out are left alone."""
    model = onnx.load(write_generator(tmp_path / "generator.onnx", blocks="paper", fp16=False))
    z = random_streams.latents(0, 0, 3, LATENT)
    for change in ("used twice", "linear", "stride", "shown"):
        other = onnx.ModelProto()
        other.CopyFrom(model)
        resize = next(node for node in other.graph.node if node.op_type == "Resize")
        conv = next(node for node in other.graph.node if node.op_type == "Conv" and node.input[0] == resize.output[0])
        if change == "used twice":
            other.graph.node.append(helper.make_node("Identity", [resize.output[0]], ["again"]))
        elif change == "shown":
            (leaky,) = (node for node in other.graph.node if node.input[0] == conv.output[0])
            other.graph.output.append(helper.make_tensor_value_info(leaky.output[0], onnx.TensorProto.FLOAT, None))
        elif change == "linear":
            next(a for a in resize.attribute if a.name == "mode").s = b"linear"
        else:
            strides = [a for a in conv.attribute if a.name == "strides"]
            for attribute in strides:
                conv.attribute.remove(attribute)
            conv.attribute.append(helper.make_attribute("strides", [2, 2]))
        quicker, n_merged = cpu_fusion.merged(other)
        assert n_merged == 1, change
        if change != "stride":  # which gives a map that fits nothing after it
            assert np.abs(run(quicker, z) - run(other, z)).max() < 1e-4, change


@pytest.mark.parametrize("change", ["a computed bias", "another rounding", "a padded grey", "a mean without axes"])
def test_what_the_exporter_never_writes_stays_right(tmp_path: Path, change: str) -> None:
    """Where a step is not quite one that is known, it is left alone, and images stay what they were."""
    model = onnx.load(write_generator(tmp_path / "generator.onnx", blocks="lean", fp16=False))
    nodes, z = model.graph.node, random_streams.latents(0, 0, 3, LATENT)
    grey = next(node for node in nodes if node.output[0] == "image")
    if change == "a computed bias":
        held = np.full(1, 0.25, dtype=np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(held, "held"))
        nodes.insert(0, helper.make_node("Identity", ["held"], ["computed"]))
        grey = next(node for node in nodes if node.output[0] == "image")
        del grey.input[2:]
        grey.input.append("computed")
    elif change == "another rounding":
        resize = next(node for node in nodes if node.op_type == "Resize")
        next(a for a in resize.attribute if a.name == "coordinate_transformation_mode").s = b"half_pixel"
    elif change == "a padded grey":
        next(a for a in grey.attribute if a.name == "pads").ints[:] = [1, 1, 1, 1]
    else:
        mean = next(node for node in nodes if node.op_type == "ReduceMean" and node.input[0] != "mul")
        del mean.input[1:]
    quicker, _ = cpu_fusion.merged(model)
    assert np.abs(run(quicker, z) - run(model, z)).max() < 1e-4
