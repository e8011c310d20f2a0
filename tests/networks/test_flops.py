"""The counted FLOP equal those that torch counts when the networks run."""

import dataclasses

import pytest
import torch
from support.paths import REPOSITORY
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from synthcxr.config.schema import load_config
from synthcxr.networks import flops
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.efficientnet_lite1 import EfficientNetLite1
from synthcxr.networks.generator import Generator
from synthcxr.networks.layers import Blocks
from synthcxr.training import gan_state, loss, step
from synthcxr.training.schedule import SchedulePoint

CHANNELS = {4: 16, 8: 16, 16: 8, 32: 4}
PROFILES = REPOSITORY / "params"


def count_flops(forward: object, *inputs: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        forward(*inputs)  # type: ignore[operator]
    return counter.get_total_flops()


def test_the_generator_matches_a_count_by_hand() -> None:
    """Dense 6 x 256, one convolution at 4 px, two at 8 px, one grey layer."""
    by_hand = 6 * 16 * 16 + 9 * 16 * 16 * 16 + 9 * 64 * (16 * 16 + 16 * 16) + 64 * 16
    assert flops.count_generator_macs(6, CHANNELS, "paper", 8) == by_hand


@pytest.mark.parametrize("blocks", ["paper", "lean"])
@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_counts_of_both_networks_equal_those_of_torch(blocks: Blocks, resolution: int) -> None:
    """This holds at every resolution, for both kinds of blocks."""
    generator, discriminator = Generator(6, CHANNELS, blocks), Discriminator(CHANNELS, blocks)
    image = torch.randn(1, 1, resolution, resolution)
    flop_g = count_flops(lambda z: generator(z, resolution), torch.randn(1, 6))
    flop_d = count_flops(discriminator, image)
    assert flop_g == 2 * flops.count_generator_macs(6, CHANNELS, blocks, resolution)
    assert flop_d == 2 * flops.count_discriminator_macs(CHANNELS, blocks, resolution)


def test_lean_blocks_need_half_the_arithmetic() -> None:
    """Convolutions at the smaller side halve the FLOP if the widths halve with each resolution."""
    channels = {4: 128, 8: 128, 16: 64, 32: 32, 64: 16}
    lean, paper = (flops.count_step_flops(128, channels, blocks, 64) for blocks in ("lean", "paper"))
    assert 0.4 < lean / paper < 0.6


@pytest.mark.parametrize("blocks", ["paper", "lean"])
def test_the_count_of_a_training_step_agrees_with_torch(blocks: Blocks) -> None:
    """It agrees to 5 %: the count includes the gradients of the input of the first layers, which are not needed."""
    config = dataclasses.replace(
        load_config(PROFILES / "nih-64.yaml").train_gan, blocks=blocks, precision="fp32", device="cpu"
    )
    state = gan_state.create_state(config, torch.device("cpu"))
    point = SchedulePoint(64, alpha=1.0, batch=4, lr_factor=1.0, phase_start=0)
    counter = FlopCounterMode(display=False)
    with counter:
        step.run_step(state, point, torch.randn(4, 1, 64, 64), config, bf16=False, index=1)
    expected = 4 * flops.count_step_flops(config.latent, config.channels, blocks, 64)
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("profile", ["starter", "nih-1024"])
def test_counts_of_the_profiles_equal_those_of_torch(profile: str) -> None:
    """The counts of both networks are exact, that of the penalty agrees to 1 %. Meta tensors compute nothing."""
    config = load_config(PROFILES / f"{profile}.yaml").train_gan
    with torch.device("meta"):
        generator = Generator(config.latent, config.channels, config.blocks)
        discriminator = Discriminator(config.channels, config.blocks)
        for side in generator.resolutions:
            image = torch.empty(1, 1, side, side)
            flop_g = count_flops(lambda z, side=side: generator(z, side), torch.empty(1, config.latent))
            assert flop_g == 2 * flops.count_generator_macs(config.latent, config.channels, config.blocks, side)
            flop_d = count_flops(discriminator, image)
            assert flop_d == 2 * flops.count_discriminator_macs(config.channels, config.blocks, side)
            with DispatchFlopCounter() as counter:
                (loss.wgan_penalty if config.loss == "wgan-gp" else compute_r1)(
                    discriminator, real=image, synthetic=image, mix=torch.empty(1, 1, 1, 1)
                ).backward()
            assert counter.total == pytest.approx(
                flops.count_penalty_flops(config.channels, config.blocks, side), rel=0.01 if side > 4 else 0.1
            )


def compute_r1(discriminator: Discriminator, *, real: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
    return loss.r1_penalty(discriminator, real)


class DispatchFlopCounter(TorchDispatchMode):
    """Counts like torch's own counter, and also through the gradient of a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        self.total += count(*args, **(kwargs or {}), out_val=out) if count else 0
        return out


@pytest.mark.parametrize(
    ("profile", "gflop"),
    [
        ("nih-64", {4: 0.06, 8: 0.4895, 16: 1.134, 32: 1.778, 64: 2.423}),
        ("starter", {8: 0.3329, 16: 0.6639, 32: 0.9951, 64: 1.3267, 128: 2.4222}),
        ("../docs/results/starter/params", {128: 8.446}),
        (
            "nih-1024",
            {4: 1.428, 8: 11.70, 16: 52.77, 32: 217.1, 64: 463.5, 128: 710.0, 256: 956.5, 512: 1203, 1024: 1450},
        ),
    ],
)
def test_the_profiles_have_known_counts(profile: str, gflop: dict[int, float]) -> None:
    """The GFLOP per image shown include its share of the penalty."""
    config = load_config(PROFILES / f"{profile}.yaml").train_gan
    counts = {
        side: flops.count_image_flops(
            config.latent, config.channels, config.blocks, side, penalty_interval=config.penalty_interval
        )
        / 1e9
        for side in gflop
    }
    assert counts == pytest.approx(gflop, rel=0.01)


def test_the_frozen_features_of_the_starter_cost_little() -> None:
    """The features of an image at 128 px take 0.22 GFLOP; a step takes 8.4 GFLOP per image."""
    network = EfficientNetLite1()
    network.freeze()
    assert count_flops(network, torch.zeros(1, 1, 128, 128)) / 1e9 == pytest.approx(0.2204, rel=0.01)


def test_the_count_of_a_schedule_is_the_sum_over_its_images() -> None:
    """10 images at 4 px and 5 at 8 px add up; the schedule of the paper takes 8.68 EFLOP."""
    flop_4, flop_8 = (flops.count_image_flops(6, CHANNELS, "paper", side, penalty_interval=2) for side in (4, 8))
    assert (
        flops.count_training_flops(6, CHANNELS, "paper", {4: 10, 8: 5}, penalty_interval=2) == 10 * flop_4 + 5 * flop_8
    )
    config = load_config(PROFILES / "nih-1024.yaml").train_gan
    total = flops.count_training_flops(config.latent, config.channels, config.blocks, config.nimg, penalty_interval=1)
    assert total / 1e18 == pytest.approx(8.68, rel=0.01)


def test_days_have_known_values() -> None:
    """86,400 FLOP at 1 FLOP/s take 1 day, at half the peak 2 days, on 8 devices of 90 % efficiency 1 / 7.2 day."""
    assert flops.estimate_days(86_400, peak_flops=1, utilisation=1) == 1
    assert flops.estimate_days(86_400, peak_flops=1, utilisation=0.5) == 2
    assert flops.estimate_days(86_400, peak_flops=1, utilisation=1, n_devices=8, scaling=0.9) == pytest.approx(1 / 7.2)
