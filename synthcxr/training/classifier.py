"""Trains a classifier: masked cross-entropy, light augmentation, one learning-rate cycle, the best epoch on val."""

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

from synthcxr.config.schema import ClassifierConfig
from synthcxr.data import images
from synthcxr.errors import ConfigError, DataError
from synthcxr.networks.classifier import Classifier
from synthcxr.networks.device import select_device
from synthcxr.storage.progress import open_progress, track

Float32 = NDArray[np.float32]
ReadPixels = Callable[[NDArray[np.int64]], NDArray[np.uint8]]
"""Maps positions in 0 .. N - 1 to images uint8 [n, R, R]."""

_WARM_UP_SHARE = 0.2
_MAX_ROTATION, _MAX_SCALE, _MAX_SHIFT = math.radians(8), 0.1, 0.06
_MAX_BRIGHTNESS, _MAX_CONTRAST = 0.2, 0.2


@dataclasses.dataclass(frozen=True)
class LabelledFilms:
    """N films to train on or to predict; `findings` is float32 [N, 14]: 1 present, 0 absent, NaN unknown.

    `targets`, of the same shape, is what the loss compares with; it may have any value between 0 and 1.
    """

    read_pixels: ReadPixels
    findings: Float32
    targets: Float32


@dataclasses.dataclass(frozen=True)
class Epoch:
    """The result of one epoch; `val_auroc_mean` is NaN if no finding of val has both classes."""

    epoch: int
    loss: float
    val_loss: float
    val_auroc_mean: float
    lr: float
    wall_s: float


def train_classifier(
    classifier: Classifier,
    *,
    films: LabelledFilms,
    val: LabelledFilms,
    config: ClassifierConfig,
    mean_auroc: Callable[[Float32, Float32], float],
    on_epoch: Callable[[Epoch], None],
) -> Epoch:
    """Train in place, leave the weights of the best epoch, and return that epoch.

    `mean_auroc(logits, findings)` on val ranks the epochs; the val loss breaks ties and decides where it is NaN. All
    randomness depends on `config.seed`. Raises ConfigError with the step if the loss is not finite.
    """
    # Prepare network, optimiser and schedule.
    n_films = len(films.findings)
    batch = min(config.batch, n_films)
    _require_known_findings(films, val)
    device = select_device(config.device)
    generator = torch.Generator().manual_seed(config.seed)
    classifier.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    _set_bias_to_prevalence(classifier, films.targets)
    optimiser = _create_optimiser(classifier, config)
    n_steps, step, started = config.n_epochs * (n_films // batch), 0, time.perf_counter()
    epochs: list[Epoch] = []

    with open_progress("training", total=n_steps, unit="steps") as progress:
        for epoch in range(1, config.n_epochs + 1):
            # Train one epoch.
            classifier.train()
            losses = []
            for pixels, targets in _load_batches(films, batch, generator):
                lr = learning_rate(step, n_steps, config.lr)
                for group in optimiser.param_groups:
                    group["lr"] = lr
                logits, _ = classifier(augment(pixels, generator).to(device, memory_format=torch.channels_last))
                loss = masked_loss(logits, targets.to(device))
                losses.append(_require_finite(loss.item(), step=step + 1, n_steps=n_steps, epoch=epoch))
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                step += 1
                progress.update()

            # Measure the epoch on val.
            val_logits = predict_logits(
                classifier,
                val.read_pixels,
                len(val.findings),
                batch=config.batch,
                task=f"val films after epoch {epoch} of {config.n_epochs}",
            )
            val_loss = float(masked_loss(torch.from_numpy(val_logits), torch.from_numpy(val.targets)))
            result = Epoch(
                epoch=epoch,
                loss=float(np.mean(losses)),
                val_loss=_require_finite(val_loss, step=step, n_steps=n_steps, epoch=epoch),
                val_auroc_mean=mean_auroc(val_logits, val.findings),
                lr=lr,
                wall_s=time.perf_counter() - started,
            )

            # Keep the weights of the best epoch.
            epochs.append(result)
            if max(epochs, key=_rank_epoch) is result:
                best_weights = _copy_weights(classifier)
            on_epoch(result)

    classifier.load_state_dict(best_weights)
    classifier.eval()
    return max(epochs, key=_rank_epoch)


def masked_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy over the known entries of `targets` [N, 14]; 0 if none is known."""
    known = ~torch.isnan(targets)
    losses = F.binary_cross_entropy_with_logits(logits, torch.nan_to_num(targets), reduction="none")
    return (losses * known).sum() / known.sum().clamp(min=1)


def learning_rate(step: int, n_steps: int, peak: float) -> float:
    """One cycle: a linear rise over the first fifth of the steps, then half a cosine to 0."""
    n_warm_up = max(1.0, _WARM_UP_SHARE * n_steps)
    if step < n_warm_up:
        return peak * (step + 1) / (n_warm_up + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - n_warm_up) / max(1.0, n_steps - n_warm_up)))


def augment(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate, scale, shift and vary the grey levels of films [N, 1, R, R] in [-1, 1] slightly; never mirror them."""
    n = len(pixels)

    def draw(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    angle, scale = draw(_MAX_ROTATION), 1 + draw(_MAX_SCALE)
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    coefficients = [cos, -sin, draw(2 * _MAX_SHIFT), sin, cos, draw(2 * _MAX_SHIFT)]
    grid = F.affine_grid(torch.stack(coefficients, dim=1).view(n, 2, 3), list(pixels.shape), align_corners=False)
    moved = F.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    contrast, brightness = 1 + draw(_MAX_CONTRAST), draw(_MAX_BRIGHTNESS)
    return (moved * contrast.view(n, 1, 1, 1) + brightness.view(n, 1, 1, 1)).clamp(-1, 1)


def predict_logits(classifier: Classifier, read_pixels: ReadPixels, n: int, *, batch: int, task: str) -> Float32:
    """Return the logits float32 [n, 14] of the films at positions 0 .. n - 1, in evaluation mode.

    Progress is reported as that of `task`.
    """
    classifier.eval()
    device = classifier.head.weight.device
    outputs = []
    with torch.inference_mode():
        for start in track(range(0, n, batch), task, unit="batches"):
            pixels = images.to_float(read_pixels(np.arange(start, min(start + batch, n))))
            logits, _ = classifier(torch.from_numpy(pixels).to(device, memory_format=torch.channels_last))
            outputs.append(logits.float().cpu().numpy())
    return np.concatenate(outputs)


def _load_batches(films: LabelledFilms, batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the full batches of a new order: pixels [batch, 1, R, R] and targets [batch, 14]."""
    order = torch.randperm(len(films.findings), generator=generator).numpy()
    for start in range(0, len(order) - batch + 1, batch):
        positions = order[start : start + batch]
        pixels = torch.from_numpy(images.to_float(films.read_pixels(positions)))
        yield pixels, torch.from_numpy(films.targets[positions])


def _set_bias_to_prevalence(classifier: Classifier, targets: Float32) -> None:
    """Set the bias of the head to the prevalence of each finding, with one positive and one negative film added."""
    known = ~np.isnan(targets)
    prevalence = (np.nansum(targets, axis=0) + 1) / (known.sum(axis=0) + 2)
    with torch.no_grad():
        classifier.head.bias.copy_(torch.from_numpy(np.log(prevalence / (1 - prevalence))))


def _create_optimiser(classifier: Classifier, config: ClassifierConfig) -> torch.optim.Optimizer:
    """Create an AdamW that decays weights with more than one axis, but not biases and norms."""
    weights = [p for p in classifier.parameters() if p.ndim > 1]
    biases_and_norms = [p for p in classifier.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": biases_and_norms, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr)


def _copy_weights(classifier: Classifier) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in classifier.state_dict().items()}


def _require_finite(loss: float, *, step: int, n_steps: int, epoch: int) -> float:
    if not math.isfinite(loss):
        raise ConfigError(f"the loss is not finite at step {step} of {n_steps} (epoch {epoch}); lower `lr`")
    return loss


def _rank_epoch(epoch: Epoch) -> tuple[float, float]:
    return (-math.inf if math.isnan(epoch.val_auroc_mean) else epoch.val_auroc_mean, -epoch.val_loss)


def _require_known_findings(films: LabelledFilms, val: LabelledFilms) -> None:
    for name, findings in (("training", films.findings), ("val", val.findings)):
        if not np.isfinite(findings).any():
            raise DataError(f"no {name} film has a known finding; check the labels of the films in params.yaml")
