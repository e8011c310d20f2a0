"""Arithmetic of the two networks: multiply-adds of an image at each resolution, so that speed has a limit to meet."""

from __future__ import annotations

from collections.abc import Mapping

from synthcxr.networks.layers import Blocks


def generator(latent: int, channels: Mapping[int, int], blocks: Blocks, resolution: int) -> int:
    """Multiply-adds of one image at `resolution` (alpha 1): convolutions and dense layers, nothing pointwise."""
    total = latent * channels[4] * 16 + 9 * channels[4] ** 2 * 16
    for side in _sides(resolution):
        n_in, n_out = channels[side // 2], channels[side]
        first = (side // 2) ** 2 if blocks == "lean" else side**2
        total += 9 * n_out * (first * n_in + side**2 * n_out)
    return total + resolution**2 * channels[resolution]


def discriminator(channels: Mapping[int, int], blocks: Blocks, resolution: int) -> int:
    """Multiply-adds of one logit of an image at `resolution` (alpha 1)."""
    last = channels[4]
    total = resolution**2 * channels[resolution] + 9 * (last + 1) * last * 16 + last * 16 * last + last
    for side in _sides(resolution):
        n_in, n_out = channels[side], channels[side // 2]
        if blocks == "lean":
            total += 9 * side**2 * n_in * n_in + (9 + 1) * (side // 2) ** 2 * n_in * n_out
        else:
            total += 9 * side**2 * n_in * (n_in + n_out)
    return total


def training_step(latent: int, channels: Mapping[int, int], blocks: Blocks, resolution: int) -> int:
    """Floating-point operations of one step for each image shown, without the gradient penalty.

    A backward pass costs two forward ones, one where only the input's gradient is wanted. G runs forward and back
    (3); D does so on a real and a synthetic image (6), and forward and back to its input for G (2).
    """
    g = generator(latent, channels, blocks, resolution)
    d = discriminator(channels, blocks, resolution)
    return 2 * (3 * g + 8 * d)


def penalty(channels: Mapping[int, int], blocks: Blocks, resolution: int) -> int:
    """Floating-point operations of the gradient penalty for each image that it is taken at.

    D runs forward (1) and back to the image (1); what trains it runs back through the second of these (2) and through
    the first (2).
    """
    return 2 * 6 * discriminator(channels, blocks, resolution)


def image_shown(
    latent: int, channels: Mapping[int, int], blocks: Blocks, resolution: int, *, penalty_interval: int
) -> int:
    """Floating-point operations of training for each image shown, the penalty spread over its interval."""
    step = training_step(latent, channels, blocks, resolution)
    return step + penalty(channels, blocks, resolution) // penalty_interval


def training(
    latent: int, channels: Mapping[int, int], blocks: Blocks, nimg: Mapping[int, int], *, penalty_interval: int
) -> int:
    """Floating-point operations of a whole schedule, which shows `nimg` images at each resolution."""
    return sum(
        n * image_shown(latent, channels, blocks, side, penalty_interval=penalty_interval) for side, n in nimg.items()
    )


def days(flop: int, *, peak_flops: float, utilisation: float, n_devices: int = 1, scaling: float = 1.0) -> float:
    """Days that `flop` take on devices of a peak rate that reach `utilisation` of it, `scaling` of it together."""
    return flop / (peak_flops * utilisation * n_devices * scaling) / 86_400


def _sides(resolution: int) -> list[int]:
    return [2**power for power in range(3, resolution.bit_length()) if 2**power <= resolution]
