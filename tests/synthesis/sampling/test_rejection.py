"""Rejection sampling: candidates in order, accepted by thresholds, independent of where a run starts or ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthcxr.data import images, random_streams
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler

SaveModel = Callable[..., Path]
EDEMA, MASS = FINDINGS.index("Edema"), FINDINGS.index("Mass")


@pytest.fixture
def sampler(save_generator: SaveModel, save_classifier: SaveModel) -> RejectionSampler:
    save_classifier()
    return RejectionSampler.open(save_generator().parent, batch_size=8, device="cpu")


def concatenate(batches: list[ImageBatch]) -> tuple[list[int], bytes, bytes]:
    """The indices, pixels and probabilities of all batches."""
    indices = [int(index) for batch in batches for index in batch.indices]
    pixels, probabilities = (
        b"".join(getattr(batch, name).tobytes() for batch in batches) for name in ("pixels", "probabilities")
    )
    return indices, pixels, probabilities


def test_a_block_holds_the_images_of_its_candidates(sampler: RejectionSampler) -> None:
    """Latents come from each candidate's stream, and the classifier sees the uint8 image that is written."""
    block = sampler.draw_block(3, 16)
    generated = sampler.generator.run(random_streams.draw_latents(3, 16, 8, 4))["image"]
    assert np.array_equal(block.pixels, images.to_uint8(generated))
    logits = sampler.classifier.run(images.to_float(block.pixels))["logits"].astype(np.float64)
    assert np.allclose(block.probabilities, 1 / (1 + np.exp(-logits)))
    assert list(block.indices) == list(range(16, 24)) and block.stop == 24


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 40), middle=st.integers(0, 40), stop=st.integers(0, 40))
def test_an_interrupted_run_gives_the_same_bytes(sampler: RejectionSampler, start: int, middle: int, stop: int) -> None:
    """Drawing start..stop in two parts gives the same bytes as in one."""
    start, middle, stop = sorted((start, middle, stop))

    def draw(start: int, stop: int) -> list[ImageBatch]:
        return list(sampler.draw(LabelCondition(("Edema",)), seed=7, start=start, stop=stop))

    uninterrupted = draw(start, stop)
    assert concatenate([*draw(start, middle), *draw(middle, stop)]) == concatenate(uninterrupted)
    assert [batch.stop for batch in uninterrupted[-1:]] == ([stop] if start < stop else [])


def test_an_unconditional_draw_accepts_every_candidate(sampler: RejectionSampler) -> None:
    """An empty condition accepts each candidate of the range, and none beyond it."""
    indices, _, _ = concatenate(list(sampler.draw(LabelCondition(), seed=1, start=0, stop=21)))
    assert indices == list(range(21))


def test_thresholds_decide_what_is_accepted(sampler: RejectionSampler) -> None:
    """A probability equal to the threshold counts as present; No Finding means that no finding is present."""
    probabilities = np.zeros((4, 14))
    probabilities[1, EDEMA] = 0.5
    probabilities[2, [EDEMA, MASS]] = 0.9
    probabilities[3, MASS] = 0.4999
    assert sampler.accept(probabilities, LabelCondition(("Edema",))).tolist() == [False, True, True, False]
    assert sampler.accept(probabilities, LabelCondition(("Mass", "Edema"))).tolist() == [False, False, True, False]
    assert sampler.accept(probabilities, LabelCondition(("No Finding",))).tolist() == [True, False, False, True]
    assert sampler.accept(probabilities, LabelCondition(())).all()
    assert [sampler.name_findings(row) for row in probabilities] == [
        ("No Finding",),
        ("Edema",),
        ("Mass", "Edema"),
        ("No Finding",),
    ]


def test_take_first_stops_after_its_last_image() -> None:
    """Candidates after the last image taken count as not examined, so a longer run finds them again."""
    batch = ImageBatch(32, 8, np.array([24, 27, 30]), np.zeros((3, 8, 8), np.uint8), np.zeros((3, 14)), np.ones(3))
    assert batch.take_first(2).stop == 28 and batch.take_first(2).indices.tolist() == [24, 27]
    assert batch.take_first(3).stop == 31 and batch.take_first(4).stop == 32


def test_values_that_are_not_finite_are_an_error(save_generator: SaveModel, save_classifier: SaveModel) -> None:
    """A generator that returns NaN raises an error instead of giving noise images."""
    save_classifier()
    sampler = RejectionSampler.open(save_generator(scale=float("nan")).parent, batch_size=8, device="cpu")
    with pytest.raises(ArtifactError, match="the generator returned values that are not finite"):
        sampler.draw_block(1, 0)
