"""Training of a classifier: masked loss, light augmentation, learning-rate cycle, learning and reproducibility."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import small_classifier

from synthcxr.config.schema import ClassifierConfig
from synthcxr.errors import ConfigError, DataError
from synthcxr.networks.classifier import Classifier, build_network_config, initialise_classifier
from synthcxr.training.classifier import (
    Epoch,
    LabelledFilms,
    augment,
    learning_rate,
    masked_loss,
    predict_logits,
    train_classifier,
)

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SIDE = 16
CONFIG = dataclasses.replace(small_classifier.CONFIG, resolution=SIDE, n_epochs=6, lr=5e-3, n_bootstrap=0, seed=3)


def draw_films(n: int, seed: int) -> LabelledFilms:
    """Draw dark noisy films; finding 0 adds a bright centre, finding 1 a bright lower edge, finding 2 is unknown."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (n, SIDE, SIDE), dtype=np.uint8)
    findings = np.zeros((n, 14), np.float32)
    findings[:, :2] = rng.random((n, 2)) < 0.4
    pixels[findings[:, 0] == 1, 5:11, 5:11] += 120
    pixels[findings[:, 1] == 1, 12:] += 120
    findings[:, 2] = np.nan
    return LabelledFilms(read_pixels=lambda positions: pixels[positions], findings=findings, targets=findings)


def mean_auroc(scores: np.ndarray, findings: np.ndarray) -> float:
    """Return the share of positive-negative pairs in the right order, averaged over the first two findings."""
    is_ordered = [
        np.subtract.outer(scores[findings[:, i] == 1, i], scores[findings[:, i] == 0, i]) > 0 for i in range(2)
    ]
    return float(np.mean([pairs.mean() for pairs in is_ordered]))


def train(config: ClassifierConfig, films: LabelledFilms, val: LabelledFilms) -> tuple[Classifier, Epoch, list[Epoch]]:
    epochs: list[Epoch] = []
    classifier = initialise_classifier(build_network_config(config, SIDE), config.seed)
    best = train_classifier(
        classifier, films=films, val=val, config=config, mean_auroc=mean_auroc, on_epoch=epochs.append
    )
    return classifier, best, epochs


def test_loss_is_the_mean_over_known_entries() -> None:
    """Unknown entries have no weight and no gradient; the others have the usual cross-entropy."""
    logits = torch.tensor([[0.0, 2.0], [1.0, -3.0]], requires_grad=True)
    findings = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    loss = masked_loss(logits, findings)
    assert loss.item() == pytest.approx((math.log(2) + math.log(1 + math.e) + math.log(1 + math.exp(3))) / 3)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert (logits.grad != 0).sum() == 3


def test_loss_of_unknown_labels_is_zero() -> None:
    """A batch without known labels has no gradient."""
    logits = torch.randn(2, 14, requires_grad=True)
    loss = masked_loss(logits, torch.full((2, 14), float("nan")))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@given(st.integers(1, 500))
def test_the_learning_rate_rises_once_and_falls_to_zero(n_steps: int) -> None:
    """In one cycle, the rate rises to at most the peak, then falls to almost zero at the last step."""
    rates = [learning_rate(step, n_steps, 1.0) for step in range(n_steps)]
    peak = int(np.argmax(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert np.all(np.diff(rates[: peak + 1]) > 0)
    assert np.all(np.diff(rates[peak:]) < 0)
    if n_steps >= 20:
        assert max(rates) > 0.9
        assert rates[-1] < 0.02


def test_augmentation_is_light_and_never_mirrors() -> None:
    """In 500 draws, a film with a bright left side keeps it on the left, and grey levels stay in range."""
    film = torch.full((500, 1, 32, 32), -0.8)
    film[:, :, 8:24, 4:12] = 0.8
    augmented = augment(film, torch.Generator().manual_seed(0))
    assert augmented.shape == film.shape
    assert augmented.min() >= -1
    assert augmented.max() <= 1
    assert (augmented[..., :16].mean(dim=(1, 2, 3)) > augmented[..., 16:].mean(dim=(1, 2, 3)) + 0.1).all()
    assert augmented.std(dim=0).max() > 0.1


def test_augmentation_depends_on_its_generator_only() -> None:
    """The same generator state gives the same films, and the global torch stream is not used."""
    film = torch.rand(4, 1, 16, 16)
    torch.manual_seed(0)
    first, second = (augment(film, torch.Generator().manual_seed(9)) for _ in range(2))
    uniform = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(1), uniform)


def test_training_learns_and_keeps_the_best_epoch() -> None:
    """Two visible findings are detected on unseen films, and the final weights are those of the best epoch."""
    films, val = draw_films(160, 0), draw_films(60, 1)
    classifier, best, epochs = train(CONFIG, films, val)
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert best == max(epochs, key=lambda epoch: (epoch.val_auroc_mean, -epoch.val_loss))
    assert best.val_auroc_mean > 0.9
    assert epochs[-1].loss < epochs[0].loss
    logits = predict_logits(classifier, val.read_pixels, 60, batch=7, task="val films")
    assert mean_auroc(logits, val.findings) == pytest.approx(best.val_auroc_mean)
    assert not classifier.training


def test_the_same_seed_gives_the_same_weights() -> None:
    """Two runs are bit-identical for any state of the global torch stream; another seed gives other weights."""
    films, val, config = draw_films(48, 0), draw_films(20, 1), dataclasses.replace(CONFIG, n_epochs=2)
    torch.manual_seed(1)
    first, _, _ = train(config, films, val)
    torch.manual_seed(2)
    second, _, _ = train(config, films, val)
    other, _, _ = train(dataclasses.replace(config, seed=4), films, val)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert not torch.equal(first.head.weight, other.head.weight)


def test_val_loss_selects_the_epoch_without_an_auroc() -> None:
    """If the AUROC is NaN, the epoch with the lowest val loss is kept."""
    epochs: list[Epoch] = []
    best = train_classifier(
        initialise_classifier(build_network_config(CONFIG, SIDE), 0),
        films=draw_films(48, 0),
        val=draw_films(20, 1),
        config=dataclasses.replace(CONFIG, n_epochs=3),
        mean_auroc=lambda scores, findings: math.nan,
        on_epoch=epochs.append,
    )
    assert best.val_loss == min(epoch.val_loss for epoch in epochs)


def test_a_loss_that_is_not_finite_raises_an_error_with_the_step() -> None:
    """For an extreme learning rate, the error names the step and the parameter to change."""
    with pytest.raises(ConfigError, match=r"not finite at step \d+ of 60 \(epoch \d+\); lower `lr`"):
        train(dataclasses.replace(CONFIG, lr=1e30), draw_films(160, 0), draw_films(20, 1))


def test_films_without_known_findings_are_refused() -> None:
    """Training and val films each need at least one known finding."""
    films, unlabelled = draw_films(20, 0), draw_films(20, 1)
    unlabelled.findings[:] = np.nan
    for training, val, name in ((unlabelled, films, "training"), (films, unlabelled, "val")):
        with pytest.raises(DataError, match=f"no {name} film has a known finding"):
            train(CONFIG, training, val)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_an_error() -> None:
    """`device: cuda` without a GPU raises ConfigError instead of running on the CPU."""
    with pytest.raises(ConfigError, match="torch finds no GPU"):
        train(dataclasses.replace(CONFIG, device="cuda"), draw_films(20, 0), draw_films(20, 1))
