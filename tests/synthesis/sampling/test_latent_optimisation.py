"""Latent class optimisation, on a small exported generator and classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.exported_models import LATENT, write_folder

from synthcxr.data import findings, random_streams
from synthcxr.networks.latent_gradient import logits_of_latents
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.sampling import latent_optimisation
from synthcxr.synthesis.sampling.latent_optimisation import Search, angles, on_sphere, uphill
from synthcxr.synthesis.sampling.rejection import Drawn, Sampler

pytestmark = pytest.mark.slow

BATCH = 32
RARE = Wanted.of(["Mass"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every finding shows in one image of a hundred."""
    return write_folder(tmp_path_factory.mktemp("models") / "onnx", rate=0.01)


def searching(models: Path, wanted: Wanted = RARE) -> Search:
    sampler = Sampler.open(models, batch=BATCH, device="cpu")
    return Search(sampler, logits_of_latents(models / "generator.onnx", models / "classifier.onnx", 2), wanted)


@pytest.fixture(scope="module")
def found(models: Path) -> Drawn:
    return searching(models).block(1, 0)


def test_most_candidates_are_led_to_a_rare_finding(models: Path, found: Drawn) -> None:
    """Where one candidate of a hundred shows it, most of a block do so after the search, as the sessions see them."""
    sampler = Sampler.open(models, batch=BATCH, device="cpu")
    assert len(sampler.block(1, 0).kept(sampler.accepts(sampler.block(1, 0).probabilities, RARE)).indices) <= 2
    assert len(found.indices) >= BATCH // 2
    assert sampler.accepts(found.probabilities, RARE).all()
    assert found.latents is not None
    made, probabilities = sampler.seen(found.latents)
    assert np.abs(made.astype(int) - found.pixels).max() <= 1
    np.testing.assert_allclose(probabilities, found.probabilities, atol=1e-2)


def test_latents_stay_typical_and_apart(found: Drawn) -> None:
    """Each lies on the sphere that the generator's normalisation means, within reach of its start, far from others."""
    assert found.latents is not None and found.steps is not None
    np.testing.assert_allclose(np.linalg.norm(found.latents, axis=1), np.sqrt(LATENT), rtol=1e-5)
    begun = random_streams.latents(1, 0, BATCH, LATENT)[found.indices]
    assert np.diag(angles(found.latents, begun)).max() <= latent_optimisation.REACH + 1e-3
    between = angles(found.latents, found.latents)[np.triu_indices(len(found.indices), 1)]
    assert between.min() >= latent_optimisation.APART
    assert len(set(found.steps.tolist())) > 3, "each latent stops for itself"


def test_a_start_that_shows_it_already_stays(models: Path) -> None:
    """A latent whose logit is beyond the threshold by the margin takes no step and keeps its direction."""
    drawn = searching(models, Wanted.of([], ["Mass"])).block(1, 0)
    assert drawn.steps is not None and drawn.latents is not None
    still = drawn.steps == 0
    assert still.sum() > BATCH // 2
    begun = on_sphere(random_streams.latents(1, 0, BATCH, LATENT))[drawn.indices]
    assert np.array_equal(drawn.latents[still], begun[still])


def test_a_block_is_the_same_again(models: Path, found: Drawn) -> None:
    """Another search gives the same bytes, and drawing one candidate gives the image that it has in its block."""
    again = searching(models)
    whole = again.block(1, 0)
    for name in ("indices", "pixels", "probabilities", "latents", "steps"):
        assert np.array_equal(getattr(whole, name), getattr(found, name)), name
    index = int(found.indices[-1])
    (one,) = again.draw(seed=1, start=index, stop=index + 1)
    assert one.indices.tolist() == [index] and np.array_equal(one.pixels[0], found.pixels[-1])
    assert one.stop == index + 1


def test_several_and_without(models: Path) -> None:
    """Two findings at once and one kept away are reached too, as far as this classifier allows it."""
    wanted = Wanted.of(["Mass"], ["Edema"])
    drawn = searching(models, wanted).block(1, 0)
    assert len(drawn.indices) >= 3
    assert searching(models).sampler.accepts(drawn.probabilities, wanted).all()


def test_uphill() -> None:
    """A wanted logit goes up until it is beyond its threshold by the margin, an unwanted one down; no other moves."""
    least, margin, logits = np.zeros(14), np.full(14, 0.5), np.zeros((3, 14), np.float32)
    at = findings.FINDINGS.index
    logits[1, at("Mass")], logits[2, at("Mass")] = 0.5, 0.49
    logits[:, at("Edema")] = -0.5
    rising = uphill(logits, least, margin, Wanted.of(["Mass"], ["Edema"]))
    assert rising[:, at("Mass")].tolist() == [1, 0, 1]
    assert not rising[:, [i for i in range(14) if i != at("Mass")]].any()
    logits[:, at("Edema")] = 0
    assert (uphill(logits, least, margin, Wanted.of(["Mass"], ["Edema"]))[:, at("Edema")] == -1).all()


def test_what_ends_too_near_to_another_is_left_out(monkeypatch: pytest.MonkeyPatch, models: Path, found: Drawn) -> None:
    """With a larger distance demanded fewer remain, the first of them always, and none nearer than that."""
    monkeypatch.setattr(latent_optimisation, "APART", 1.2)
    fewer = searching(models).block(1, 0)
    assert 1 <= len(fewer.indices) < len(found.indices)
    assert fewer.indices[0] == found.indices[0]
    assert fewer.latents is not None
    assert angles(fewer.latents, fewer.latents)[np.triu_indices(len(fewer.indices), 1)].min() >= 1.2
