"""Differentiable augmentation of real and synthetic images, for training with few films.

Source: Zhao et al., Differentiable Augmentation, arXiv 2006.10738. There is no mirroring, because the heart is on the
left. Translation repeats the edges instead of filling the gap, so that the generator cannot learn a border.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcxr.config.gan_sections import AugmentConfig
from synthcxr.training.step_rng import StepRng


def augment(images: Tensor, config: AugmentConfig, rng: StepRng) -> Tensor:
    """Vary grey levels, translate and cut out parts of each image [N, 1, R, R] at random; gradients pass through."""
    if config.brightness or config.contrast:
        images = _vary_grey_levels(images, config, rng)
    if config.translate:
        images = _translate(images, config.translate, rng)
    if config.cutout and config.cutout_p:
        images = _cut_out(images, config, rng)
    return images


def _draw_uniform(images: Tensor, rng: StepRng, *columns: int) -> Tensor:
    return rng.uniform(images.shape[0], *columns).to(images.device)


def _vary_grey_levels(images: Tensor, config: AugmentConfig, rng: StepRng) -> Tensor:
    """Scale contrast about the mean of the image by 1 +- contrast, and add +- brightness (of half the grey range)."""
    factors = 2 * _draw_uniform(images, rng, 2) - 1
    gain = (1 + config.contrast * factors[:, 0]).reshape(-1, 1, 1, 1)
    shift = (config.brightness * factors[:, 1]).reshape(-1, 1, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * gain + mean + shift


def _translate(images: Tensor, share: float, rng: StepRng) -> Tensor:
    """Shift by whole pixels, up to `share` of the side, and repeat the edge into the gap."""
    side = images.shape[-1]
    shift = torch.round((2 * _draw_uniform(images, rng, 2) - 1) * share * side)
    theta = images.new_zeros(images.shape[0], 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, :, 2] = shift * 2 / side
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="border", align_corners=False)


def _cut_out(images: Tensor, config: AugmentConfig, rng: StepRng) -> Tensor:
    """With probability `cutout_p`, fill a square of `cutout` of the side with the mean of the image."""
    side = images.shape[-1]
    uniform = _draw_uniform(images, rng, 3)
    half = config.cutout * side / 2
    positions = torch.arange(side, device=images.device) + 0.5
    inside_y = (positions[None] - uniform[:, :1] * side).abs() < half
    inside_x = (positions[None] - uniform[:, 1:2] * side).abs() < half
    selected = uniform[:, 2] < config.cutout_p
    cut = (inside_y[:, None, :, None] & inside_x[:, None, None, :]) & selected[:, None, None, None]
    return torch.where(cut, images.mean(dim=(1, 2, 3), keepdim=True), images)
