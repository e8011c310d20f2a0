"""Going on from an earlier training's networks: what is taken over, what stays fresh, what is refused."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support.small_gan import CONFIG, Heard, films

from synthcxr.errors import ArtifactError
from synthcxr.networks import safetensors_files
from synthcxr.training import gan

CPU = torch.device("cpu")


def trained(folder: Path, **changes: object) -> gan.Start:
    """The weight files of a finished training."""
    config = dataclasses.replace(CONFIG, nimg={4: 64, 8: 64}, **changes)
    state = gan.train(config, films, fingerprint="first", folder=folder / "first", listeners=Heard().listeners())
    start = gan.Start(folder / "generator.safetensors", folder / "discriminator.safetensors")
    safetensors_files.save(start.generator, state.ema, {})
    safetensors_files.save(start.discriminator, state.discriminator, {})
    return start


def test_training_begins_at_the_earlier_networks(tmp_path: Path) -> None:
    """G and its average begin as the earlier average, D as the earlier D; the run differs from one from nothing."""
    start = trained(tmp_path)
    state = gan.new_state(CONFIG, CPU)
    gan.begin(state, start, seed=1)
    for network, path in ((state.generator, start.generator), (state.ema, start.generator)):
        held, _ = safetensors_files.load(path)
        assert all(torch.equal(value, held[name]) for name, value in network.state_dict().items())
    held, _ = safetensors_files.load(start.discriminator)
    assert all(torch.equal(value, held[name]) for name, value in state.discriminator.state_dict().items())
    ends = [
        gan.train(CONFIG, films, fingerprint=name, folder=tmp_path / name, listeners=Heard().listeners(), start=begin)
        for name, begin in (("gone-on", start), ("scratch", None))
    ]
    assert not torch.equal(ends[0].ema.dense.weight, ends[1].ema.dense.weight)


@pytest.mark.slow
def test_a_smaller_model_grows(tmp_path: Path) -> None:
    """Resolutions that the earlier training had not reached keep their fresh weights; the others arrive."""
    start = trained(tmp_path)
    taller = dataclasses.replace(CONFIG, resolution=16, channels={4: 8, 8: 8, 16: 4})
    fresh, state = gan.new_state(taller, CPU), gan.new_state(taller, CPU)
    gan.begin(state, start, seed=1)
    assert torch.equal(state.generator.blocks["16"].conv1.weight, fresh.generator.blocks["16"].conv1.weight)
    held, _ = safetensors_files.load(start.generator)
    assert torch.equal(state.generator.blocks["8"].conv1.weight, held["blocks.8.conv1.weight"])


@pytest.mark.slow
def test_a_checkpoint_wins_over_the_start(tmp_path: Path) -> None:
    """A stopped training that began from other networks ends as one that was never stopped."""
    start = trained(tmp_path)

    def run(folder: Path, heard: Heard) -> gan.State:
        return gan.train(CONFIG, films, fingerprint="x", folder=folder, listeners=heard.listeners(), start=start)

    whole = run(tmp_path / "whole", Heard())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", Heard(stop_at=96))
    again = run(tmp_path / "stopped", Heard())
    for name, value in whole.ema.state_dict().items():
        assert torch.equal(value, again.ema.state_dict()[name])


@pytest.mark.slow
def test_wider_networks_compute_the_same_and_then_learn_apart(tmp_path: Path) -> None:
    """Two and three times the channels beyond 4 px change no image and no logit; after some steps copies differ."""
    start = trained(tmp_path)
    for factor in (2, 3):
        wide = dataclasses.replace(CONFIG, channels=CONFIG.channels | {8: CONFIG.channels[8] * factor})
        narrow, state = gan.new_state(CONFIG, CPU), gan.new_state(wide, CPU)
        gan.begin(narrow, start, seed=1)
        gan.begin(state, start, seed=1)
        z, image = torch.randn(4, CONFIG.latent), torch.randn(4, 1, 8, 8)
        torch.testing.assert_close(state.generator(z), narrow.generator(z), rtol=0, atol=2e-5)
        torch.testing.assert_close(state.discriminator(image), narrow.discriminator(image), rtol=0, atol=2e-5)
    held = (
        gan.train(wide, films, fingerprint="wide", folder=tmp_path / "wide", listeners=Heard().listeners(), start=start)
        .generator.blocks["8"]
        .conv1.weight
    )
    assert not torch.allclose(held[: len(held) // 3], held[len(held) // 3 : 2 * len(held) // 3], atol=1e-3)


@pytest.mark.parametrize("channels", [{4: 16, 8: 8}, {4: 8, 8: 12}, {4: 8, 8: 4}])
def test_widths_that_cannot_be_had_by_copies_are_refused(tmp_path: Path, channels: dict[int, int]) -> None:
    """The 4 px maps stay as they are, the others grow by whole factors and never shrink."""
    start = trained(tmp_path)
    with pytest.raises(ArtifactError, match=r"does not fit train_gan\.latent, channels and blocks \(first at"):
        gan.begin(gan.new_state(dataclasses.replace(CONFIG, channels=channels), CPU), start, seed=1)


def test_networks_of_another_shape_are_refused_by_name(tmp_path: Path) -> None:
    """Another latent, other widths: one line that names the file and what to change."""
    start = trained(tmp_path)
    other = dataclasses.replace(CONFIG, latent=CONFIG.latent * 2)
    with pytest.raises(ArtifactError, match=r"generator\.safetensors: does not fit train_gan\.latent"):
        gan.begin(gan.new_state(other, CPU), start, seed=1)
