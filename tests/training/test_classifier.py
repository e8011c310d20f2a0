"""A classifier's training: masked loss, gentle augmentation, the cycle, and a run that learns and can be repeated."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthcxr.config.schema import ClassifierConfig
from synthcxr.errors import ConfigError, DataError
from synthcxr.networks.classifier import Classifier, initialise, network_config
from synthcxr.training.classifier import Epoch, Films, augment, learning_rate, masked_loss, predict, train

SIDE = 16
CONFIG = ClassifierConfig(
    backbone="small",
    weights="none",
    resolution=SIDE,
    width=4,
    n_epochs=6,
    batch=16,
    lr=5e-3,
    weight_decay=1e-2,
    n_bootstrap=0,
    seed=3,
    device="cpu",
)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small run many times faster on one thread, above all on a machine that is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def bright_spots(n: int, seed: int) -> Films:
    """Dark noisy squares; a film with finding 0 has a bright centre, with finding 1 a bright lower edge."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (n, SIDE, SIDE), dtype=np.uint8)
    findings = np.zeros((n, 14), np.float32)
    findings[:, :2] = rng.random((n, 2)) < 0.4
    pixels[findings[:, 0] == 1, 5:11, 5:11] += 120
    pixels[findings[:, 1] == 1, 12:] += 120
    findings[:, 2] = np.nan
    return Films(read=lambda positions: pixels[positions], findings=findings)


def ranking(scores: np.ndarray, findings: np.ndarray) -> float:
    """Share of pairs of a positive and a negative in the right order, over the first two findings."""
    each = [np.subtract.outer(scores[findings[:, i] == 1, i], scores[findings[:, i] == 0, i]) > 0 for i in range(2)]
    return float(np.mean([right.mean() for right in each]))


def run(config: ClassifierConfig, films: Films, val: Films) -> tuple[Classifier, Epoch, list[Epoch]]:
    rows: list[Epoch] = []
    classifier = initialise(network_config(config, SIDE), config.seed)
    best = train(classifier, films=films, val=val, config=config, mean_auroc=ranking, report=rows.append)
    return classifier, best, rows


def test_loss_is_the_mean_over_known_entries() -> None:
    """Unknown entries weigh nothing and send no gradient; the rest is the usual cross-entropy."""
    logits = torch.tensor([[0.0, 2.0], [1.0, -3.0]], requires_grad=True)
    findings = torch.tensor([[1.0, float("nan")], [0.0, 1.0]])
    loss = masked_loss(logits, findings)
    assert loss.item() == pytest.approx((math.log(2) + math.log(1 + math.e) + math.log(1 + math.exp(3))) / 3)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] == 0
    assert (logits.grad != 0).sum() == 3


def test_loss_of_unknown_labels_alone_is_zero() -> None:
    """A batch of which nothing is known moves nothing."""
    logits = torch.randn(2, 14, requires_grad=True)
    loss = masked_loss(logits, torch.full((2, 14), float("nan")))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@given(st.integers(1, 500))
def test_the_rate_rises_once_and_falls_to_zero(n_steps: int) -> None:
    """One cycle: up to the peak and never beyond it, then down, to almost nothing at the last step."""
    rates = [learning_rate(step, n_steps, 1.0) for step in range(n_steps)]
    top = int(np.argmax(rates))
    assert all(0 < rate <= 1 for rate in rates)
    assert np.all(np.diff(rates[: top + 1]) > 0)
    assert np.all(np.diff(rates[top:]) < 0)
    if n_steps >= 20:
        assert max(rates) > 0.9
        assert rates[-1] < 0.02


def test_augmentation_is_light_and_never_mirrors() -> None:
    """A film with its bright side on the left keeps it there, and stays in range, in each of 500 draws."""
    film = torch.full((500, 1, 32, 32), -0.8)
    film[:, :, 8:24, 4:12] = 0.8
    made = augment(film, torch.Generator().manual_seed(0))
    assert made.shape == film.shape
    assert made.min() >= -1
    assert made.max() <= 1
    assert (made[..., :16].mean(dim=(1, 2, 3)) > made[..., 16:].mean(dim=(1, 2, 3)) + 0.1).all()
    assert made.std(dim=0).max() > 0.1


def test_augmentation_follows_its_generator() -> None:
    """The same generator state gives the same films, and torch's own stream is not drawn from."""
    film = torch.rand(4, 1, 16, 16)
    torch.manual_seed(0)
    first, second = (augment(film, torch.Generator().manual_seed(9)) for _ in range(2))
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(1), drawn)


def test_training_learns_and_keeps_the_best_epoch() -> None:
    """Two visible findings are told apart on films not learnt from, and the weights left are the best epoch's."""
    films, val = bright_spots(160, 0), bright_spots(60, 1)
    classifier, best, rows = run(CONFIG, films, val)
    assert [row.epoch for row in rows] == [1, 2, 3, 4, 5, 6]
    assert best == max(rows, key=lambda row: (row.val_auroc_mean, -row.val_loss))
    assert best.val_auroc_mean > 0.9
    assert rows[-1].loss < rows[0].loss
    logits = predict(classifier, val.read, 60, batch=7)
    assert ranking(logits, val.findings) == pytest.approx(best.val_auroc_mean)
    assert not classifier.training


def test_the_same_seed_gives_the_same_weights() -> None:
    """Two runs agree to the bit whatever torch's own stream holds; another seed gives others."""
    films, val, config = bright_spots(48, 0), bright_spots(20, 1), dataclasses.replace(CONFIG, n_epochs=2)
    torch.manual_seed(1)
    first, _, _ = run(config, films, val)
    torch.manual_seed(2)
    second, _, _ = run(config, films, val)
    other, _, _ = run(dataclasses.replace(config, seed=4), films, val)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert not torch.equal(first.head.weight, other.head.weight)


def test_val_loss_chooses_where_nothing_can_be_ranked() -> None:
    """With no AUROC (NaN) the epoch of the lowest val loss is kept."""
    rows: list[Epoch] = []
    best = train(
        initialise(network_config(CONFIG, SIDE), 0),
        films=bright_spots(48, 0),
        val=bright_spots(20, 1),
        config=dataclasses.replace(CONFIG, n_epochs=3),
        mean_auroc=lambda scores, findings: math.nan,
        report=rows.append,
    )
    assert best.val_loss == min(row.val_loss for row in rows)


def test_a_loss_that_is_not_finite_stops_and_names_the_step() -> None:
    """A learning rate beyond reason ends in an error that says at which step and what to change."""
    with pytest.raises(ConfigError, match=r"not finite at step \d+ of 60 \(epoch \d+\); lower `lr`"):
        run(dataclasses.replace(CONFIG, lr=1e30), bright_spots(160, 0), bright_spots(20, 1))


def test_films_of_unknown_findings_alone_are_refused() -> None:
    """There is nothing to learn, or nothing to choose by, where no label is known."""
    films, blank = bright_spots(20, 0), bright_spots(20, 1)
    blank.findings[:] = np.nan
    for learnt, val, said in ((blank, films, "to learn from"), (films, blank, "of val")):
        with pytest.raises(DataError, match=f"no film {said} has a known finding"):
            run(CONFIG, learnt, val)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_without_a_gpu_is_an_error() -> None:
    """`device: cuda` never becomes a silent CPU run."""
    with pytest.raises(ConfigError, match="torch finds no GPU"):
        run(dataclasses.replace(CONFIG, device="cuda"), bright_spots(20, 0), bright_spots(20, 1))
