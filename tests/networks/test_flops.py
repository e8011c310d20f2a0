"""The stated arithmetic is that which the networks do, as torch counts it."""

import dataclasses

import pytest
import torch
from support.paths import REPOSITORY
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from synthcxr.config import schema as configs
from synthcxr.networks import flops
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.efficientnet_lite1 import Lite1
from synthcxr.networks.generator import Generator
from synthcxr.networks.layers import Blocks
from synthcxr.training import gan, loss, schedule, step

CHANNELS = {4: 16, 8: 16, 16: 8, 32: 4}
PROFILES = REPOSITORY / "params"


def counted(forward: object, *inputs: torch.Tensor) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        forward(*inputs)  # type: ignore[operator]
    return counter.get_total_flops()


def test_the_generator_matches_a_count_by_hand() -> None:
    """Dense 6 x 256, one convolution at 4 px, two at 8 px, one grey layer."""
    by_hand = 6 * 16 * 16 + 9 * 16 * 16 * 16 + 9 * 64 * (16 * 16 + 16 * 16) + 64 * 16
    assert flops.generator(6, CHANNELS, "paper", 8) == by_hand


@pytest.mark.parametrize("blocks", ["paper", "lean"])
@pytest.mark.parametrize("resolution", [4, 8, 32])
def test_both_networks_do_what_is_stated(blocks: Blocks, resolution: int) -> None:
    """At every resolution, for either kind of block."""
    generator, discriminator = Generator(6, CHANNELS, blocks), Discriminator(CHANNELS, blocks)
    image = torch.randn(1, 1, resolution, resolution)
    made = counted(lambda z: generator(z, resolution), torch.randn(1, 6))
    judged = counted(discriminator, image)
    assert made == 2 * flops.generator(6, CHANNELS, blocks, resolution)
    assert judged == 2 * flops.discriminator(CHANNELS, blocks, resolution)


def test_lean_blocks_do_less() -> None:
    """Convolving at the smaller side halves the arithmetic where widths halve."""
    channels = {4: 128, 8: 128, 16: 64, 32: 32, 64: 16}
    lean, paper = (flops.training_step(128, channels, blocks, 64) for blocks in ("lean", "paper"))
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
    stated = 4 * flops.training_step(config.latent, config.channels, blocks, 64)
    assert counter.get_total_flops() == pytest.approx(stated, rel=0.05)


@pytest.mark.parametrize("profile", ["starter", "nih-1024"])
def test_the_profiles_do_what_is_stated_at_every_resolution(profile: str) -> None:
    """Both networks to the operation; the penalty within 1 %. On shapes alone, nothing is computed."""
    config = configs.load(PROFILES / f"{profile}.yaml").train_gan
    with torch.device("meta"):
        generator = Generator(config.latent, config.channels, config.blocks)
        discriminator = Discriminator(config.channels, config.blocks)
        for side in generator.resolutions:
            image = torch.empty(1, 1, side, side)
            made = counted(lambda z, side=side: generator(z, side), torch.empty(1, config.latent))
            assert made == 2 * flops.generator(config.latent, config.channels, config.blocks, side)
            judged = counted(discriminator, image)
            assert judged == 2 * flops.discriminator(config.channels, config.blocks, side)
            with Counter() as counter:
                (loss.wgan_penalty if config.loss == "wgan-gp" else r1)(
                    discriminator, real=image, synthetic=image, mix=torch.empty(1, 1, 1, 1)
                ).backward()
            assert counter.total == pytest.approx(
                flops.penalty(config.channels, config.blocks, side), rel=0.01 if side > 4 else 0.1
            )


def r1(discriminator: Discriminator, *, real: torch.Tensor, **_: torch.Tensor) -> torch.Tensor:
    return loss.r1_penalty(discriminator, real)


class Counter(TorchDispatchMode):
    """Counts as torch's own counter does, which does not go through a gradient of a gradient."""

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
def test_the_counts_of_the_profiles_are_held(profile: str, gflop: dict[int, float]) -> None:
    """GFLOP for an image shown, its share of the penalty included."""
    config = configs.load(PROFILES / f"{profile}.yaml").train_gan
    found = {
        side: flops.image_shown(
            config.latent, config.channels, config.blocks, side, penalty_interval=config.penalty_interval
        )
        / 1e9
        for side in gflop
    }
    assert found == pytest.approx(gflop, rel=0.01)


def test_the_frozen_features_of_the_shipped_recipe_are_a_small_part() -> None:
    """0.22 GFLOP to look at an image of 128 px, beside 8.4 of the step."""
    network = Lite1()
    network.freeze()
    assert counted(network, torch.zeros(1, 1, 128, 128)) / 1e9 == pytest.approx(0.2204, rel=0.01)


def test_a_schedule_is_the_sum_of_its_images() -> None:
    """10 images at 4 px and 5 at 8 px; the paper's schedule is 8.68 EFLOP."""
    one, other = (flops.image_shown(6, CHANNELS, "paper", side, penalty_interval=2) for side in (4, 8))
    assert flops.training(6, CHANNELS, "paper", {4: 10, 8: 5}, penalty_interval=2) == 10 * one + 5 * other
    config = configs.load(PROFILES / "nih-1024.yaml").train_gan
    whole = flops.training(config.latent, config.channels, config.blocks, config.nimg, penalty_interval=1)
    assert whole / 1e18 == pytest.approx(8.68, rel=0.01)


def test_days_by_hand() -> None:
    """86,400 operations at 1 a second take a day; at half the peak two; on eight devices that lose a tenth, 1 / 7.2."""
    assert flops.days(86_400, peak_flops=1, utilisation=1) == 1
    assert flops.days(86_400, peak_flops=1, utilisation=0.5) == 2
    assert flops.days(86_400, peak_flops=1, utilisation=1, n_devices=8, scaling=0.9) == pytest.approx(1 / 7.2)
