"""Phantoms: reproducible, the same at every resolution, with visible findings and enough films of each."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ConfigError
from synthcxr.readers import phantom


def reduce_film(film: np.ndarray, side: int) -> np.ndarray:
    factor = film.shape[0] // side
    return film.reshape(side, factor, side, factor).mean(axis=(1, 3))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1), index=st.integers(0, 10**6), resolution=st.sampled_from([8, 12, 32, 64, 100, 128])
)
def test_any_options_give_a_valid_film(seed: int, index: int, resolution: int) -> None:
    """Any seed, index and resolution give float32 in [0, 1] with contrast, the same in every call."""
    film = phantom.draw_film(seed, index, resolution)
    assert (film.shape, film.dtype) == ((resolution, resolution), np.float32)
    assert film.min() >= 0
    assert film.max() <= 1
    assert film.std() > 0.08
    np.testing.assert_array_equal(film, phantom.draw_film(seed, index, resolution))


@pytest.mark.parametrize("index", range(6))
def test_resolutions_show_the_same_film(index: int) -> None:
    """A film of low resolution equals the reduced film of high resolution, within 0.01 on average."""
    large = phantom.draw_film(3, index, 256)
    for side in (128, 64, 32, 8):
        assert np.abs(reduce_film(large, side) - phantom.draw_film(3, index, side)).mean() < 0.01


def test_draws_the_highest_resolution() -> None:
    """A phantom of 1024 px equals the one of 256 px, apart from finer grain."""
    assert np.abs(reduce_film(phantom.draw_film(3, 0, 1024), 256) - phantom.draw_film(3, 0, 256)).mean() < 0.01


def test_films_do_not_depend_on_their_number() -> None:
    """More films begin with the same films; another seed gives other films and patients."""
    short = list(phantom.read_films(n_films=5, resolution=16, seed=1))
    long = list(phantom.read_films(n_films=9, resolution=16, seed=1))
    other = list(phantom.read_films(n_films=5, resolution=16, seed=2))
    for film, same in zip(short, long, strict=False):
        assert (film.image_index, film.findings, film.view) == (same.image_index, same.findings, same.view)
        np.testing.assert_array_equal(film.read(), same.read())
    assert not {film.image_index for film in short} & {film.image_index for film in other}
    assert not {film.patient_id for film in short} & {film.patient_id for film in other}
    assert not np.array_equal(short[0].read(), other[0].read())


def test_films_can_be_pickled_and_are_marked_as_phantoms() -> None:
    """Films can be drawn in another process; their origin begins with `phantom:`, and the reader reports phantoms."""
    lines: list[str] = []
    (film,) = phantom.read_films(n_films=1, resolution=16, seed=1, report=lines.append)
    read, read_size = pickle.loads(pickle.dumps((film.read, film.read_size)))
    np.testing.assert_array_equal(read(), film.read())
    assert read_size() == 16
    assert film.origin == "phantom:1/0"
    assert lines == ["phantom: 1 drawn phantoms; they test the pipeline and say nothing about realism"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_900_films_contain_every_finding(seed: int) -> None:
    """900 films contain each finding at least 20 times, 30 to 45 % normal films, and patients with 1 to 3 films."""
    films = list(phantom.read_films(n_films=900, resolution=32, seed=seed))
    findings = np.array([film.findings for film in films])
    assert findings.sum(axis=0).min() >= 20
    assert 0.30 < (findings.sum(axis=1) == 0).mean() < 0.45
    assert findings.sum(axis=1).max() <= 3
    assert set(Counter(Counter(film.patient_id for film in films).values())) == {1, 2, 3}
    edema = [film.view for film in films if film.findings[FINDINGS.index("Edema")]]
    none = [film.view for film in films if not any(film.findings)]
    assert edema.count("AP") / len(edema) > none.count("AP") / len(none) + 0.15


def test_films_of_a_patient_share_the_build() -> None:
    """Films of one patient are more similar than films of different patients."""
    films = {index: phantom.draw_with_findings((), seed=1, index=index, resolution=32) for index in range(48)}
    same_patient, other_patient = [], []
    for i, first in films.items():
        for j, second in films.items():
            if i < j:
                (
                    same_patient if phantom.get_patient_index(i) == phantom.get_patient_index(j) else other_patient
                ).append(np.abs(first - second).mean())
    assert len(same_patient) == 6 * 4
    assert np.median(same_patient) < np.median(other_patient)


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_is_visible_at_32_px(finding: str) -> None:
    """A finding changes some pixel by more than 0.08 in at least 9 of 10 films at 32 px."""
    changes = []
    for index in range(20):
        with_finding = phantom.draw_with_findings((finding,), seed=5, index=index, resolution=32)
        without_finding = phantom.draw_with_findings((), seed=5, index=index, resolution=32)
        changes.append(np.abs(with_finding - without_finding).max())
    assert np.quantile(changes, 0.1) > 0.08


def test_cardiomegaly_widens_the_heart_and_emphysema_lowers_the_diaphragm() -> None:
    """Cardiomegaly makes the film brighter beside the heart, and emphysema makes it darker at the lung bases."""
    wider, lower = [], []
    for index in range(8):
        normal, cardiomegaly, emphysema = (
            phantom.draw_with_findings(findings, seed=7, index=index, resolution=64)
            for findings in ((), ("Cardiomegaly",), ("Emphysema",))
        )
        wider.append((cardiomegaly - normal)[24:44, 8:56].mean())
        lower.append((normal - emphysema)[36:48, 8:56].mean())
    assert min(*wider, *lower) > 0
    assert min(np.mean(wider), np.mean(lower)) > 0.02


def test_heart_is_on_the_patients_left() -> None:
    """On average the right half of the image is brighter at the height of the heart, as on a real film."""
    mean = np.mean([phantom.draw_with_findings((), seed=9, index=index, resolution=64) for index in range(40)], axis=0)
    assert mean[28:38, 38:46].mean() > mean[28:38, 18:26].mean() + 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_films": 0}, "^n_films: 0"),
        ({"resolution": 4}, "^resolution: 4"),
        ({"resolution": 2048}, "^resolution: 2048"),
        ({"seed": -1}, "^seed: -1"),
    ],
)
def test_options_out_of_range_are_errors(options: dict[str, int], message: str) -> None:
    """The error for an option out of range begins with the option."""
    with pytest.raises(ConfigError, match=message):
        phantom.read_films(**({"n_films": 1, "resolution": 32, "seed": 1} | options))


@pytest.mark.slow
@pytest.mark.usefixtures("one_torch_thread")
def test_a_small_network_learns_the_findings() -> None:
    """A small CNN trained on 800 films at 32 px detects every finding in 400 films of other patients."""
    import torch
    from sklearn.metrics import roc_auc_score

    films = list(phantom.read_films(n_films=1200, resolution=32, seed=1))
    images = torch.tensor(np.stack([film.read() for film in films]))[:, None] * 2 - 1
    findings = torch.tensor([film.findings for film in films])
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for n_in, n_out, stride in ((1, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)):
        convolution = torch.nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        layers += [convolution, torch.nn.BatchNorm2d(n_out), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(256, 14))
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-2)
    for _ in range(15):
        for batch in torch.randperm(800).split(32):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(images[batch]), findings[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        logits = network.eval()(images[800:]).numpy()
    auroc = [roc_auc_score(findings[800:, index], logits[:, index]) for index in range(14)]
    assert np.mean(auroc) > 0.82, auroc
    assert min(auroc) > 0.6, auroc
