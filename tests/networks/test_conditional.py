"""Conditional networks: without effect until they are trained, and differentiable as a gradient penalty requires."""

from __future__ import annotations

import pytest
import torch

from synthcxr.networks import layers
from synthcxr.networks.discriminator import PROJECTION_GAIN, Discriminator
from synthcxr.networks.generator import Generator, build_generator

CHANNELS = {4: 8, 8: 4}
N_CONDITION = 5


def create_pair(blocks: layers.Blocks, n_condition: int, seed: int = 0) -> tuple[Generator, Discriminator]:
    """Create both networks from one seed; a trained embedding is not 0."""
    torch.manual_seed(seed)
    return Generator(6, CHANNELS, blocks, n_condition), Discriminator(CHANNELS, blocks, n_condition)


def train_embeddings(generator: Generator, discriminator: Discriminator) -> None:
    for network in (generator, discriminator):
        assert network.embed_condition is not None
        torch.nn.init.normal_(network.embed_condition.weight)


@pytest.mark.parametrize("blocks", ["paper", "lean"])
def test_untrained_embeddings_change_no_bit(blocks: layers.Blocks) -> None:
    """Conditional networks have the weights of unconditional ones of the same seed, and compute the same."""
    (plain_g, plain_d), (generator, discriminator) = create_pair(blocks, 0), create_pair(blocks, N_CONDITION)
    z, condition, images = torch.randn(4, 6), torch.randn(4, N_CONDITION), torch.randn(4, 1, 8, 8)
    assert torch.equal(generator(z, condition=condition), plain_g(z))
    assert torch.equal(discriminator(images, condition=condition), plain_d(images))
    assert torch.equal(generator(z, 4, condition=condition), plain_g(z, 4))


@pytest.mark.parametrize("blocks", ["paper", "lean"])
def test_trained_embeddings_change_the_output_unless_there_is_no_condition(blocks: layers.Blocks) -> None:
    """Each row of a batch follows its own condition; without conditions, the networks are unconditional."""
    plain_g, plain_d = create_pair(blocks, 0)
    generator, discriminator = create_pair(blocks, N_CONDITION)
    train_embeddings(generator, discriminator)
    z, images = torch.randn(1, 6).repeat(3, 1), torch.randn(1, 1, 8, 8).repeat(3, 1, 1, 1)
    condition = torch.eye(3, N_CONDITION)
    assert torch.equal(generator(z), plain_g(z))
    assert torch.equal(discriminator(images), plain_d(images))
    for output in (generator(z, condition=condition).flatten(1), discriminator(images, condition=condition)[:, None]):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert not torch.allclose(output[i], output[j], atol=1e-3)


def test_the_logit_adds_the_projection_of_the_features() -> None:
    """The difference to the unconditional logit is the scaled inner product of features and embedded condition."""
    generator, discriminator = create_pair("lean", N_CONDITION)
    train_embeddings(generator, discriminator)
    images, condition = torch.randn(4, 1, 8, 8), torch.randn(4, N_CONDITION)
    features: list[torch.Tensor] = []
    discriminator.logit.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    difference = discriminator(images, condition=condition) - discriminator(images)
    assert discriminator.embed_condition is not None
    projection = (features[0] @ discriminator.embed_condition.weight * condition).sum(1)
    expected = projection * PROJECTION_GAIN / CHANNELS[4] ** 0.5
    torch.testing.assert_close(difference, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("blocks", [pytest.param("paper", marks=pytest.mark.slow), "lean"])
def test_the_projection_is_differentiable_twice(blocks: layers.Blocks) -> None:
    """Gradients of image, condition and embedding agree with finite differences, also those of a gradient penalty."""
    generator, discriminator = create_pair(blocks, N_CONDITION)
    train_embeddings(generator, discriminator)
    discriminator.double()
    images = torch.randn(4, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    condition = torch.randn(4, N_CONDITION, dtype=torch.float64, requires_grad=True)

    def compute_logits(some_images: torch.Tensor, some_condition: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = discriminator(some_images, condition=some_condition)
        return logits

    assert torch.autograd.gradcheck(compute_logits, (images, condition))

    def compute_penalty(weight: torch.Tensor) -> torch.Tensor:
        assert discriminator.embed_condition is not None
        parameters = {"embed_condition.weight": weight}
        logits = torch.func.functional_call(discriminator, parameters, (images,), {"condition": condition})
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return gradient.square().sum()

    assert discriminator.embed_condition is not None
    weight = discriminator.embed_condition.weight.detach().clone().requires_grad_(True)
    assert torch.autograd.gradcheck(compute_penalty, (weight,))


def test_the_gradient_of_the_generator_is_that_of_its_definition() -> None:
    """Latent, condition and embedding have correct gradients through the hand-written layers."""
    generator, discriminator = create_pair("lean", N_CONDITION)
    train_embeddings(generator, discriminator)
    generator.double()
    z = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    condition = torch.randn(2, N_CONDITION, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, c: generator(z, condition=c), (z, condition))


def test_a_network_is_rebuilt_from_its_description() -> None:
    """The description of an unconditional network has no new key, and that of a conditional one its size."""
    plain, conditional = create_pair("lean", 0)[0], create_pair("lean", N_CONDITION)[0]
    assert set(plain.build_network_config(CHANNELS)) == {"latent", "channels", "blocks"}
    rebuilt = build_generator(conditional.build_network_config(CHANNELS))  # type: ignore[arg-type]
    assert {name: t.shape for name, t in rebuilt.state_dict().items()} == {
        name: t.shape for name, t in conditional.state_dict().items()
    }
