"""A generator in half precision gives the same images to 1e-2, by the code path of a GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.exported_models import CHANNELS, LATENT, write_generator

from synthcxr.synthesis.runtime.fp16 import convert_to_fp16
from synthcxr.synthesis.runtime.onnx_session import Session

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("blocks", ["lean", "paper"])
@pytest.mark.parametrize(
    ("fp16", "tolerance"),
    [(True, 1e-2), (False, 2e-2)],
    ids=["stored in fp16", "stored in fp32"],
)
def test_a_session_in_fp16_gives_the_same_images(tmp_path: Path, blocks: str, tolerance: float, *, fp16: bool) -> None:
    """To 1e-2 if weights are stored in fp16, as the profiles store them; rounding fp32 weights adds to the error."""
    path = write_generator(tmp_path / "g.onnx", blocks=blocks, fp16=fp16)
    latents = np.random.default_rng(0).standard_normal((64, LATENT)).astype(np.float32)
    latents[1] *= 10
    full, half = (Session.open(path, device="cpu", precision=precision) for precision in ("fp32", "fp16"))
    assert (full.precision, half.precision) == ("fp32", "fp16")
    images = [session.run(latents)["image"] for session in (full, half)]
    assert images[1].dtype == np.float32 and images[1].shape == (64, 1, max(CHANNELS), max(CHANNELS))
    assert 0 < np.abs(images[0] - images[1]).max() < tolerance


def test_only_the_scales_of_upsampling_stay_in_fp32(tmp_path: Path) -> None:
    """Every other weight and constant becomes fp16, the graph is valid, and the file does not change."""
    path = write_generator(tmp_path / "g.onnx")
    content = path.read_bytes()
    converted = convert_to_fp16(onnx.load(path))
    onnx.checker.check_model(converted)
    fp32_names = {tensor.name for tensor in converted.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    scales = {name for node in converted.graph.node if node.op_type == "Resize" for name in node.input[1:]}
    assert fp32_names <= scales
    assert path.read_bytes() == content


def test_a_cpu_session_uses_fp32_by_default(tmp_path: Path) -> None:
    """Without an explicit precision, a generator on a CPU computes in fp32, so its bytes stay the same."""
    session = Session.open(write_generator(tmp_path / "g.onnx"), device="cpu")
    assert session.runtime_settings["precision"] == "fp32"
