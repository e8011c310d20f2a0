"""A loss on the distance between real and synthetic images in the mean and covariance of their descriptors.

One batch is too small for a covariance, so running statistics are compared, and each batch passes its own gradient
through them. Dos Santos et al., Learning implicit generative models by matching perceptual features, arXiv 1904.02762.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcxr.networks.efficientnet_lite1 import FEATURE_MAPS
from synthcxr.training.distributed import SINGLE_PROCESS, Ranks

N_FEATURES = 2 * sum(n_channels for n_channels, _ in FEATURE_MAPS.values())
SIDE = 8
N_CELLS = SIDE * SIDE
_HALF_LIFE_IMAGES = 1000
_ROUNDING_VARIANCE = (2 / 255) ** 2 / 12
"""The variance that rounding to one of 256 grey levels in [-1, 1] adds."""
_SHRINKAGE = 0.1


class MomentMatchingLoss(nn.Module):
    """Running means [D] and mean squares [D, D] of real and synthetic descriptors, with a half-life of 1000 images."""

    n_seen: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("n_seen", torch.zeros(()))
        for kind in ("real", "synthetic"):
            self.register_buffer(f"{kind}_mean", torch.zeros(d))
            self.register_buffer(f"{kind}_square", torch.zeros(d, d))

    def forward(self, *, real: Tensor, synthetic: Tensor, ranks: Ranks = SINGLE_PROCESS) -> Tensor:
        """Add the descriptors [N, D] of one batch and return the distance, a scalar with a gradient to `synthetic`.

        With several `ranks`, each passes its share of the batch. The distance is that of the whole batch, the
        gradient that of the share.

        In units of the shrunk real covariance, the distance is the squared distance of the means plus half the
        squared Frobenius distance of the covariances, per dimension.
        """
        n = len(real) * ranks.world_size
        decay = min(0.5 ** (n / _HALF_LIFE_IMAGES), float(self.n_seen / (self.n_seen + n)))
        self.n_seen += n
        real_mean, real_covariance = self._update_moments("real", real, decay, ranks)
        mean, covariance = self._update_moments("synthetic", synthetic, decay, ranks)
        d = len(mean)
        floor = _SHRINKAGE * real_covariance.diagonal().mean() + 1e-6
        root = torch.linalg.cholesky(real_covariance + floor * torch.eye(d, device=mean.device))
        mean_shift = torch.linalg.solve_triangular(root, (mean - real_mean)[:, None], upper=False)
        half_whitened = torch.linalg.solve_triangular(root, covariance - real_covariance, upper=False)
        covariance_shift = torch.linalg.solve_triangular(root, half_whitened.T, upper=False)
        distance: Tensor = (mean_shift.square().sum() + 0.5 * covariance_shift.square().sum()) / d
        return distance * (self.n_seen / _HALF_LIFE_IMAGES).clamp(max=1)

    def _update_moments(self, kind: str, batch: Tensor, decay: float, ranks: Ranks) -> tuple[Tensor, Tensor]:
        """Add the batch [N, D]; return the running mean and covariance, with the gradient of the batch only."""
        moments = []
        for name, value in (("mean", batch.mean(0)), ("square", batch.T @ batch / len(batch))):
            running = getattr(self, f"{kind}_{name}")
            running.mul_(decay).add_(ranks.mean(value.detach().clone()), alpha=1 - decay)
            moments.append(running + (value - value.detach()))
        mean, square = moments
        return mean, square - torch.outer(mean, mean)


def compute_feature_statistics(maps: list[Tensor]) -> Tensor:
    """Return the mean and standard deviation over positions of each channel, float32 [N, N_FEATURES]."""
    statistics = []
    for feature_map in maps:
        flat = feature_map.float().flatten(2)
        statistics += [flat.mean(2), (flat.var(2, correction=0) + 1e-4).sqrt()]
    return torch.cat(statistics, 1)


def compute_patch_means(images: Tensor) -> Tensor:
    """Return the means of 8 x 8 patches, float32 [N, N_CELLS]; they describe pose, size and exposure."""
    return F.adaptive_avg_pool2d(images.float(), SIDE).flatten(1)


def compute_log_spectrum(images: Tensor) -> Tensor:
    """Return the log power in 8 x 8 bands of spatial frequency, float32 [N, N_CELLS]; it describes sharpness and grain.

    A band is a range of vertical and a range of horizontal frequencies, from the lowest to 0.5 cycles per pixel, on
    either diagonal. An image of one grey level has the power of the rounding to uint8. Durall et al., Watch your
    up-convolution, arXiv 2003.01826, found the traces of up-sampling in spectra and used a spectral loss against them.
    """
    side = images.shape[-1]
    window = torch.hann_window(side, device=images.device)
    grey = images.float().squeeze(1)
    tapered = (grey - grey.mean(dim=(1, 2), keepdim=True)) * torch.outer(window, window)
    power = torch.fft.rfft2(tapered).abs().square() / window.square().sum().square()
    half = side // 2
    quadrant = (power[:, 1 : half + 1, 1:] + power[:, half:, 1:].flip(1)) / 2
    return torch.log(F.adaptive_avg_pool2d(quadrant, SIDE) + _ROUNDING_VARIANCE).flatten(1)


IMAGE_DESCRIPTORS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "image_moments": (compute_patch_means, SIDE),
    "spectrum_moments": (compute_log_spectrum, 2 * SIDE),
}
"""`train_gan` parameter that weights the loss -> (descriptor with N_CELLS values, smallest side in px)."""
