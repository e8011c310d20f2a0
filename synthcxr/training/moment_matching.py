"""How far synthetic images are from films in the mean and covariance of what describes them.

The statistics of one batch are too few for a covariance, so running ones are compared, through which each batch sends
its own gradient. Dos Santos et al., Learning implicit generative models by matching perceptual features, arXiv
1904.02762.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from synthcxr.networks.efficientnet_lite1 import MAPS
from synthcxr.training.distributed import ALONE, Ranks

N_FEATURES = 2 * sum(n_channels for n_channels, _ in MAPS.values())
SIDE = 8
N_CELLS = SIDE * SIDE
_HALF_LIFE = 1000
_ROUNDING = (2 / 255) ** 2 / 12  # the variance that rounding to one of 256 greys in [-1, 1] adds
_SHRINKAGE = 0.1


class Moments(nn.Module):
    """Running means [D] and mean squares [D, D] of both kinds, about a thousand images long."""

    n_seen: Tensor

    def __init__(self, d: int) -> None:
        super().__init__()
        self.register_buffer("n_seen", torch.zeros(()))
        for kind in ("real", "synthetic"):
            self.register_buffer(f"{kind}_mean", torch.zeros(d))
            self.register_buffer(f"{kind}_square", torch.zeros(d, d))

    def forward(self, *, real: Tensor, synthetic: Tensor, ranks: Ranks = ALONE) -> Tensor:
        """Take one batch's descriptions [N, D] in and return the distance, a scalar; its gradient goes to `synthetic`.

        Of several `ranks` each holds its share of the batch; the distance is that of all, the gradient of its own.

        With the shrunk covariance of the real as the unit: the squared distance of the means plus half the squared
        Frobenius distance of the covariances, per dimension.
        """
        n = len(real) * ranks.count
        keep = min(0.5 ** (n / _HALF_LIFE), float(self.n_seen / (self.n_seen + n)))
        self.n_seen += n
        real_mean, real_covariance = self._follow("real", real, keep, ranks)
        mean, covariance = self._follow("synthetic", synthetic, keep, ranks)
        d = len(mean)
        floor = _SHRINKAGE * real_covariance.diagonal().mean() + 1e-6
        root = torch.linalg.cholesky(real_covariance + floor * torch.eye(d, device=mean.device))
        shift = torch.linalg.solve_triangular(root, (mean - real_mean)[:, None], upper=False)
        half = torch.linalg.solve_triangular(root, covariance - real_covariance, upper=False)
        spread = torch.linalg.solve_triangular(root, half.T, upper=False)
        distance: Tensor = (shift.square().sum() + 0.5 * spread.square().sum()) / d
        return distance * (self.n_seen / _HALF_LIFE).clamp(max=1)

    def _follow(self, kind: str, x: Tensor, keep: float, ranks: Ranks) -> tuple[Tensor, Tensor]:
        """Running mean and covariance with the batch [N, D] in them, whose gradient is the batch's own."""
        followed = []
        for name, batch in (("mean", x.mean(0)), ("square", x.T @ x / len(x))):
            running = getattr(self, f"{kind}_{name}")
            running.mul_(keep).add_(ranks.mean(batch.detach().clone()), alpha=1 - keep)
            followed.append(running + (batch - batch.detach()))
        mean, square = followed
        return mean, square - torch.outer(mean, mean)


def of_features(maps: list[Tensor]) -> Tensor:
    """Each channel's mean and standard deviation over its positions, float32 [N, N_FEATURES]."""
    parts = []
    for m in maps:
        flat = m.float().flatten(2)
        parts += [flat.mean(2), (flat.var(2, correction=0) + 1e-4).sqrt()]
    return torch.cat(parts, 1)


def of_images(images: Tensor) -> Tensor:
    """The means of a grid of 8 x 8 patches, float32 [N, N_CELLS]: pose, size and exposure, and how they vary."""
    return F.adaptive_avg_pool2d(images.float(), SIDE).flatten(1)


def of_spectra(images: Tensor) -> Tensor:
    """The log of the power in a grid of 8 x 8 bands of spatial frequency, float32 [N, N_CELLS]: sharpness and grain.

    A band is a range down and a range across, from the lowest to half a cycle a pixel, on either diagonal; an image of
    one grey throughout is left at what rounding to uint8 adds. Durall et al., Watch your up-convolution, arXiv
    2003.01826, saw doubling leave its mark in spectra and learned against it.
    """
    side = images.shape[-1]
    window = torch.hann_window(side, device=images.device)
    shade = images.float().squeeze(1)
    tapered = (shade - shade.mean(dim=(1, 2), keepdim=True)) * torch.outer(window, window)
    power = torch.fft.rfft2(tapered).abs().square() / window.square().sum().square()
    half = side // 2
    quadrant = (power[:, 1 : half + 1, 1:] + power[:, half:, 1:].flip(1)) / 2
    return torch.log(F.adaptive_avg_pool2d(quadrant, SIDE) + _ROUNDING).flatten(1)


OF_IMAGES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "image_moments": (of_images, SIDE),
    "spectrum_moments": (of_spectra, 2 * SIDE),
}
"""What `train_gan` weighs by these names: what describes an image in N_CELLS figures, and its least side in px."""
