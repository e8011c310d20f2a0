"""Generator, discriminator and their layers together, as the PGGAN of Karras et al.

Sizes, growth, equalised learning rate, normalisation and minibatch standard deviation.
"""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from synthcxr.networks import layers
from synthcxr.networks.discriminator import Discriminator
from synthcxr.networks.generator import Generator, paper_channels

CHANNELS = {4: 8, 8: 8, 16: 4}


def count_parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_at_1024_equal_those_of_the_paper() -> None:
    """With one channel and widths min(8192 / 2**stage, 512), counts match with all nine and with one grey layer."""
    channels = paper_channels(1024)
    generator, discriminator = Generator(512, channels), Discriminator(channels)
    assert list(channels.values()) == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert (count_parameters(generator), count_parameters(discriminator)) == (23_074_009, 23_082_161)
    unused_g = sum(count_parameters(layer) for side, layer in generator.to_grey.items() if side != "1024")
    unused_d = sum(count_parameters(layer) for side, layer in discriminator.from_grey.items() if side != "1024")
    assert count_parameters(generator) - unused_g == 23_071_473
    assert count_parameters(discriminator) - unused_d == 23_077_105


@pytest.mark.parametrize("blocks", ["paper", "lean"])
@pytest.mark.parametrize("resolution", [4, 8, 16])
def test_both_networks_work_at_every_resolution(resolution: int, blocks: layers.Blocks) -> None:
    """The generator returns one channel at the given resolution, the discriminator one logit per image."""
    image = Generator(6, CHANNELS, blocks)(torch.randn(3, 6), resolution)
    assert image.shape == (3, 1, resolution, resolution)
    assert Discriminator(CHANNELS, blocks)(image).shape == (3,)


def test_lean_and_paper_generators_have_the_same_parameters() -> None:
    """Only the order of convolution and doubling differs, so the weights of one kind fit the other."""
    paper, lean = Generator(6, CHANNELS, "paper"), Generator(6, CHANNELS, "lean")
    lean.load_state_dict(paper.state_dict())
    z = torch.randn(2, 6)
    assert torch.equal(lean(z, 4), paper(z, 4))
    assert not torch.allclose(lean(z), paper(z))


@pytest.mark.parametrize("blocks", ["paper", "lean"])
def test_generator_fades_in_without_a_jump(blocks: layers.Blocks) -> None:
    """At alpha 0 the image is the doubled one of the resolution below; at alpha near 1 it is close to the new image."""
    generator, z = Generator(6, CHANNELS, blocks), torch.randn(2, 6)
    assert torch.allclose(generator(z, 16, alpha=0.0), layers.upsample(generator(z, 8)), atol=1e-6)
    assert torch.allclose(generator(z, 16, alpha=1 - 1e-7), generator(z, 16), atol=1e-5)


@pytest.mark.parametrize("blocks", ["paper", "lean"])
def test_discriminator_fades_in_without_a_jump(blocks: layers.Blocks) -> None:
    """At alpha 0 the logit is that of the halved image; at alpha near 1 it is close to that of the grown network."""
    discriminator, image = Discriminator(CHANNELS, blocks), torch.randn(4, 1, 16, 16)
    assert torch.allclose(discriminator(image, 0.0), discriminator(layers.downsample(image)), atol=1e-5)
    assert torch.allclose(discriminator(image, 1 - 1e-7), discriminator(image), atol=1e-5)


def test_equalised_learning_rate_scales_unit_weights_by_gain_over_root_fan_in() -> None:
    """Stored weights are N(0, 1); folding the scale does not change the output."""
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
    """The mean square over the channels of each position is 1."""
    square = layers.pixel_norm(torch.randn(2, 16, 3, 3) * 7).square().mean(dim=1)
    assert torch.allclose(square, torch.ones_like(square), atol=1e-4)


@given(st.integers(1, 64))
def test_the_group_size_divides_the_batch(batch: int) -> None:
    """It is the largest divisor up to 4."""
    size = layers.stddev_group_size(batch)
    assert size <= 4
    assert batch % size == 0
    assert not any(batch % larger == 0 for larger in range(size + 1, 5))


def test_minibatch_stddev_never_mixes_real_and_synthetic() -> None:
    """With two stacked sets of 2, each set is a group: a change of one set does not change the map of the other."""
    real, synthetic = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    stacked = layers.minibatch_stddev(torch.cat([real, synthetic]), batch=2)
    changed = layers.minibatch_stddev(torch.cat([real, synthetic * 9]), batch=2)
    assert torch.equal(stacked[:2], changed[:2])
    assert not torch.equal(stacked[2:, 3], changed[2:, 3])


def test_minibatch_stddev_has_known_values() -> None:
    """Two images that differ by 2 everywhere have a standard deviation of 1; a batch of one gives 0."""
    pair = torch.stack([torch.zeros(1, 4, 4), torch.full((1, 4, 4), 2.0)])
    assert torch.allclose(layers.minibatch_stddev(pair, batch=2)[:, 1], torch.ones(2, 4, 4))
    assert layers.minibatch_stddev(pair[:1], batch=1)[:, 1].abs().max() == 0


def test_leaky_pixel_norm_has_the_value_and_gradient_of_its_definition() -> None:
    """Training and evaluation agree, and the hand-written gradient is correct."""
    torch.manual_seed(0)
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.allclose(layers.leaky_pixel_norm(x), layers.pixel_norm(layers.leaky_relu(x)))
    assert torch.autograd.gradcheck(layers.leaky_pixel_norm, (x,))
    narrow = torch.randn(2, 16, 8, 8, requires_grad=True)
    rounded = layers.leaky_pixel_norm(narrow.bfloat16())
    assert torch.allclose(rounded.float(), layers.pixel_norm(layers.leaky_relu(narrow)), atol=0.05)


@pytest.mark.parametrize("resize", [layers.upsample, layers.downsample])
def test_doubling_and_halving_have_correct_first_and_second_gradients(resize: Callable[[Tensor], Tensor]) -> None:
    """A gradient penalty differentiates the halving in the discriminator twice."""
    x = torch.randn(2, 3, 4, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(resize, (x,))
    assert torch.autograd.gradgradcheck(lambda y: resize(y).square(), (x,))
    assert torch.equal(resize(x), resize(x.detach()))


def test_pointwise_equals_a_convolution_in_training_and_evaluation() -> None:
    """The outputs agree, and the output keeps the channels-last layout."""
    torch.manual_seed(0)
    layer = layers.Pointwise(1, 6)
    x = torch.randn(2, 1, 4, 4)
    out = layer(x)
    assert torch.allclose(out, torch.nn.functional.conv2d(x, layer.scaled_weight(), layer.bias), atol=1e-6)
    assert out.is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert torch.allclose(layer(x), out, atol=1e-6)
