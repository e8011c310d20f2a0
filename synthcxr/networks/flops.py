"""Counts the arithmetic of both networks, to compare measured speed with the peak of the hardware.

MACs are multiply-adds of convolutions and dense layers; pointwise operations are not counted. One MAC is 2 FLOP.
"""

from __future__ import annotations

from collections.abc import Mapping

from synthcxr.networks.layers import Blocks


def count_generator_macs(latent: int, channels: Mapping[int, int], blocks: Blocks, resolution: int) -> int:
    """Return the MACs of one image at `resolution` (alpha 1)."""
    total = latent * channels[4] * 16 + 9 * channels[4] ** 2 * 16
    for side in _sides_above_4(resolution):
        n_in, n_out = channels[side // 2], channels[side]
        first = (side // 2) ** 2 if blocks == "lean" else side**2
        total += 9 * n_out * (first * n_in + side**2 * n_out)
    return total + resolution**2 * channels[resolution]


def count_discriminator_macs(channels: Mapping[int, int], blocks: Blocks, resolution: int) -> int:
    """Return the MACs of the logit of one image at `resolution` (alpha 1)."""
    last = channels[4]
    total = resolution**2 * channels[resolution] + 9 * (last + 1) * last * 16 + last * 16 * last + last
    for side in _sides_above_4(resolution):
        n_in, n_out = channels[side], channels[side // 2]
        if blocks == "lean":
            total += 9 * side**2 * n_in * n_in + (9 + 1) * (side // 2) ** 2 * n_in * n_out
        else:
            total += 9 * side**2 * n_in * (n_in + n_out)
    return total


def count_step_flops(latent: int, channels: Mapping[int, int], blocks: Blocks, resolution: int) -> int:
    """Return the FLOP of one step per image shown, without the gradient penalty.

    A backward pass costs two forward passes, or one if only the gradient of the input is needed. G runs forward and
    backward (3); D runs both on a real and a synthetic image (6), and forward and back to its input for G (2).
    """
    macs_g = count_generator_macs(latent, channels, blocks, resolution)
    macs_d = count_discriminator_macs(channels, blocks, resolution)
    return 2 * (3 * macs_g + 8 * macs_d)


def count_penalty_flops(channels: Mapping[int, int], blocks: Blocks, resolution: int) -> int:
    """Return the FLOP of the gradient penalty per image to which it is applied.

    D runs forward (1) and back to the image (1). The gradient of the penalty runs back through the second pass (2)
    and through the first (2).
    """
    return 2 * 6 * count_discriminator_macs(channels, blocks, resolution)


def count_image_flops(
    latent: int, channels: Mapping[int, int], blocks: Blocks, resolution: int, *, penalty_interval: int
) -> int:
    """Return the FLOP of training per image shown, with the penalty spread over its interval."""
    step = count_step_flops(latent, channels, blocks, resolution)
    return step + count_penalty_flops(channels, blocks, resolution) // penalty_interval


def count_training_flops(
    latent: int, channels: Mapping[int, int], blocks: Blocks, nimg: Mapping[int, int], *, penalty_interval: int
) -> int:
    """Return the FLOP of a schedule that shows `nimg[resolution]` images at each resolution."""
    return sum(
        n * count_image_flops(latent, channels, blocks, side, penalty_interval=penalty_interval)
        for side, n in nimg.items()
    )


def estimate_days(
    flop: int, *, peak_flops: float, utilisation: float, n_devices: int = 1, scaling: float = 1.0
) -> float:
    """Return the days for `flop` on `n_devices` that reach `utilisation` of the peak rate with efficiency `scaling`."""
    return flop / (peak_flops * utilisation * n_devices * scaling) / 86_400


def _sides_above_4(resolution: int) -> list[int]:
    return [2**power for power in range(3, resolution.bit_length()) if 2**power <= resolution]
