"""Training of a classifier: masked cross-entropy, light augmentation, one cycle of the rate, the best epoch on val."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data import images
from synthcxr.errors import ConfigError, DataError
from synthcxr.networks import device as devices
from synthcxr.networks.classifier import Classifier

Float32 = NDArray[np.float32]
Read = Callable[[NDArray[np.int64]], NDArray[np.uint8]]

_WARM_SHARE = 0.2
_ROTATE, _SCALE, _SHIFT = math.radians(8), 0.1, 0.06
_BRIGHTNESS, _CONTRAST = 0.2, 0.2


@dataclasses.dataclass(frozen=True)
class Films:
    """Films to learn or to be tried on: `read` gives uint8 [n, R, R] of positions in 0 .. N - 1.

    `findings` is float32 [N, 14]: 1 present, 0 absent, NaN unknown.
    """

    read: Read
    findings: Float32


@dataclasses.dataclass(frozen=True)
class Epoch:
    """What one epoch came to; `val_auroc_mean` is NaN where no finding can be ranked."""

    epoch: int
    loss: float
    val_loss: float
    val_auroc_mean: float
    lr: float
    wall_s: float


def train(
    classifier: Classifier,
    *,
    films: Films,
    val: Films,
    config: ClassifierConfig,
    mean_auroc: Callable[[Float32, Float32], float],
    report: Callable[[Epoch], None],
) -> Epoch:
    """Train in place for one epoch or more and leave the weights of the best, which is returned.

    `mean_auroc(logits, findings)` ranks the epochs on val, and the lower val loss those that it cannot. Every draw
    follows `config.seed`. Raises ConfigError, naming the step, once the loss is not finite.
    """
    n, batch = len(films.findings), min(config.batch, len(films.findings))
    _check(films, val)
    device = devices.pick(config.device)
    generator = torch.Generator().manual_seed(config.seed)
    classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _start_at_prevalence(classifier, films.findings)
    optimiser = _optimiser(classifier, config)
    n_steps, step, started = config.n_epochs * (n // batch), 0, time.perf_counter()
    rows: list[Epoch] = []

    for epoch in range(1, config.n_epochs + 1):
        classifier.train()
        losses = []
        batches = _batches(films, batch, generator)
        for pixels, findings in tqdm(batches, desc=f"epoch {epoch}", total=n // batch, leave=False, disable=None):
            lr = learning_rate(step, n_steps, config.lr)
            for group in optimiser.param_groups:
                group["lr"] = lr
            logits, _ = classifier(augment(pixels, generator).to(device, memory_format=torch.channels_last))
            loss = masked_loss(logits, findings.to(device))
            losses.append(_finite(loss.item(), step=step + 1, n_steps=n_steps, epoch=epoch))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step += 1

        logits_val = predict(classifier, val.read, len(val.findings), batch=config.batch)
        val_loss = float(masked_loss(torch.from_numpy(logits_val), torch.from_numpy(val.findings)))
        row = Epoch(
            epoch=epoch,
            loss=float(np.mean(losses)),
            val_loss=_finite(val_loss, step=step, n_steps=n_steps, epoch=epoch),
            val_auroc_mean=mean_auroc(logits_val, val.findings),
            lr=lr,
            wall_s=time.perf_counter() - started,
        )
        rows.append(row)
        if max(rows, key=_rank) is row:
            best_weights = _weights(classifier)
        report(row)

    classifier.load_state_dict(best_weights)
    classifier.eval()
    return max(rows, key=_rank)


def masked_loss(logits: Tensor, findings: Tensor) -> Tensor:
    """Mean binary cross-entropy over the known entries of `findings` [N, 14]; 0 where none is known."""
    known = ~torch.isnan(findings)
    each = F.binary_cross_entropy_with_logits(logits, torch.nan_to_num(findings), reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1)


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """One cycle: a linear rise over the first fifth of the steps, then half a cosine to 0."""
    rise = max(1.0, _WARM_SHARE * n_steps)
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, n_steps - rise)))


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Films [N, 1, R, R] in [-1, 1], each a little turned, scaled, shifted and brightened; never mirrored."""
    n = len(pixels)

    def draw(span: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * span

    angle, scale = draw(_ROTATE), 1 + draw(_SCALE)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    rows = [cos, -sin, draw(2 * _SHIFT), sin, cos, draw(2 * _SHIFT)]
    grid = F.affine_grid(torch.stack(rows, dim=1).view(n, 2, 3), list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    contrast, brightness = 1 + draw(_CONTRAST), draw(_BRIGHTNESS)
    return (moved * contrast.view(n, 1, 1, 1) + brightness.view(n, 1, 1, 1)).clamp(-1, 1)


def predict(classifier: Classifier, read: Read, n: int, *, batch: int) -> Float32:
    """Logits float32 [n, 14] of the films at positions 0 .. n - 1, as the network at rest gives them."""
    classifier.eval()
    device = classifier.head.weight.device
    held = []
    with torch.inference_mode():
        for start in range(0, n, batch):
            pixels = images.to_float(read(np.arange(start, min(start + batch, n))))
            logits, _ = classifier(torch.from_numpy(pixels).to(device, memory_format=torch.channels_last))
            held.append(logits.float().cpu().numpy())
    return np.concatenate(held)


def _batches(films: Films, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Whole batches of a fresh order: pixels [batch, 1, R, R] and findings [batch, 14]."""
    order = torch.randperm(len(films.findings), generator=generator).numpy()
    for start in range(0, len(order) - batch + 1, batch):
        chosen = order[start : start + batch]
        yield torch.from_numpy(images.to_float(films.read(chosen))), torch.from_numpy(films.findings[chosen])


def _start_at_prevalence(classifier: Classifier, findings: Float32) -> None:
    """Let the head's bias answer each finding's share before anything is learnt (one of each kind added)."""
    known = ~np.isnan(findings)
    share = (np.nansum(findings, axis=0) + 1) / (known.sum(axis=0) + 2)
    with torch.no_grad():
        classifier.head.bias.copy_(torch.from_numpy(np.log(share / (1 - share))))


def _optimiser(classifier: Classifier, config: ClassifierConfig) -> torch.optim.Optimizer:
    """AdamW; weights of more than one axis decay, biases and norms do not."""
    decayed = [p for p in classifier.parameters() if p.ndim > 1]
    free = [p for p in classifier.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=config.lr)


def _weights(classifier: Classifier) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in classifier.state_dict().items()}


def _finite(loss: float, *, step: int, n_steps: int, epoch: int) -> float:
    if not math.isfinite(loss):
        raise ConfigError(f"the loss is not finite at step {step} of {n_steps} (epoch {epoch}); lower `lr`")
    return loss


def _rank(epoch: Epoch) -> tuple[float, float]:
    return (-math.inf if math.isnan(epoch.val_auroc_mean) else epoch.val_auroc_mean, -epoch.val_loss)


def _check(films: Films, val: Films) -> None:
    for name, held in (("to learn from", films), ("of val", val)):
        if not np.isfinite(held.findings).any():
            raise DataError(f"no film {name} has a known finding; check the labels of the films in params.yaml")
