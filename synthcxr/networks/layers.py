"""The parts of a PGGAN: equalised learning rate, pixelwise normalisation, minibatch standard deviation.

Source: Karras et al., Progressive Growing of GANs, arXiv 1710.10196, section 4 and appendix A.
"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Blocks = Literal["paper", "lean"]
"""`paper`: the blocks of the paper. `lean`: convolutions at the smaller side where possible, and a skip in D."""

LEAK = 0.2
GAIN_LEAKY = math.sqrt(2)


class _Equalised(nn.Module):
    """Weights drawn from N(0, 1) and scaled at run time by gain / sqrt(fan-in): an equalised learning rate."""

    def __init__(self, shape: tuple[int, ...], n_bias: int, gain: float, *, zero: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape) if zero else torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(n_bias)) if n_bias else None
        self.scale = gain / math.sqrt(math.prod(shape[1:]))

    def scaled_weight(self) -> Tensor:
        """Return the weight multiplied by the run-time scale."""
        return self.weight if self.scale == 1.0 else self.weight * self.scale

    def fold_scale(self) -> None:
        """Multiply the scale into the weight permanently, for export."""
        with torch.no_grad():
            self.weight.mul_(self.scale)
        self.scale = 1.0


class Conv(_Equalised):
    """A convolution that keeps the side length: [N, I, R, R] to [N, O, R, R]."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 3, gain: float = GAIN_LEAKY) -> None:
        super().__init__((n_out, n_in, kernel, kernel), n_out, gain)
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.scaled_weight(), self.bias, padding=self.padding)


class Dense(_Equalised):
    """A dense layer [N, I] to [N, O]."""

    def __init__(self, n_in: int, n_out: int, gain: float = GAIN_LEAKY, *, bias: bool = True) -> None:
        super().__init__((n_out, n_in), n_out if bias else 0, gain)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled_weight(), self.bias)


class ConditionEmbedding(_Equalised):
    """A dense layer without bias for conditions: [N, C] to [N, O].

    It starts at 0, so a network computes the same with it as without it until it is trained. Its run-time scale is 1,
    because few of the C values are not 0.
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__((n_out, n_in), 0, math.sqrt(n_in), zero=True)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled_weight())


class Pointwise(_Equalised):
    """A 1 x 1 convolution from or to one feature map: [N, I, R, R] to [N, O, R, R].

    During training it runs as a dense layer over positions. A tensor with one channel has the same layout in both
    memory formats, so a convolution may return the other format, and every later layer would convert it.
    """

    def __init__(self, n_in: int, n_out: int, gain: float = GAIN_LEAKY) -> None:
        super().__init__((n_out, n_in, 1, 1), n_out, gain)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return F.conv2d(x, self.scaled_weight(), self.bias)
        flat = F.linear(x.permute(0, 2, 3, 1), self.scaled_weight().flatten(1), self.bias)
        return flat.permute(0, 3, 1, 2)


def fold_scales(network: nn.Module) -> None:
    """Fold the run-time scale of every equalised layer into its weight, in place."""
    for module in network.modules():
        if isinstance(module, _Equalised):
            module.fold_scale()


def upcast_bf16(x: Tensor) -> Tensor:
    """Convert bf16 to float32; return other types unchanged."""
    return x.float() if x.dtype == torch.bfloat16 else x


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU with the slope of the paper, 0.2."""
    return F.leaky_relu(x, LEAK)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale the vector over dimension 1 at each position to unit mean square."""
    return x * _inverse_rms(x)


def leaky_pixel_norm(x: Tensor) -> Tensor:
    """`pixel_norm(leaky_relu(x))`; during training with half the passes over memory, and differentiable once."""
    if not x.requires_grad:
        return pixel_norm(leaky_relu(x))
    return cast("Tensor", _LeakyNorm.apply(x))  # type: ignore[no-untyped-call]


def _mean(x: Tensor) -> Tensor:
    """The mean over dimension 1, as [N, 1, H, W], or as [N, C, H, W] where that is faster.

    Below 32 channels, torch does not vectorise the product of bf16 maps and a one-channel map: it takes ten times
    as long.
    """
    n = x.shape[1]
    if x.dtype == torch.bfloat16 and n < 32 and x.ndim == 4:
        return (x.permute(0, 2, 3, 1) @ x.new_full((n, n), 1 / n)).permute(0, 3, 1, 2)
    return x.mean(dim=1, keepdim=True)


def _inverse_rms(x: Tensor) -> Tensor:
    return torch.rsqrt(_mean(x * x) + 1e-8)


class _LeakyNorm(torch.autograd.Function):
    """With s = 1 / rms(y) and o = s y, the gradient with respect to y is s (g - o mean(g o))."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = leaky_relu(x)
        scale = _inverse_rms(y)
        out = y.mul_(scale)
        ctx.save_for_backward(out, scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        out, scale = ctx.saved_tensors
        inner = torch.addcmul(grad, out, _mean(grad * out), value=-1).mul_(scale)
        return cast("Tensor", torch.ops.aten.leaky_relu_backward(inner, out, LEAK, True))  # `out` has the signs of x


def upsample(x: Tensor) -> Tensor:
    """Double the side by nearest neighbour."""
    if not x.requires_grad:
        return _double(x)
    return cast("Tensor", _Upsample.apply(x))  # type: ignore[no-untyped-call]


def downsample(x: Tensor) -> Tensor:
    """Halve the side by 2 x 2 means."""
    if not x.requires_grad:
        return _halve(x)
    return cast("Tensor", _Downsample.apply(x))  # type: ignore[no-untyped-call]


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


class _Upsample(torch.autograd.Function):
    """Doubling; its gradient is 4 times `downsample`. Twice as fast as torch's own, and differentiable repeatedly."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _double(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return downsample(grad) * 4


class _Downsample(torch.autograd.Function):
    """Halving; its gradient is a quarter of `upsample`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _halve(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return upsample(grad * 0.25)


def stddev_group_size(batch: int, max_size: int = 4) -> int:
    """The largest divisor of `batch` up to `max_size`: the group that `minibatch_stddev` takes."""
    return next(size for size in range(min(batch, max_size), 0, -1) if batch % size == 0)


def minibatch_stddev(x: Tensor, batch: int) -> Tensor:
    """Append one map to [N, C, H, W]: the mean standard deviation within the group of each sample.

    `batch` is the length of each stacked set (real, synthetic). Groups are contiguous and divide it, so no group
    mixes two sets. A group of one gives 0.
    """
    n, channels, height, width = x.shape
    size = stddev_group_size(batch)
    if size == 1:
        return torch.cat([x, x.new_zeros(n, 1, height, width)], dim=1)
    grouped = upcast_bf16(x.reshape(n // size, size, channels, height, width))
    deviation = torch.sqrt(grouped.var(dim=1, unbiased=False) + 1e-8).mean(dim=(1, 2, 3))
    column = deviation.repeat_interleave(size).to(x.dtype).reshape(n, 1, 1, 1)
    return torch.cat([x, column.expand(n, 1, height, width)], dim=1)
