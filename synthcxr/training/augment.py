"""Differentiable augmentation of real and synthetic images alike, so that few films go further.

Source: Zhao et al., Differentiable Augmentation, arXiv 2006.10738. No mirror: the heart lies on the left. Edges
are repeated rather than filled, so that no border can leak into what the generator learns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from synthcxr.config.schema import Augment
from synthcxr.training.step_rng import Draws


def augment(images: Tensor, config: Augment, draws: Draws) -> Tensor:
    """Shift, brighten, stretch and cut each image of [N, 1, R, R] by its own draws; gradients pass through."""
    if config.brightness or config.contrast:
        images = _grey_levels(images, config, draws)
    if config.translate:
        images = _translate(images, config.translate, draws)
    if config.cutout and config.cutout_p:
        images = _cutout(images, config, draws)
    return images


def _uniform(images: Tensor, draws: Draws, *columns: int) -> Tensor:
    return draws.uniform(images.shape[0], *columns).to(images.device)


def _grey_levels(images: Tensor, config: Augment, draws: Draws) -> Tensor:
    """Contrast about the image's mean by 1 +- contrast, brightness by +- brightness (of the range's half)."""
    drawn = 2 * _uniform(images, draws, 2) - 1
    gain = (1 + config.contrast * drawn[:, 0]).reshape(-1, 1, 1, 1)
    shift = (config.brightness * drawn[:, 1]).reshape(-1, 1, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * gain + mean + shift


def _translate(images: Tensor, share: float, draws: Draws) -> Tensor:
    """Shift by whole pixels up to `share` of the side; the edge is repeated into the gap."""
    side = images.shape[-1]
    shift = torch.round((2 * _uniform(images, draws, 2) - 1) * share * side)
    theta = images.new_zeros(images.shape[0], 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, :, 2] = shift * 2 / side
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="nearest", padding_mode="border", align_corners=False)


def _cutout(images: Tensor, config: Augment, draws: Draws) -> Tensor:
    """With probability `cutout_p`, fill a square of `cutout` of the side with the image's own mean."""
    side = images.shape[-1]
    drawn = _uniform(images, draws, 3)
    half = config.cutout * side / 2
    at = torch.arange(side, device=images.device) + 0.5
    inside_y = (at[None] - drawn[:, :1] * side).abs() < half
    inside_x = (at[None] - drawn[:, 1:2] * side).abs() < half
    hit = drawn[:, 2] < config.cutout_p
    cut = (inside_y[:, None, :, None] & inside_x[:, None, None, :]) & hit[:, None, None, None]
    return torch.where(cut, images.mean(dim=(1, 2, 3), keepdim=True), images)
