"""The sampler: candidates in order, accepted by the thresholds, independent of where a run begins or ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthcxr.data import findings, images, random_streams
from synthcxr.errors import ArtifactError
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.sampling.rejection import Drawn, Sampler

Save = Callable[..., Path]
P = findings.FINDINGS.index


@pytest.fixture
def sampler(save_generator: Save, save_classifier: Save) -> Sampler:
    save_classifier()
    return Sampler.open(save_generator().parent, batch=8, device="cpu")


def joined(parts: list[Drawn]) -> tuple[list[int], bytes, bytes]:
    """What the blocks hold, in one."""
    indices = [int(index) for part in parts for index in part.indices]
    pixels, probabilities = (
        b"".join(getattr(part, name).tobytes() for part in parts) for name in ("pixels", "probabilities")
    )
    return indices, pixels, probabilities


def test_a_block_is_its_candidates(sampler: Sampler) -> None:
    """Latents come from each candidate's stream, and the classifier sees the uint8 image that is written."""
    block = sampler.block(3, 16)
    made = sampler.generator.run(random_streams.latents(3, 16, 8, 4))["image"]
    assert np.array_equal(block.pixels, images.to_uint8(made))
    logits = sampler.classifier.run(images.to_float(block.pixels))["logits"].astype(np.float64)
    assert np.allclose(block.probabilities, 1 / (1 + np.exp(-logits)))
    assert list(block.indices) == list(range(16, 24)) and block.stop == 24


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 40), mid=st.integers(0, 40), stop=st.integers(0, 40))
def test_stopping_and_going_on_changes_nothing(sampler: Sampler, start: int, mid: int, stop: int) -> None:
    """Drawing start..stop in two goes gives the same bytes as in one."""
    start, mid, stop = sorted((start, mid, stop))
    ask = {"seed": 7, "wanted": Wanted(("Edema",))}
    parts = [*sampler.draw(**ask, start=start, stop=mid), *sampler.draw(**ask, start=mid, stop=stop)]
    whole = list(sampler.draw(**ask, start=start, stop=stop))
    assert joined(parts) == joined(whole)
    assert [part.stop for part in whole[-1:]] == ([stop] if start < stop else [])


def test_nothing_asked_means_all(sampler: Sampler) -> None:
    """Without a request every candidate is kept, and none beyond the last one allowed."""
    indices, _, _ = joined(list(sampler.draw(seed=1, wanted=Wanted(), start=0, stop=21)))
    assert indices == list(range(21))


def test_accepts(sampler: Sampler) -> None:
    """At the threshold counts as present; all requested findings must be; No Finding means that none is."""
    probabilities = np.zeros((4, 14))
    probabilities[1, P("Edema")] = 0.5
    probabilities[2, [P("Edema"), P("Mass")]] = 0.9
    probabilities[3, P("Mass")] = 0.4999
    assert sampler.accepts(probabilities, Wanted(("Edema",))).tolist() == [False, True, True, False]
    assert sampler.accepts(probabilities, Wanted(("Mass", "Edema"))).tolist() == [False, False, True, False]
    assert sampler.accepts(probabilities, Wanted(("No Finding",))).tolist() == [True, False, False, True]
    assert sampler.accepts(probabilities, Wanted(())).all()
    assert [sampler.findings(row) for row in probabilities] == [
        ("No Finding",),
        ("Edema",),
        ("Mass", "Edema"),
        ("No Finding",),
    ]


def test_first_stops_after_its_last_image() -> None:
    """What is cut off has not been looked at: a longer run finds it again."""
    drawn = Drawn(32, 8, np.array([24, 27, 30]), np.zeros((3, 8, 8), np.uint8), np.zeros((3, 14)), np.ones(3))
    assert drawn.first(2).stop == 28 and drawn.first(2).indices.tolist() == [24, 27]
    assert drawn.first(3).stop == 31 and drawn.first(4).stop == 32


def test_values_that_are_not_finite(save_generator: Save, save_classifier: Save) -> None:
    """A generator that gives NaN stops with an error instead of writing noise."""
    save_classifier()
    sampler = Sampler.open(save_generator(scale=float("nan")).parent, batch=8, device="cpu")
    with pytest.raises(ArtifactError, match="the generator gives values that are not finite"):
        sampler.block(1, 0)
