"""Guided rejection: the same images as plain rejection would accept, some of them left out, with weights that tell."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.exported_models import write_folder
from support.paths import REPOSITORY

from synthcxr.config import schema as configs
from synthcxr.config.schema import DistillConfig
from synthcxr.data import random_streams
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files import predictions
from synthcxr.stages import distill
from synthcxr.storage import json_files
from synthcxr.synthesis.request.label_condition import Wanted
from synthcxr.synthesis.sampling.annealed_importance_sampling import Route
from synthcxr.synthesis.sampling.guided import Guided
from synthcxr.synthesis.sampling.importance_guide import EXPLORED, FILE, Guide, Proposal
from synthcxr.synthesis.sampling.rejection import Drawn, Sampler

PLAIN: DistillConfig = configs.load(REPOSITORY / "params.yaml").distill
CONFIG = DistillConfig(
    **vars(PLAIN)
    | {"n_pairs": 4000, "n_held": 4000, "n_led": 0, "n_measured": 64, "width": 64, "n_epochs": 10, "device": "cpu"}
)
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
    """Every image shows it by the classifier, is that of its latent, and costs a tenth of rejection's runs or less."""
    n = 1024
    parts = list(Guided(sampler, guide).draw(seed=3, start=0, stop=n))
    indices, pixels, _ = joined(parts)
    assert len(indices) > 100 and (np.diff(indices) > 0).all() and parts[-1].stop == n
    assert sum(part.runs for part in parts) == n
    assert n / len(indices) < (8192 / len(rejected(sampler, 8192))) / 10
    latents = np.concatenate([part.latents for part in parts if part.latents is not None])
    again, probabilities = sampler.seen(latents[:16])
    assert np.abs(again.astype(int) - pixels[:16]).max() <= 1
    assert sampler.accepts(probabilities, WANTED).all()


def test_the_weighted_set_is_unbiased(sampler: Sampler, guide: Guide) -> None:
    """Weighted sums over the accepted are those of rejection: how many show it, and how much else shows with it.

    To within four standard errors. On a part of the route: at its end nearly all of the set lies where the guess is
    surest, and the few others, of large weight, would let no test see a mistake.
    """
    n, plain = 4096, 8192
    k = sum(power <= 1.5 for power in guide.route.powers)
    part_way = dataclasses.replace(guide, route=Route(guide.route.powers[:k], guide.route.reaches[:k]))
    drawn = random_streams.latents(7, 0, plain, sampler.generator.contract.latent)
    mean = np.exp(part_way.route.end * guide.score(drawn)).mean()
    part_way = dataclasses.replace(part_way, log_mean=float(np.log(mean)))
    parts = list(Guided(sampler, part_way).draw(seed=5, start=0, stop=n))
    weights = np.concatenate([part.weights for part in parts])
    shown = np.concatenate([sampler.present(part.probabilities) for part in parts])
    blocks = [sampler.block(6, at) for at in range(0, plain, sampler.batch)]
    exact = np.concatenate([sampler.present(block.probabilities) for block in blocks])
    exact = exact[WANTED.met(exact)]
    assert len(shown) / n > 3 * len(exact) / plain
    for ours, theirs in ((np.ones(len(shown)), np.ones(len(exact))), (shown.sum(axis=1), exact.sum(axis=1))):
        value, rate = (weights * ours).sum() / n, theirs.sum() / plain
        error = np.hypot(np.sqrt(((weights * ours) ** 2).sum()) / n, np.sqrt((theirs**2.0).sum()) / plain)
        assert abs(value - rate) < 4 * error and error < 0.3 * rate


def test_every_latent_keeps_a_chance(sampler: Sampler, guide: Guide) -> None:
    """No latent is tried less often than EXPLORED times as often as by rejection, and the favour is one on average."""
    z = random_streams.latents(1, 0, 8192, sampler.generator.contract.latent)
    favour = guide.favour(guide.score(z))
    assert favour.min() >= EXPLORED and favour.max() <= guide.most
    assert favour.mean() == pytest.approx(1, abs=5 * favour.std() / np.sqrt(len(z)) + 0.3)


@pytest.mark.parametrize("cut", [70, *(pytest.param(cut, marks=pytest.mark.slow) for cut in (128, 333))])
def test_stopping_and_going_on_changes_nothing(sampler: Sampler, guide: Guide, cut: int) -> None:
    """Drawing in two goes gives the bytes of one, wherever the first one ended; one candidate alone has its bytes."""
    drawing = Guided(sampler, guide)
    whole = joined(list(drawing.draw(seed=3, start=0, stop=500)))
    parts = [*drawing.draw(seed=3, start=0, stop=cut), *drawing.draw(seed=3, start=cut, stop=500)]
    for ours, theirs in zip(joined(parts), whole, strict=True):
        assert np.array_equal(ours, theirs)
    index = int(whole[0][-1])
    (again,) = (part for part in drawing.draw(seed=3, start=index, stop=index + 1) if len(part.indices))
    assert np.array_equal(again.pixels[0], whole[1][-1])


def test_another_opening_leads_the_same_way(models: Path, sampler: Sampler, guide: Guide) -> None:
    """The route follows from the files alone, and so do latents and weights."""
    other = Sampler.open(models, batch=16, device="cpu")
    again = Guide.of(Proposal.open(models / FILE, other, device="cpu"), WANTED, other)
    assert (again.route, again.log_mean) == (guide.route, guide.log_mean)
    for ours, theirs in zip(guide.led(3, 64, 16), again.led(3, 64, 16), strict=True):
        assert np.array_equal(ours, theirs)


def test_nothing_asked_is_not_led(models: Path, sampler: Sampler) -> None:
    """A request for anything has candidates as they were drawn, with weight 1."""
    guide = Guide.of(Proposal.open(models / FILE, sampler, device="cpu"), Wanted(), sampler)
    latents, weights = guide.led(3, 0, 16)
    assert np.array_equal(latents, random_streams.latents(3, 0, 16, sampler.generator.contract.latent))
    assert (weights == 1).all() and guide.most == 1.0


@pytest.mark.slow
def test_a_proposal_learns_where_it_leads(models: Path, sampler: Sampler, guide: Guide, tmp_path: Path) -> None:
    """Learning from latents that were led to each finding, too, more of those that are led show what is wanted."""
    for path in models.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    distill.run(dataclasses.replace(CONFIG, n_led=128), models=tmp_path)
    more = Guide.of(Proposal.open(tmp_path / FILE, sampler, device="cpu"), WANTED, sampler)
    found = [
        sum(len(part.indices) for part in Guided(sampler, each).draw(seed=3, start=0, stop=1024))
        for each in (guide, more)
    ]
    assert found[1] > 1.1 * found[0]


def test_what_was_measured_is_stored(models: Path, sampler: Sampler) -> None:
    """proposal.json holds rate, cost and recall of each finding, each share within its interval."""
    held = json_files.read_json(models / "proposal.json")
    assert held["digest"] == contracts.read(models / FILE, kind="proposal").digest and held["n_held"] == 4000
    for of in held["findings"].values():
        low, high = of["recall_interval"]
        assert low - 1e-9 <= of["recall"] <= high + 1e-9 and of["rate"] <= of["rate_interval"][1]
    mass = held["findings"]["Mass"]
    assert 0.01 < mass["rate"] < 0.03 and mass["runs_an_image"] < 10 and 0 < mass["recall"] < 1
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
    """For two findings at once candidates are led further, and a finding without another is less likely than alone."""
    proposal = Proposal.open(models / FILE, sampler, device="cpu")
    one = Guide.of(proposal, WANTED, sampler)
    both = Guide.of(proposal, Wanted.of(["Mass", "Edema"]), sampler)
    assert both.route.end > 0 and both.log_mean < one.log_mean
    least = predictions.logits(predictions.least(sampler.classifier.contract.thresholds))
    z = random_streams.latents(1, 0, 64, sampler.generator.contract.latent)
    without = proposal.log_likely(z, Wanted.of(["Mass"], ["Edema"]), least)
    assert (without <= proposal.log_likely(z, WANTED, least) + 1e-12).all()
