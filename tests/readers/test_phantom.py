"""Drawn films: the same film everywhere, findings that are seen, numbers that a small dataset can live on."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ConfigError
from synthcxr.readers import phantom


def reduced(film: np.ndarray, side: int) -> np.ndarray:
    factor = film.shape[0] // side
    return film.reshape(side, factor, side, factor).mean(axis=(1, 3))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1), index=st.integers(0, 10**6), resolution=st.sampled_from([8, 12, 32, 64, 100, 128])
)
def test_a_film_is_a_film(seed: int, index: int, resolution: int) -> None:
    """Any seed, index and resolution gives float32 in [0, 1], the same at every call, with some contrast."""
    film = phantom.draw_film(seed, index, resolution)
    assert (film.shape, film.dtype) == ((resolution, resolution), np.float32)
    assert film.min() >= 0
    assert film.max() <= 1
    assert film.std() > 0.08
    np.testing.assert_array_equal(film, phantom.draw_film(seed, index, resolution))


@pytest.mark.parametrize("index", range(6))
def test_resolutions_show_the_same_film(index: int) -> None:
    """A film drawn small is the large one reduced, to within a hundredth on average."""
    large = phantom.draw_film(3, index, 256)
    for side in (128, 64, 32, 8):
        assert np.abs(reduced(large, side) - phantom.draw_film(3, index, side)).mean() < 0.01


def test_draws_the_largest() -> None:
    """A phantom of 1024 px is the one of 256 px with finer grain."""
    assert np.abs(reduced(phantom.draw_film(3, 0, 1024), 256) - phantom.draw_film(3, 0, 256)).mean() < 0.01


def test_films_do_not_depend_on_how_many() -> None:
    """The first films of a longer run are those of a shorter one; another seed gives others."""
    short = list(phantom.read_films(n_films=5, resolution=16, seed=1))
    long = list(phantom.read_films(n_films=9, resolution=16, seed=1))
    other = list(phantom.read_films(n_films=5, resolution=16, seed=2))
    for one, same in zip(short, long, strict=False):
        assert (one.image_index, one.findings, one.view) == (same.image_index, same.findings, same.view)
        np.testing.assert_array_equal(one.read(), same.read())
    assert not {film.image_index for film in short} & {film.image_index for film in other}
    assert not {film.patient_id for film in short} & {film.patient_id for film in other}
    assert not np.array_equal(short[0].read(), other[0].read())


def test_films_survive_pickling_and_say_what_they_are() -> None:
    """Films can be drawn in another process; their origin starts with phantom:; the reader says they are drawn."""
    lines: list[str] = []
    (film,) = phantom.read_films(n_films=1, resolution=16, seed=1, report=lines.append)
    read, read_size = pickle.loads(pickle.dumps((film.read, film.read_size)))
    np.testing.assert_array_equal(read(), film.read())
    assert read_size() == 16
    assert film.origin == "phantom:1/0"
    assert lines == ["phantom: 1 drawn phantoms; they prove the pipeline, never realism"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nine_hundred_films_show_everything(seed: int) -> None:
    """900 films hold every finding at least 20 times, 30 to 45 % without any, both views, patients with 1 to 3."""
    films = list(phantom.read_films(n_films=900, resolution=32, seed=seed))
    findings = np.array([film.findings for film in films])
    assert findings.sum(axis=0).min() >= 20
    assert 0.30 < (findings.sum(axis=1) == 0).mean() < 0.45
    assert findings.sum(axis=1).max() <= 3
    assert set(Counter(Counter(film.patient_id for film in films).values())) == {1, 2, 3}
    edema = [film.view for film in films if film.findings[FINDINGS.index("Edema")]]
    none = [film.view for film in films if not any(film.findings)]
    assert edema.count("AP") / len(edema) > none.count("AP") / len(none) + 0.15


def test_a_patient_keeps_the_build() -> None:
    """Films of one patient resemble each other more than films of others do."""
    films = {index: phantom.draw_with_findings((), seed=1, index=index, resolution=32) for index in range(48)}
    same, other = [], []
    for i, one in films.items():
        for j, two in films.items():
            if i < j:
                (same if phantom.get_patient_index(i) == phantom.get_patient_index(j) else other).append(
                    np.abs(one - two).mean()
                )
    assert len(same) == 6 * 4
    assert np.median(same) < np.median(other)


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_is_seen_at_32_px(finding: str) -> None:
    """A finding changes the film where it is and by enough to be seen in at least nine of ten films at 32 px."""
    changes = []
    for index in range(20):
        with_it = phantom.draw_with_findings((finding,), seed=5, index=index, resolution=32)
        without = phantom.draw_with_findings((), seed=5, index=index, resolution=32)
        changes.append(np.abs(with_it - without).max())
    assert np.quantile(changes, 0.1) > 0.08


def test_cardiomegaly_widens_the_heart_and_emphysema_lowers_the_diaphragm() -> None:
    """Two signs that can be measured: the heart's row is brighter beside it, the lungs reach further down."""
    wider, lower = [], []
    for index in range(8):
        plain, large, inflated = (
            phantom.draw_with_findings(findings, seed=7, index=index, resolution=64)
            for findings in ((), ("Cardiomegaly",), ("Emphysema",))
        )
        wider.append((large - plain)[24:44, 8:56].mean())
        lower.append((plain - inflated)[36:48, 8:56].mean())
    assert min(*wider, *lower) > 0
    assert min(np.mean(wider), np.mean(lower)) > 0.02


def test_the_heart_lies_on_the_patients_left() -> None:
    """Film after film the image's right half is brighter at the heart's height, as on a real film."""
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
def test_options_out_of_range(options: dict[str, int], message: str) -> None:
    """An option out of range is refused at once, by its name."""
    with pytest.raises(ConfigError, match=message):
        phantom.read_films(**({"n_films": 1, "resolution": 32, "seed": 1} | options))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread, so that a busy machine does not stall a small network."""
    torch = pytest.importorskip("torch")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_small_network_tells_the_findings_apart() -> None:
    """A small CNN trained on 800 films at 32 px tells every finding in films of other patients."""
    import torch
    from sklearn.metrics import roc_auc_score

    films = list(phantom.read_films(n_films=1200, resolution=32, seed=1))
    image = torch.tensor(np.stack([film.read() for film in films]))[:, None] * 2 - 1
    finding = torch.tensor([film.findings for film in films])
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for n_in, n_out, stride in ((1, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)):
        convolution = torch.nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        layers += [convolution, torch.nn.BatchNorm2d(n_out), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(256, 14))
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=1e-2)
    for _ in range(15):
        for batch in torch.randperm(800).split(32):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(image[batch]), finding[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        logits = network.eval()(image[800:]).numpy()
    auroc = [roc_auc_score(finding[800:, place], logits[:, place]) for place in range(14)]
    assert np.mean(auroc) > 0.82, auroc
    assert min(auroc) > 0.6, auroc
