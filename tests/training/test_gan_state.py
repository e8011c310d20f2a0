"""Initial weights from an earlier training: what is loaded, what stays random, and what is refused."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support.small_gan import CONFIG, ProgressRecorder, read_films

from synthcxr.config.schema import GanConfig
from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files
from synthcxr.training import gan
from synthcxr.training.gan_state import GanState, InitialWeights, create_state, load_initial_weights

CPU = torch.device("cpu")


def train(
    config: GanConfig,
    folder: Path,
    initial_weights: InitialWeights | None = None,
    recorder: ProgressRecorder | None = None,
) -> GanState:
    return gan.train_gan(
        config,
        read_films,
        fingerprint=folder.name,
        folder=folder,
        callbacks=(recorder or ProgressRecorder()).callbacks(),
        initial_weights=initial_weights,
    )


@pytest.fixture
def weights(tmp_path: Path) -> InitialWeights:
    """The weight files of a finished training."""
    state = train(dataclasses.replace(CONFIG, nimg={4: 64, 8: 64}), tmp_path / "earlier")
    weights = InitialWeights(tmp_path / "generator.safetensors", tmp_path / "discriminator.safetensors")
    safetensors_files.save(weights.generator, state.ema, {})
    safetensors_files.save(weights.discriminator, state.discriminator, {})
    return weights


def test_training_starts_from_the_earlier_networks(tmp_path: Path, weights: InitialWeights) -> None:
    """G and its average start as the earlier average, D as the earlier D; the result differs from random weights."""
    state = create_state(CONFIG, CPU)
    load_initial_weights(state, weights, seed=1)
    for network, path in (
        (state.generator, weights.generator),
        (state.ema, weights.generator),
        (state.discriminator, weights.discriminator),
    ):
        tensors, _ = safetensors_files.load(path)
        assert all(torch.equal(value, tensors[name]) for name, value in network.state_dict().items())
    continued = train(CONFIG, tmp_path / "continued", weights)
    from_random = train(CONFIG, tmp_path / "random")
    assert not torch.equal(continued.ema.dense.weight, from_random.ema.dense.weight)


@pytest.mark.slow
def test_a_smaller_model_grows(weights: InitialWeights) -> None:
    """Resolutions that the earlier training did not reach keep their random weights; the others are loaded."""
    taller = dataclasses.replace(CONFIG, resolution=16, channels={4: 8, 8: 8, 16: 4})
    random, state = create_state(taller, CPU), create_state(taller, CPU)
    load_initial_weights(state, weights, seed=1)
    assert torch.equal(state.generator.blocks["16"].conv1.weight, random.generator.blocks["16"].conv1.weight)
    tensors, _ = safetensors_files.load(weights.generator)
    assert torch.equal(state.generator.blocks["8"].conv1.weight, tensors["blocks.8.conv1.weight"])


@pytest.mark.slow
def test_a_checkpoint_takes_precedence_over_initial_weights(tmp_path: Path, weights: InitialWeights) -> None:
    """A run that starts from other networks, is stopped and is resumed, ends like an uninterrupted one."""
    uninterrupted = train(CONFIG, tmp_path / "uninterrupted", weights)
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, tmp_path / "stopped", weights, ProgressRecorder(stop_nimg=96))
    resumed = train(CONFIG, tmp_path / "stopped", weights)
    for name, value in uninterrupted.ema.state_dict().items():
        assert torch.equal(value, resumed.ema.state_dict()[name])


@pytest.mark.slow
def test_wider_networks_compute_the_same_and_then_their_copies_diverge(tmp_path: Path, weights: InitialWeights) -> None:
    """Two or three times the channels above 4 px change no image and no logit; after training, copies differ."""
    for factor in (2, 3):
        wide_config = dataclasses.replace(CONFIG, channels=CONFIG.channels | {8: CONFIG.channels[8] * factor})
        narrow, wide = create_state(CONFIG, CPU), create_state(wide_config, CPU)
        load_initial_weights(narrow, weights, seed=1)
        load_initial_weights(wide, weights, seed=1)
        z, image = torch.randn(4, CONFIG.latent), torch.randn(4, 1, 8, 8)
        torch.testing.assert_close(wide.generator(z), narrow.generator(z), rtol=0, atol=2e-5)
        torch.testing.assert_close(wide.discriminator(image), narrow.discriminator(image), rtol=0, atol=2e-5)
    trained = train(wide_config, tmp_path / "wide", weights).generator.blocks["8"].conv1.weight
    n = len(trained) // 3
    assert not torch.allclose(trained[:n], trained[n : 2 * n], atol=1e-3)


@pytest.mark.parametrize("channels", [{4: 16, 8: 8}, {4: 8, 8: 12}, {4: 8, 8: 4}])
def test_widths_that_copies_cannot_reach_are_refused(weights: InitialWeights, channels: dict[int, int]) -> None:
    """The 4 px maps keep their width; the others grow by whole factors and never shrink."""
    state = create_state(dataclasses.replace(CONFIG, channels=channels), CPU)
    with pytest.raises(
        ArtifactError, match=r"does not fit train_gan\.latent, channels, blocks and condition \(first at"
    ):
        load_initial_weights(state, weights, seed=1)


def test_networks_of_another_shape_are_refused_by_name(weights: InitialWeights) -> None:
    """For another latent size, the error names the file and the parameters to change."""
    state = create_state(dataclasses.replace(CONFIG, latent=CONFIG.latent * 2), CPU)
    with pytest.raises(ArtifactError, match=r"generator\.safetensors: does not fit train_gan\.latent"):
        load_initial_weights(state, weights, seed=1)
