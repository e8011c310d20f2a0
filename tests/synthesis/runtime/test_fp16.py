"""A generator in half precision gives the same images to 1e-2, through the code that a GPU takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from support.exported_models import CHANNELS, LATENT, write_generator

from synthcxr.synthesis.runtime import fp16 as halving
from synthcxr.synthesis.runtime.onnx_session import Session

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("blocks", ["lean", "paper"])
@pytest.mark.parametrize(
    ("fp16", "most"),
    [(True, 1e-2), (False, 2e-2)],
    ids=["stored in fp16", "stored in fp32"],
)
def test_the_same_images(tmp_path: Path, blocks: str, most: float, *, fp16: bool) -> None:
    """To 1e-2 where weights are stored in fp16, as the profiles store them; rounding fp32 ones adds its own part."""
    path = write_generator(tmp_path / "g.onnx", blocks=blocks, fp16=fp16)
    z = np.random.default_rng(0).standard_normal((64, LATENT)).astype(np.float32)
    z[1] *= 10
    plain, half = (Session.open(path, device="cpu", precision=precision) for precision in ("fp32", "fp16"))
    assert (plain.precision, half.precision) == ("fp32", "fp16")
    images = [session.run(z)["image"] for session in (plain, half)]
    assert images[1].dtype == np.float32 and images[1].shape == (64, 1, max(CHANNELS), max(CHANNELS))
    assert 0 < np.abs(images[0] - images[1]).max() < most


def test_every_step_is_halved(tmp_path: Path) -> None:
    """No weight and no constant but the scales of a doubling stays fp32, and the file is not touched."""
    path = write_generator(tmp_path / "g.onnx")
    before = path.read_bytes()
    graph = halving.halved(onnx.load(path)).graph
    onnx.checker.check_model(halving.halved(onnx.load(path)))
    wide = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    scales = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:]}
    assert wide <= scales
    assert path.read_bytes() == before


def test_only_a_generator_on_a_gpu(tmp_path: Path) -> None:
    """On a CPU nothing is halved that was not asked for: an image's bytes there stay what they were."""
    session = Session.open(write_generator(tmp_path / "g.onnx"), device="cpu")
    assert session.pins()["precision"] == "fp32"
