"""The stated arithmetic is that which the networks do, as torch counts it."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from synthcxr import config as configs
from synthcxr.networks import arithmetic
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.generator import Generator
from synthcxr.networks.layers import Blocks
from synthcxr.training import gan, schedule, step

CHANNELS = {4: 16, 8: 16, 16: 8, 32: 4}
PROFILES = Path(__file__).parents[2] / "params"


def counted(forward: object, *inputs: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        forward(*inputs)  # type: ignore[operator]
    return counter.get_total_flops()


def test_the_generator_matches_a_count_by_hand() -> None:
    """Dense 6 x 256, one convolution at 4 px, two at 8 px, one grey layer."""
    by_hand = 6 * 16 * 16 + 9 * 16 * 16 * 16 + 9 * 64 * (16 * 16 + 16 * 16) + 64 * 16
    assert arithmetic.generator(6, CHANNELS, "paper", 8) == by_hand


@pytest.mark.parametrize("blocks", ["paper", "lean"])
@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_both_networks_do_what_is_stated(blocks: Blocks, resolution: int) -> None:
    """At every resolution, for either kind of block."""
    generator, discriminator = Generator(6, CHANNELS, blocks), Discriminator(CHANNELS, blocks)
    image = torch.randn(1, 1, resolution, resolution)
    made = counted(lambda z: generator(z, resolution), torch.randn(1, 6))
    judged = counted(discriminator, image)
    assert made == 2 * arithmetic.generator(6, CHANNELS, blocks, resolution)
    assert judged == 2 * arithmetic.discriminator(CHANNELS, blocks, resolution)


def test_lean_blocks_do_less() -> None:
    """Convolving at the smaller side halves the arithmetic where widths halve."""
    channels = {4: 128, 8: 128, 16: 64, 32: 32, 64: 16}
    lean, paper = (arithmetic.training_step(128, channels, blocks, 64) for blocks in ("lean", "paper"))
    assert 0.4 < lean / paper < 0.6


@pytest.mark.parametrize("blocks", ["paper", "lean"])
def test_a_training_step_costs_what_is_stated(blocks: Blocks) -> None:
    """Within 5 %: the first layers need no gradient of their input, which the statement leaves in."""
    config = dataclasses.replace(
        configs.load(PROFILES / "nih-64.yaml").train_gan, blocks=blocks, precision="fp32", device="cpu"
    )
    state = gan.new_state(config, torch.device("cpu"))
    moment = schedule.Moment(64, 1.0, 4, 1.0, 0)
    counter = FlopCounterMode(display=False)
    with counter:
        step.run(state, moment, torch.randn(4, 1, 64, 64), config, bf16=False, index=1)
    stated = 4 * arithmetic.training_step(config.latent, config.channels, blocks, 64)
    assert counter.get_total_flops() == pytest.approx(stated, rel=0.05)


def test_the_count_of_the_real_profile_is_held() -> None:
    """nih-64 needs 2.33 GFLOP for an image shown at 64 px."""
    config = configs.load(PROFILES / "nih-64.yaml").train_gan
    flop = arithmetic.training_step(config.latent, config.channels, config.blocks, 64)
    assert flop / 1e9 == pytest.approx(2.33, abs=0.05)
