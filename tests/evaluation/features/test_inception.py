"""The Inception of the original, proved on a stand-in TorchScript network of the same interface; no real weights."""

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
from synthcxr.evaluation.features import extractors, inception, inception_weights
from synthcxr.storage import digests

torch = pytest.importorskip("torch")

SIDE = 299


class StandIn(torch.nn.Module):
    """The original's interface and its own resizing, with one pooled linear map in place of the layers."""

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
def network() -> StandIn:
    return StandIn().eval()


@pytest.fixture
def stand_in(network: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in as a file that SYNTHCXR_INCEPTION names, its digest in place of the original's."""
    path = tmp_path / "inception.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript, the form of the original
        torch.jit.script(network).save(str(path))
    monkeypatch.setenv(inception_weights.VARIABLE, str(path))
    monkeypatch.setattr(inception_weights, "SHA256", digests.sha256_file(path))
    return path


def films(n: int, side: int) -> np.ndarray:
    """A slope with a bright square that differs from film to film, uint8 [n, side, side]."""
    ramp = np.linspace(0, 200, side)[None, :, None] + np.linspace(0, 50, side)[None, None]
    pixels = np.repeat(ramp, n, axis=0)
    for at in range(n):
        pixels[at, at : at + side // 3, : side // 4] = 255
    return pixels.astype(np.uint8)


@pytest.mark.parametrize("side", [64, 256, 512])
def test_the_layers_see_what_the_original_showed_them(stand_in: Path, network: StandIn, formulas, side: int) -> None:
    """Our features are those of TensorFlow 1's bilinear resize (torch-fidelity's code) and (pixel - 128) / 128."""
    theirs = formulas(
        "torch_fidelity",
        "interpolate_compat_tensorflow.py",
        "interpolate_bilinear_2d_like_tensorflow1x",
        torch=torch,
        math=math,
        F=torch.nn.functional,
        _ntuple=None,
    ).interpolate_bilinear_2d_like_tensorflow1x
    pixels = films(3, side)
    grey = torch.from_numpy(pixels.astype(np.float32))[:, None].expand(-1, 3, -1, -1)
    resized = theirs(grey, size=(SIDE, SIDE), align_corners=False)
    with torch.inference_mode():
        expected = network.layers((resized - 128) / 128).numpy()
    found = inception.open_inception("cpu").run(pixels)["features"]
    assert found.shape == (3, 2048)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_an_image_alone_gives_what_it_gives_among_others(stand_in: Path) -> None:
    """Features do not depend on the batch."""
    extractor = inception.open_inception("cpu")
    together = extractor.run(films(3, 32))["features"]
    np.testing.assert_allclose(extractor.run(films(3, 32)[1:2])["features"], together[1:2], atol=1e-4)
    assert extractor.provenance.extractor == "inception"
    assert extractor.provenance.digest == inception_weights.SHA256


def test_another_file_is_refused_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another sha256 is named; nothing of it runs."""
    path = tmp_path / "other.pt"
    path.write_bytes(b"no network")
    monkeypatch.setenv(inception_weights.VARIABLE, str(path))
    with pytest.raises(ArtifactError, match=r"other.pt: sha256 .* is not that of the original Inception"):
        inception.open_inception("cpu")
    monkeypatch.setattr(inception_weights, "SHA256", digests.sha256_file(path))
    with pytest.raises(ArtifactError, match="other.pt: no TorchScript file"):
        inception.open_inception("cpu")
    monkeypatch.setenv(inception_weights.VARIABLE, str(tmp_path / "absent.pt"))
    with pytest.raises(ArtifactError, match="absent.pt: no such file; mend SYNTHCXR_INCEPTION"):
        inception.open_inception("cpu")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server on loopback over tmp_path/served."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as held:
        thread = threading.Thread(target=held.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{held.server_address[1]}"
        held.shutdown()
        thread.join()


def test_it_is_fetched_once_and_kept(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a local path the file comes from its URL into the cache, and the next time from there."""
    (tmp_path / "served" / "x.pt").write_bytes(b"weights")
    monkeypatch.delenv(inception_weights.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(inception_weights, "URL", f"{server}/x.pt")
    monkeypatch.setattr(inception_weights, "SHA256", digests.sha256_bytes(b"weights"))
    assert inception_weights.find() == tmp_path / "cache" / "synthcxr" / "inception-2015-12-05.pt"
    (tmp_path / "served" / "x.pt").unlink()
    assert extractors.missing(["inception", "judge"]) == {}


def test_offline_it_is_one_line(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be fetched nothing is left behind, and the line says what to download and where to put it."""
    monkeypatch.delenv(inception_weights.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(inception_weights, "URL", f"{server}/absent.pt")
    said = extractors.missing(["inception"])["inception"]
    assert said.startswith(f"download {server}/absent.pt (sha256 f58cb9b6ec323ed6...) and set SYNTHCXR_INCEPTION")
    assert not (tmp_path / "cache").exists()
    with pytest.raises(ArtifactError, match="the original Inception is not on this machine: download "):
        inception.open_inception("cpu")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""
