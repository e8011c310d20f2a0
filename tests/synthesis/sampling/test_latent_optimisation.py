"""Latent class optimisation, on a small exported generator and classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.exported_models import LATENT, write_exported_models

from synthcxr.data import random_streams
from synthcxr.data.findings import FINDINGS
from synthcxr.networks.latent_gradient import build_latents_to_logits
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling import latent_optimisation
from synthcxr.synthesis.sampling.latent_optimisation import (
    MAX_ANGLE,
    MIN_SEPARATION,
    LatentOptimiser,
    find_directions,
    pairwise_angles,
    project_to_sphere,
)
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler

pytestmark = pytest.mark.slow

BATCH_SIZE = 32
MASS = LabelCondition.from_names(["Mass"])
MASS_WITHOUT_EDEMA = LabelCondition.from_names(["Mass"], ["Edema"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with which one image in a hundred shows each finding."""
    return write_exported_models(tmp_path_factory.mktemp("models") / "onnx", rate=0.01)


def open_optimiser(models: Path, condition: LabelCondition = MASS) -> LatentOptimiser:
    sampler = RejectionSampler.open(models, batch_size=BATCH_SIZE, device="cpu")
    logits = build_latents_to_logits(models / "generator.onnx", models / "classifier.onnx", 2)
    return LatentOptimiser(sampler, logits, condition)


@pytest.fixture(scope="module")
def block(models: Path) -> ImageBatch:
    return open_optimiser(models).draw_block(1, 0)


def test_most_candidates_reach_a_rare_finding(models: Path, block: ImageBatch) -> None:
    """If one candidate in a hundred shows a finding, at least half of a block do after optimisation."""
    sampler = RejectionSampler.open(models, batch_size=BATCH_SIZE, device="cpu")
    assert sampler.accept(sampler.draw_block(1, 0).probabilities, MASS).sum() <= 2
    assert len(block.indices) >= BATCH_SIZE // 2
    assert sampler.accept(block.probabilities, MASS).all()
    assert block.latents is not None
    pixels, probabilities = sampler.generate(block.latents)
    assert np.abs(pixels.astype(int) - block.pixels).max() <= 1
    np.testing.assert_allclose(probabilities, block.probabilities, atol=1e-2)


def test_latents_stay_typical_and_distinct(block: ImageBatch) -> None:
    """Each latent lies on the sphere, near its start and far from the others, and stops after its own steps."""
    assert block.latents is not None and block.steps is not None
    np.testing.assert_allclose(np.linalg.norm(block.latents, axis=1), np.sqrt(LATENT), rtol=1e-5)
    starts = random_streams.draw_latents(1, 0, BATCH_SIZE, LATENT)[block.indices]
    assert np.diag(pairwise_angles(block.latents, starts)).max() <= MAX_ANGLE + 1e-3
    separations = pairwise_angles(block.latents, block.latents)[np.triu_indices(len(block.indices), 1)]
    assert separations.min() >= MIN_SEPARATION
    assert len(set(block.steps.tolist())) > 3


def test_a_start_that_meets_the_condition_does_not_move(models: Path) -> None:
    """A latent whose logit is beyond the threshold by the margin takes no step and keeps its direction."""
    block = open_optimiser(models, LabelCondition.from_names([], ["Mass"])).draw_block(1, 0)
    assert block.steps is not None and block.latents is not None
    unmoved = block.steps == 0
    assert unmoved.sum() > BATCH_SIZE // 2
    starts = project_to_sphere(random_streams.draw_latents(1, 0, BATCH_SIZE, LATENT))[block.indices]
    assert np.array_equal(block.latents[unmoved], starts[unmoved])


def test_a_block_is_reproducible(models: Path, block: ImageBatch) -> None:
    """Another optimiser gives the same bytes, and a single candidate gets the image that it has in its block."""
    optimiser = open_optimiser(models)
    repeated = optimiser.draw_block(1, 0)
    for name in ("indices", "pixels", "probabilities", "latents", "steps"):
        assert np.array_equal(getattr(repeated, name), getattr(block, name)), name
    index = int(block.indices[-1])
    (single,) = optimiser.draw(seed=1, start=index, stop=index + 1)
    assert single.indices.tolist() == [index] and np.array_equal(single.pixels[0], block.pixels[-1])
    assert single.stop == index + 1


def test_a_condition_may_exclude_findings(models: Path) -> None:
    """Some candidates reach one required finding without another; this classifier does not allow more."""
    optimiser = open_optimiser(models, MASS_WITHOUT_EDEMA)
    block = optimiser.draw_block(1, 0)
    assert len(block.indices) >= 3
    assert optimiser.sampler.accept(block.probabilities, MASS_WITHOUT_EDEMA).all()


def test_directions_point_from_a_threshold_to_its_margin() -> None:
    """A required logit goes up until it is beyond the threshold by the margin, an excluded one down; no other moves."""
    thresholds, margin, logits = np.zeros(14), np.full(14, 0.5), np.zeros((3, 14), np.float32)
    mass, edema = FINDINGS.index("Mass"), FINDINGS.index("Edema")
    logits[1, mass], logits[2, mass] = 0.5, 0.49
    logits[:, edema] = -0.5
    directions = find_directions(logits, thresholds, margin, MASS_WITHOUT_EDEMA)
    assert directions[:, mass].tolist() == [1, 0, 1]
    assert not directions[:, [index for index in range(14) if index != mass]].any()
    logits[:, edema] = 0
    assert (find_directions(logits, thresholds, margin, MASS_WITHOUT_EDEMA)[:, edema] == -1).all()


def test_a_larger_separation_drops_more_latents(
    monkeypatch: pytest.MonkeyPatch, models: Path, block: ImageBatch
) -> None:
    """With a larger required separation, fewer latents remain, the first one always, and none nearer than that."""
    monkeypatch.setattr(latent_optimisation, "MIN_SEPARATION", 1.2)
    separated = open_optimiser(models).draw_block(1, 0)
    assert 1 <= len(separated.indices) < len(block.indices)
    assert separated.indices[0] == block.indices[0]
    assert separated.latents is not None
    angles = pairwise_angles(separated.latents, separated.latents)
    assert angles[np.triu_indices(len(separated.indices), 1)].min() >= 1.2
