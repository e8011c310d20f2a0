"""The original Inception, tested with a stub TorchScript network that has the same interface; no real weights."""

from __future__ import annotations

import functools
import http.server
import math
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from synthcxr.errors import ArtifactError
from synthcxr.evaluation.features import extractors, inception_weights
from synthcxr.storage import digests

torch = pytest.importorskip("torch")

SIDE = 299


class StubInception(torch.nn.Module):
    """The interface and the resizing of the original, with pooling and one linear map instead of its layers."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("weights", torch.randn(2048, 3 * 13 * 13, generator=generator) / 20)

    def layers(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.nn.functional.avg_pool2d(x, 23).flatten(1) @ self.weights.t())

    def forward(
        self,
        img: torch.Tensor,
        return_features: bool = False,
        use_fp16: bool = False,
        no_output_bias: bool = False,
    ) -> torch.Tensor:
        n, channels, height, width = img.shape
        x = img.to(torch.float16 if use_fp16 else torch.float32)
        theta = torch.eye(2, 3, device=x.device)
        theta[0, 2] += theta[0, 0] / width - theta[0, 0] / 299
        theta[1, 2] += theta[1, 1] / height - theta[1, 1] / 299
        grid = torch.nn.functional.affine_grid(
            theta.unsqueeze(0).repeat(n, 1, 1), [n, channels, 299, 299], align_corners=False
        )
        x = torch.nn.functional.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
        features = self.layers((x - 128) / 128)
        if return_features:
            return features
        return torch.softmax(features[:, :1008] + (0.0 if no_output_bias else 1.0), dim=1)


@pytest.fixture(scope="module")
def network() -> StubInception:
    return StubInception().eval()


@pytest.fixture
def stub_weights(network: StubInception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stub as the file that SYNTHCXR_INCEPTION names, with its digest as the expected one."""
    path = tmp_path / "inception.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript, the form of the original
        torch.jit.script(network).save(str(path))
    monkeypatch.setenv(inception_weights.VARIABLE, str(path))
    monkeypatch.setattr(inception_weights, "SHA256", digests.sha256_file(path))
    return path


def draw_films(n: int, side: int) -> np.ndarray:
    """Images uint8 [n, side, side]: a ramp with a bright square at a different position in each."""
    ramp = np.linspace(0, 200, side)[None, :, None] + np.linspace(0, 50, side)[None, None]
    pixels = np.repeat(ramp, n, axis=0)
    for index in range(n):
        pixels[index, index : index + side // 3, : side // 4] = 255
    return pixels.astype(np.uint8)


@pytest.mark.parametrize("side", [64, 256, 512])
def test_the_layers_get_the_input_of_the_original(
    stub_weights: Path, network: StubInception, load_reference, side: int
) -> None:
    """Features equal those after TensorFlow 1's bilinear resize (torch-fidelity's code) and (pixel - 128) / 128."""
    resize_like_tensorflow = load_reference(
        "torch_fidelity",
        "interpolate_compat_tensorflow.py",
        "interpolate_bilinear_2d_like_tensorflow1x",
        torch=torch,
        math=math,
        F=torch.nn.functional,
        _ntuple=None,
    ).interpolate_bilinear_2d_like_tensorflow1x
    pixels = draw_films(3, side)
    grey = torch.from_numpy(pixels.astype(np.float32))[:, None].expand(-1, 3, -1, -1)
    resized = resize_like_tensorflow(grey, size=(SIDE, SIDE), align_corners=False)
    with torch.inference_mode():
        expected = network.layers((resized - 128) / 128).numpy()
    features = extractors.open_extractor("inception", "cpu").run(pixels)["features"]
    assert features.shape == (3, 2048)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, atol=2e-3)


def test_features_do_not_depend_on_the_batch(stub_weights: Path) -> None:
    """An image has the same features alone and in a batch."""
    extractor = extractors.open_extractor("inception", "cpu")
    features = extractor.run(draw_films(3, 32))["features"]
    np.testing.assert_allclose(extractor.run(draw_films(3, 32)[1:2])["features"], features[1:2], atol=1e-4)
    assert extractor.provenance.extractor == "inception"
    assert extractor.provenance.digest == inception_weights.SHA256


def test_a_wrong_file_is_rejected_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names a file with another sha256, one that is not TorchScript, and one that does not exist."""
    path = tmp_path / "other.pt"
    path.write_bytes(b"no network")
    monkeypatch.setenv(inception_weights.VARIABLE, str(path))
    with pytest.raises(ArtifactError, match=r"other.pt: sha256 .* is not that of the original Inception"):
        extractors.open_extractor("inception", "cpu")
    monkeypatch.setattr(inception_weights, "SHA256", digests.sha256_file(path))
    with pytest.raises(ArtifactError, match="other.pt: not readable as a TorchScript file"):
        extractors.open_extractor("inception", "cpu")
    monkeypatch.setenv(inception_weights.VARIABLE, str(tmp_path / "absent.pt"))
    with pytest.raises(ArtifactError, match="absent.pt: no such file; correct SYNTHCXR_INCEPTION"):
        extractors.open_extractor("inception", "cpu")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server on loopback that serves tmp_path/served."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_SilentHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_the_file_is_downloaded_once_into_the_cache(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a local path the file is downloaded from its URL; the next run reads the cached copy."""
    (tmp_path / "served" / "x.pt").write_bytes(b"weights")
    monkeypatch.delenv(inception_weights.VARIABLE, raising=False)
    monkeypatch.setenv("SYNTHCXR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(inception_weights, "URL", f"{server}/x.pt")
    monkeypatch.setattr(inception_weights, "SHA256", digests.sha256_bytes(b"weights"))
    assert inception_weights.find_weights() == tmp_path / "cache" / "inception-2015-12-05.pt"
    (tmp_path / "served" / "x.pt").unlink()
    assert extractors.find_unavailable(["inception", "judge"]) == {}


def test_without_a_connection_the_error_is_one_line(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed download leaves no file, and the line says what to download and how to name it."""
    monkeypatch.delenv(inception_weights.VARIABLE, raising=False)
    monkeypatch.setenv("SYNTHCXR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(inception_weights, "URL", f"{server}/absent.pt")
    advice = extractors.find_unavailable(["inception"])["inception"]
    assert advice.startswith(f"download {server}/absent.pt (sha256 f58cb9b6ec323ed6...) and set SYNTHCXR_INCEPTION")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ArtifactError, match="the original Inception is not on this machine: download "):
        extractors.open_extractor("inception", "cpu")


class _SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""
