"""Guided rejection: the same images as plain rejection would accept, some of them left out, with weights that tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exported import write_folder

from synthcxr import config as configs
from synthcxr import contract as contracts
from synthcxr import labelling, records, seeds
from synthcxr.config import DistillConfig
from synthcxr.errors import ArtifactError
from synthcxr.stages import distill
from synthcxr.synthesis import guided, work
from synthcxr.synthesis.chooser import Chooser
from synthcxr.synthesis.guided import Guided
from synthcxr.synthesis.proposal import FILE, Guide, Proposal
from synthcxr.synthesis.sampler import Drawn, Sampler
from synthcxr.synthesis.wanted import Wanted

ROOT = Path(__file__).parents[2]
PLAIN: DistillConfig = configs.load(ROOT / "params.yaml").distill
CONFIG = DistillConfig(**vars(PLAIN) | {"n_pairs": 4000, "n_held": 4000, "width": 128, "n_epochs": 20, "device": "cpu"})
WANTED = Wanted.of(["Mass"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every finding shows in one image of fifty; with a proposal."""
    folder = write_folder(tmp_path_factory.mktemp("models") / "onnx", rate=0.02)
    distill.run(CONFIG, models=folder)
    return folder


@pytest.fixture(scope="module")
def sampler(models: Path) -> Sampler:
    return Sampler.open(models, batch=16, device="cpu")


@pytest.fixture(scope="module")
def guide(models: Path, sampler: Sampler) -> Guide:
    return Guide.of(Proposal.open(models / FILE, sampler, device="cpu"), WANTED, sampler)


def joined(parts: list[Drawn]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return tuple(np.concatenate([getattr(part, name) for part in parts]) for name in ("indices", "pixels", "weights"))  # type: ignore[return-value]


def rejected(sampler: Sampler, n: int) -> np.ndarray:
    """The candidates that plain rejection accepts among the first n."""
    return np.concatenate([part.indices for part in sampler.draw(seed=3, wanted=WANTED, start=0, stop=n)])


def test_a_rare_finding_costs_few_runs(sampler: Sampler, guide: Guide) -> None:
    """What is found is what plain rejection accepts, and no image else, in a tenth of the runs or fewer.

    The networks are random, of which little can be guessed, so that much is left out: as much as the guide expects.
    """
    n = 16_384
    parts = list(Guided(sampler, guide).draw(seed=3, start=0, stop=n))
    indices, pixels, weights = joined(parts)
    exact = rejected(sampler, n)
    assert set(indices.tolist()) <= set(exact.tolist()) and len(indices) > 10
    assert 0.5 < len(indices) / len(exact) / guide.recall < 2
    assert (np.diff(indices) > 0).all() and parts[-1].stop == n
    assert sum(part.runs for part in parts) / len(indices) < (n / len(exact)) / 10
    np.testing.assert_allclose(weights, 1 / guide.chances(np.concatenate([own(sampler, i) for i in indices])))
    own_pixels, _ = sampler.seen(np.concatenate([own(sampler, i) for i in indices[:16]]))
    assert np.abs(own_pixels.astype(int) - pixels[:16]).max() <= 1


def test_a_range_is_a_whole_stretch(models: Path, sampler: Sampler, guide: Guide) -> None:
    """Each stretch is scored once: a range of a part of one would score all of it and pad its own batch."""
    draw = Chooser.open(models, method="guided", batch=16, device="cpu").draw(WANTED)
    size = Guided(sampler, guide).stretch
    ranges = list(work.tasks(draw, WANTED, batch=16, seed=3, span=range(5, 2 * size + 7)))
    assert [(task.start, task.stop) for task in ranges] == [(5, size), (size, 2 * size), (2 * size, 2 * size + 7)]


def own(sampler: Sampler, index: int) -> np.ndarray:
    return seeds.latents(3, int(index), 1, sampler.generator.contract.latent)


def test_the_weighted_set_is_unbiased(sampler: Sampler, guide: Guide) -> None:
    """Over all that may be tried, chance times weight is one: the expected weight of each acceptable latent.

    With 400 draws of the uniforms, the weighted number of accepted images is that of plain rejection to within four
    standard errors, while the unweighted one is lower.
    """
    n = 8192
    latents = seeds.latents(3, 0, n, sampler.generator.contract.latent)
    exact = rejected(sampler, n)
    chances = guide.chances(latents)[exact]
    assert chances.min() >= guide.floor > 0
    tried = np.random.default_rng(0).random((400, len(exact))) < chances
    totals = (tried / chances).sum(axis=1)
    assert abs(totals.mean() - len(exact)) < 4 * totals.std() / np.sqrt(len(totals))
    assert tried.sum(axis=1).mean() < len(exact)


@pytest.mark.parametrize("cut", [700, 1024, 3333])
def test_stopping_and_going_on_changes_nothing(sampler: Sampler, guide: Guide, cut: int) -> None:
    """Drawing in two goes gives the bytes of one, wherever the first one ended; one candidate alone has its bytes."""
    drawing = Guided(sampler, guide)
    whole = joined(list(drawing.draw(seed=3, start=0, stop=6000)))
    parts = [*drawing.draw(seed=3, start=0, stop=cut), *drawing.draw(seed=3, start=cut, stop=6000)]
    for ours, theirs in zip(joined(parts), whole, strict=True):
        assert np.array_equal(ours, theirs)
    index = int(whole[0][-1])
    (again,) = (part for part in drawing.draw(seed=3, start=index, stop=index + 1) if len(part.indices))
    assert np.array_equal(again.pixels[0], whole[1][-1])


@pytest.mark.slow
def test_where_batches_end(sampler: Sampler, guide: Guide, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a part of the draw looked at, it says: going on from any of its stops leaves nothing out."""
    monkeypatch.setattr(guided, "_BATCHES", 64)
    drawing = Guided(sampler, guide)
    whole = joined(list(drawing.draw(seed=3, start=0, stop=9000)))[0]
    done: list[int] = []
    for part in drawing.draw(seed=3, start=0, stop=9000):
        done += part.indices.tolist()
        rest = [i for later in drawing.draw(seed=3, start=part.stop, stop=9000) for i in later.indices.tolist()]
        assert done + rest == whole.tolist()
        if len(done) > 40:
            break


def test_what_was_measured_is_stored(models: Path, sampler: Sampler) -> None:
    """proposal.json holds rate, cost and recall of each finding, each share within its interval."""
    held = records.read_json(models / "proposal.json")
    assert held["digest"] == contracts.read(models / FILE, kind="proposal").digest and held["n_held"] == 4000
    for of in held["findings"].values():
        low, high = of["recall_interval"]
        assert low - 1e-9 <= of["recall"] <= high + 1e-9 and of["rate"] <= of["rate_interval"][1]
    mass = held["findings"]["Mass"]
    assert 0.01 < mass["rate"] < 0.03 and mass["runs_an_image"] < 5 and mass["recall"] > 0.02
    assert all(line for line in distill.lines(held))


@pytest.mark.slow
def test_a_proposal_of_other_models_is_refused(models: Path, tmp_path: Path) -> None:
    """A proposal answers for the generator and the classifier that it was distilled from, and no others."""
    other = Sampler.open(write_folder(tmp_path / "other", rate=0.3), batch=16, device="cpu")
    held = contracts.read(models / FILE)
    contracts.amend(models / FILE, held)  # the same promises: nothing changes
    Proposal.open(models / FILE, other, device="cpu")
    network = held.network | {"classifier": "0" * 64}
    path = tmp_path / FILE
    path.write_bytes((models / FILE).read_bytes())
    contracts.amend(path, contracts.Contract(**(vars(held) | {"network": network})))
    with pytest.raises(ArtifactError, match="was distilled from another classifier; run `synthcxr distill` again"):
        Proposal.open(path, other, device="cpu")


def test_several_findings_are_guided_too(models: Path, sampler: Sampler) -> None:
    """A guide for two findings at once, and one for a finding without another, try fewer the more is asked."""
    proposal = Proposal.open(models / FILE, sampler, device="cpu")
    one = Guide.of(proposal, WANTED, sampler)
    both = Guide.of(proposal, Wanted.of(["Mass", "Edema"]), sampler)
    assert both.share < one.share and both.floor < one.floor
    least = labelling.logits(labelling.least(sampler.classifier.contract.thresholds))
    z = seeds.latents(1, 0, 64, sampler.generator.contract.latent)
    without = proposal.likely(z, Wanted.of(["Mass"], ["Edema"]), least)
    assert (without <= proposal.likely(z, WANTED, least) + 1e-12).all()
