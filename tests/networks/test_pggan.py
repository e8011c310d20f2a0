"""The PGGAN of Karras et al.: sizes, growth, equalised learning rate, normalisation, minibatch deviation."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from synthcxr.networks import generator as generators
from synthcxr.networks import layers
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.generator import Generator

CHANNELS = {4: 8, 8: 8, 16: 4}


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_at_1024_are_those_of_the_paper() -> None:
    """One channel, widths min(8192 / 2**stage, 512): the published counts, with all nine and with one grey layer."""
    channels = generators.paper_channels(1024)
    generator, discriminator = Generator(512, channels), Discriminator(channels)
    assert list(channels.values()) == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert (count(generator), count(discriminator)) == (23_074_009, 23_082_161)
    spare_g = sum(count(layer) for side, layer in generator.to_grey.items() if side != "1024")
    spare_d = sum(count(layer) for side, layer in discriminator.from_grey.items() if side != "1024")
    assert (count(generator) - spare_g, count(discriminator) - spare_d) == (23_071_473, 23_077_105)


@pytest.mark.parametrize("blocks", ["paper", "lean"])
@pytest.mark.parametrize("resolution", [4, 8, 16])
def test_both_networks_work_at_every_resolution(resolution: int, blocks: layers.Blocks) -> None:
    """One channel at the asked-for side, one logit an image."""
    image = Generator(6, CHANNELS, blocks)(torch.randn(3, 6), resolution)
    assert image.shape == (3, 1, resolution, resolution)
    assert Discriminator(CHANNELS, blocks)(image).shape == (3,)


def test_lean_blocks_keep_the_generators_parameters() -> None:
    """Only the order of convolving and doubling differs: weights of one kind fit the other."""
    paper, lean = Generator(6, CHANNELS, "paper"), Generator(6, CHANNELS, "lean")
    lean.load_state_dict(paper.state_dict())
    z = torch.randn(2, 6)
    assert torch.equal(lean(z, 4), paper(z, 4))
    assert not torch.allclose(lean(z), paper(z))


@pytest.mark.parametrize("blocks", ["paper", "lean"])
def test_generator_fades_in_without_a_jump(blocks: layers.Blocks) -> None:
    """At alpha 0 the image is the old one, doubled; near 1 it nears the new one."""
    generator, z = Generator(6, CHANNELS, blocks), torch.randn(2, 6)
    assert torch.allclose(generator(z, 16, alpha=0.0), layers.upsample(generator(z, 8)), atol=1e-6)
    assert torch.allclose(generator(z, 16, alpha=1 - 1e-7), generator(z, 16), atol=1e-5)


@pytest.mark.parametrize("blocks", ["paper", "lean"])
def test_discriminator_fades_in_without_a_jump(blocks: layers.Blocks) -> None:
    """At alpha 0 its logit of an image is that of the halved image; near 1 it nears the grown network's."""
    discriminator, image = Discriminator(CHANNELS, blocks), torch.randn(4, 1, 16, 16)
    assert torch.allclose(discriminator(image, 0.0), discriminator(layers.downsample(image)), atol=1e-5)
    assert torch.allclose(discriminator(image, 1 - 1e-7), discriminator(image), atol=1e-5)


def test_equalised_learning_rate_scales_unit_weights_by_gain_over_root_fan_in() -> None:
    """Stored weights are N(0, 1) and outputs keep unit variance; folding changes no output."""
    torch.manual_seed(0)
    conv = layers.Conv(64, 32)
    assert conv.weight.std().item() == pytest.approx(1, abs=0.02)
    assert conv.scale == pytest.approx(math.sqrt(2) / math.sqrt(64 * 9))
    x = torch.randn(2, 64, 8, 8)
    before = conv(x)
    layers.fold_scales(conv)
    assert conv.scale == 1.0
    assert torch.allclose(conv(x), before, atol=1e-5)
    assert Generator(16, CHANNELS).dense.scale == pytest.approx(math.sqrt(2) / 4 / math.sqrt(16))
    assert Discriminator(CHANNELS).logit.scale == pytest.approx(1 / math.sqrt(8))


def test_pixel_norm_gives_unit_mean_square() -> None:
    """Over the channels of each position."""
    square = layers.pixel_norm(torch.randn(2, 16, 3, 3) * 7).square().mean(dim=1)
    assert torch.allclose(square, torch.ones_like(square), atol=1e-4)


@given(st.integers(1, 64))
def test_group_size_divides_the_batch(batch: int) -> None:
    """The largest divisor up to 4."""
    size = layers.group_size(batch)
    assert size <= 4
    assert batch % size == 0
    assert not any(batch % larger == 0 for larger in range(size + 1, 5))


def test_minibatch_stddev_never_mixes_real_and_synthetic() -> None:
    """With two stacked sets of 2, each pair is its own group: changing one set leaves the other's map alone."""
    real, synthetic = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    stacked = layers.minibatch_stddev(torch.cat([real, synthetic]), batch=2)
    changed = layers.minibatch_stddev(torch.cat([real, synthetic * 9]), batch=2)
    assert torch.equal(stacked[:2], changed[:2])
    assert not torch.equal(stacked[2:, 3], changed[2:, 3])


def test_minibatch_stddev_has_known_values() -> None:
    """Two images that differ by 2 everywhere deviate by 1; a batch of one gives 0."""
    pair = torch.stack([torch.zeros(1, 4, 4), torch.full((1, 4, 4), 2.0)])
    assert torch.allclose(layers.minibatch_stddev(pair, batch=2)[:, 1], torch.ones(2, 4, 4))
    assert layers.minibatch_stddev(pair[:1], batch=1)[:, 1].abs().max() == 0


def test_leaky_norm_is_pixel_norm_of_leaky_in_value_and_gradient() -> None:
    """What trains and what is at rest agree, and the hand-written gradient is the true one."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(layers.leaky_norm(x), layers.pixel_norm(layers.leaky(x)))
    assert torch.autograd.gradcheck(layers.leaky_norm, (x,))
    narrow = torch.randn(2, 16, 8, 8, requires_grad=True)
    rounded = layers.leaky_norm(narrow.bfloat16())
    assert torch.allclose(rounded.float(), layers.pixel_norm(layers.leaky(narrow)), atol=0.05)


@pytest.mark.parametrize("resize", [layers.upsample, layers.downsample])
def test_doubling_and_halving_have_true_gradients_twice(resize: Callable[[Tensor], Tensor]) -> None:
    """A gradient penalty differentiates the discriminator's halvings a second time."""
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(resize, (x,))
    assert torch.autograd.gradgradcheck(lambda y: resize(y).square(), (x,))
    assert torch.equal(resize(x), resize(x.detach()))


def test_pointwise_is_a_convolution_while_training_and_at_rest() -> None:
    """From one map and to one map, with gradients, in the layout that was asked for."""
    torch.manual_seed(0)
    layer = layers.Pointwise(1, 6)
    x = torch.randn(2, 1, 4, 4)
    out = layer(x)
    assert torch.allclose(out, torch.nn.functional.conv2d(x, layer.scaled(), layer.bias), atol=1e-6)
    assert out.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(layer(x), out, atol=1e-6)
