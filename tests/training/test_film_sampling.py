"""How often films are shown: by source, finding and whether they have labels; in passes that depend on nimg only."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from synthcxr.config.gan_sections import SamplingConfig
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ConfigError
from synthcxr.training import film_sampling
from synthcxr.training.film_order import ShownFilms

PLAIN = SamplingConfig(unlabelled_share=None, sources={}, findings={})


def build_findings(*films: str | None) -> np.ndarray:
    """Films by the findings that they show, joined by +; "" shows none and None is unlabelled."""
    rows = [
        [np.nan] * 14 if film is None else [float(finding in film.split("+")) for finding in FINDINGS] for film in films
    ]
    return np.array(rows, np.float32)


def compute(config: SamplingConfig, findings: np.ndarray, sources: list[str] | None = None) -> list[float] | None:
    names = np.array(sources or ["a"] * len(findings))
    shares = film_sampling.compute_shares(config, findings=findings, sources=names)
    return None if shares is None else shares.tolist()


def show(shares: list[float] | None, seed: int, nimg: int, batch: int) -> list[int]:
    """The positions shown at `nimg`, for films opened anew."""
    n = 10 if shares is None else len(shares)
    films = ShownFilms(np.zeros((n, 4, 4), np.uint8), np.arange(n), None if shares is None else np.array(shares))
    return [int(position) for position in films.select(seed, nimg, batch)]


def test_films_are_equal_by_default() -> None:
    """Where all films are labelled, or none is, the share of unlabelled films has no effect."""
    default = SamplingConfig(unlabelled_share=0.25, sources={}, findings={})
    assert compute(default, build_findings("Edema", "", "Mass")) is None
    assert compute(default, build_findings(None, None)) is None
    assert compute(PLAIN, build_findings("Edema", None, None)) is None


def test_unlabelled_films_have_a_stated_share() -> None:
    """A film with one known finding is labelled; within either group, films are equal."""
    config = SamplingConfig(unlabelled_share=0.25, sources={}, findings={})
    findings = build_findings("Edema", "", "Mass", None, None, None, None, None)
    findings[2, 1:] = np.nan
    assert compute(config, findings) == pytest.approx([0.25] * 3 + [0.05] * 5)
    only_labelled = SamplingConfig(unlabelled_share=0.0, sources={}, findings={})
    assert compute(only_labelled, findings) == pytest.approx([1 / 3] * 3 + [0] * 5)


def test_the_weight_of_a_film_is_that_of_its_source_and_of_its_most_wanted_finding() -> None:
    """A finding that is not listed has the weight 1, and names are those of label files in any case."""
    config = SamplingConfig(
        unlabelled_share=0.5, sources={"b": 2.0}, findings={"hernia": 5.0, "Infiltration": 0.5, "No Finding": 0.25}
    )
    findings = build_findings("Hernia", "Infiltration", "Infiltration+Mass", "", "", None, None)
    sources = ["a", "a", "a", "a", "b", "a", "b"]
    weights = np.array([5, 0.5, 1, 0.25, 0.5])
    assert compute(config, findings, sources) == pytest.approx([*(weights / weights.sum() / 2), 1 / 6, 1 / 3])


def test_weights_that_cannot_be_used_are_refused_by_their_path() -> None:
    """An unknown finding, an unknown source, and weights that leave no film."""
    findings = build_findings("Edema", "")
    with pytest.raises(ConfigError, match=r"train_gan\.sampling\.findings\.Gout: unknown finding 'Gout'; known: No"):
        compute(SamplingConfig(None, {}, {"Gout": 2.0}), findings)
    with pytest.raises(ConfigError, match=r"train_gan\.sampling\.sources\.c: no film has this source; sources: a, b"):
        film_sampling.require_known_sources(SamplingConfig(None, {"c": 2.0}, {}), np.array(["b", "a", "a"]))
    films = np.array([[1.0] + [0.0] * 13, [np.nan] * 14], np.float32)
    with pytest.raises(ConfigError, match=r"unlabelled_share is 0, but every film with labels has the weight 0"):
        film_sampling.compute_shares(SamplingConfig(0.0, {"a": 0.0}, {}), findings=films, sources=np.array(["a", "b"]))
    with pytest.raises(ConfigError, match=r"train_gan\.sampling: gives every film the weight 0"):
        compute(SamplingConfig(None, {"a": 0.0}, {}), findings)


def test_a_pass_shows_each_film_by_its_share() -> None:
    """In a pass over n films, a film is shown n times its share, rounded up or down; on average exactly so."""
    shares = [0.32, 0.08, 0.0, *[0.12] * 5]
    counts = [Counter(show(shares, 3, 8 * epoch, 8)) for epoch in range(400)]
    for position, share in enumerate(shares):
        shown = [count[position] for count in counts]
        assert set(shown) <= {int(8 * share), int(8 * share) + 1}
        assert np.mean(shown) == pytest.approx(8 * share, abs=0.1)


@pytest.mark.parametrize("shares", [None, [0.32, 0.08, 0.0, *[0.12] * 5]])
def test_what_is_shown_depends_on_the_seed_and_nimg_only(shares: list[float] | None) -> None:
    """Batches of any size, and a run that starts in the middle, show the same films; passes and seeds differ."""
    n = 10 if shares is None else 8
    all_positions = show(shares, 5, 0, 3 * n)
    assert [position for nimg in range(0, 3 * n, 2) for position in show(shares, 5, nimg, 2)] == all_positions
    assert show(shares, 5, n + 3, 7) == all_positions[n + 3 : n + 10]
    assert all_positions[:n] != all_positions[n : 2 * n]
    assert show(shares, 6, 0, 3 * n) != all_positions
