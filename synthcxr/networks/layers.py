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
"""The paper's blocks, or lean ones: each convolution at the smaller side where one can be, and a skip in D."""

LEAK = 0.2
GAIN_LEAKY = math.sqrt(2)


class _Equalised(nn.Module):
    """Weights drawn from N(0, 1) and scaled at run time by gain / sqrt(fan-in), so that all learn at one rate."""

    def __init__(self, shape: tuple[int, ...], n_bias: int, gain: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(n_bias)) if n_bias else None
        self.scale = gain / math.sqrt(math.prod(shape[1:]))

    def scaled(self) -> Tensor:
        """The weight as the network uses it."""
        return self.weight if self.scale == 1.0 else self.weight * self.scale

    def fold(self) -> None:
        """Multiply the scale into the weight for good, as an exported network wants it."""
        with torch.no_grad():
            self.weight.mul_(self.scale)
        self.scale = 1.0


class Conv(_Equalised):
    """A convolution that keeps the side: [N, I, R, R] to [N, O, R, R]."""

    def __init__(self, n_in: int, n_out: int, kernel: int = 3, gain: float = GAIN_LEAKY) -> None:
        super().__init__((n_out, n_in, kernel, kernel), n_out, gain)
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.scaled(), self.bias, padding=self.padding)


class Dense(_Equalised):
    """A dense layer [N, I] to [N, O]."""

    def __init__(self, n_in: int, n_out: int, gain: float = GAIN_LEAKY, *, bias: bool = True) -> None:
        super().__init__((n_out, n_in), n_out if bias else 0, gain)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.scaled(), self.bias)


class Pointwise(_Equalised):
    """A 1 x 1 convolution from or to one map: [N, I, R, R] to [N, O, R, R].

    While training it is a dense layer over positions: one map is laid out alike in either memory format, so that a
    convolution may answer in the one not wanted, and every layer after it converts.
    """

    def __init__(self, n_in: int, n_out: int, gain: float = GAIN_LEAKY) -> None:
        super().__init__((n_out, n_in, 1, 1), n_out, gain)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return F.conv2d(x, self.scaled(), self.bias)
        flat = F.linear(x.permute(0, 2, 3, 1), self.scaled().flatten(1), self.bias)
        return flat.permute(0, 3, 1, 2)


def fold_scales(network: nn.Module) -> None:
    """Fold the run-time scale of every equalised layer into its weight, in place."""
    for module in network.modules():
        if isinstance(module, _Equalised):
            module.fold()


def widened(x: Tensor) -> Tensor:
    """bf16 as float32; what is as wide or wider stays."""
    return x.float() if x.dtype == torch.bfloat16 else x


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU with the paper's slope."""
    return F.leaky_relu(x, LEAK)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale each position's vector over dimension 1 to unit mean square."""
    return x * _inverse_rms(x)


def leaky_norm(x: Tensor) -> Tensor:
    """`pixel_norm(leaky(x))`; while training, in half the passes over memory, and differentiable once."""
    if not x.requires_grad:
        return pixel_norm(leaky(x))
    return cast("Tensor", _LeakyNorm.apply(x))  # type: ignore[no-untyped-call]


def _mean(x: Tensor) -> Tensor:
    """The mean over dimension 1, as [N, 1, H, W], or [N, C, H, W] where torch is quicker at that.

    A product of bf16 maps and a map of one channel runs unvectorised below 32 channels: ten times the time.
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
        y = leaky(x)
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
    """Nearest-neighbour doubling of the side."""
    if not x.requires_grad:
        return _double(x)
    return cast("Tensor", _Upsample.apply(x))  # type: ignore[no-untyped-call]


def downsample(x: Tensor) -> Tensor:
    """Halving of the side by 2 x 2 means."""
    if not x.requires_grad:
        return _halve(x)
    return cast("Tensor", _Downsample.apply(x))  # type: ignore[no-untyped-call]


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _halve(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


class _Upsample(torch.autograd.Function):
    """Each is, but for a factor of 4, the other's gradient: twice as quick as torch's own, and as often as wanted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _double(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return downsample(grad) * 4


class _Downsample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _halve(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return upsample(grad * 0.25)


def group_size(batch: int, at_most: int = 4) -> int:
    """The largest divisor of the batch up to `at_most`."""
    return next(size for size in range(min(batch, at_most), 0, -1) if batch % size == 0)


def minibatch_stddev(x: Tensor, batch: int) -> Tensor:
    """[N, C, H, W] with one more map: the mean standard deviation within the sample's group.

    `batch` is the length of each stacked set (real, synthetic): groups are contiguous and divide it, so none
    mixes two sets. A group of one gives 0.
    """
    n, channels, height, width = x.shape
    size = group_size(batch)
    if size == 1:
        return torch.cat([x, x.new_zeros(n, 1, height, width)], dim=1)
    grouped = widened(x.reshape(n // size, size, channels, height, width))
    deviation = torch.sqrt(grouped.var(dim=1, unbiased=False) + 1e-8).mean(dim=(1, 2, 3))
    column = deviation.repeat_interleave(size).to(x.dtype).reshape(n, 1, 1, 1)
    return torch.cat([x, column.expand(n, 1, height, width)], dim=1)
