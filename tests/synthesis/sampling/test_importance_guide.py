"""Guided rejection sampling: fewer generator runs than plain rejection, and importance weights that remove the bias."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.exported_models import write_exported_models
from support.paths import REPOSITORY

from synthcxr.config.schema import DistillConfig, load_config
from synthcxr.data import random_streams
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import onnx_metadata, predictions
from synthcxr.model_files.model_folder import PROPOSAL_FILE, PROPOSAL_REPORT_FILE
from synthcxr.stages import distill
from synthcxr.storage import json_files
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.annealed_importance_sampling import AnnealingSchedule
from synthcxr.synthesis.sampling.importance_guide import (
    MIN_EFFECTIVE_SHARE,
    UNGUIDED_SHARE,
    Guide,
    GuidedSampler,
    Proposal,
)
from synthcxr.synthesis.sampling.rejection import ImageBatch, RejectionSampler
from synthcxr.synthesis.sampling.strategy import SamplingStrategy

pytestmark = pytest.mark.slow

CONFIG: DistillConfig = dataclasses.replace(
    load_config(REPOSITORY / "params.yaml").distill,
    n_pairs=4000,
    n_held=4000,
    n_led=0,
    n_measured=64,
    width=64,
    n_epochs=10,
    device="cpu",
)
MASS = LabelCondition.from_names(["Mass"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with a proposal, with which one image in fifty shows each finding."""
    folder = write_exported_models(tmp_path_factory.mktemp("models") / "onnx", rate=0.02)
    distill.run(CONFIG, models=folder)
    return folder


@pytest.fixture(scope="module")
def sampler(models: Path) -> RejectionSampler:
    return RejectionSampler.open(models, batch_size=16, device="cpu")


@pytest.fixture(scope="module")
def guide(models: Path, sampler: RejectionSampler) -> Guide:
    return Guide.fit(Proposal.open(models / PROPOSAL_FILE, sampler, device="cpu"), MASS, sampler)


@pytest.fixture(scope="module")
def unlimited(guide: Guide, sampler: RejectionSampler) -> Guide:
    """A guide that moves latents on to its target, whatever the effective sample size."""
    return Guide.fit(dataclasses.replace(guide.proposal, min_effective_share=0.0, guides={}), MASS, sampler)


def concatenate(batches: list[ImageBatch]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The indices, pixels and weights of all batches."""
    names = ("indices", "pixels", "weights")
    return tuple(np.concatenate([getattr(batch, name) for batch in batches]) for name in names)  # type: ignore[return-value]


def count_accepted(batches: list[ImageBatch]) -> int:
    return sum(len(batch.indices) for batch in batches)


def test_a_rare_finding_needs_few_generator_runs(sampler: RejectionSampler, unlimited: Guide) -> None:
    """Every image shows the finding and matches its latent; without a limit, a tenth of rejection's runs suffices."""
    n = 1024
    batches = list(GuidedSampler(sampler, unlimited).draw(seed=3, start=0, stop=n))
    indices, pixels, _ = concatenate(batches)
    assert len(indices) > 100 and (np.diff(indices) > 0).all() and batches[-1].stop == n
    assert sum(batch.generator_runs for batch in batches) == n
    rejection_runs_per_image = 8192 / count_accepted(list(sampler.draw(MASS, seed=3, start=0, stop=8192)))
    assert n / len(indices) < rejection_runs_per_image / 10
    latents = np.concatenate([batch.latents for batch in batches if batch.latents is not None])
    regenerated, probabilities = sampler.generate(latents[:16])
    assert np.abs(regenerated.astype(int) - pixels[:16]).max() <= 1
    assert sampler.accept(probabilities, MASS).all()


def shorten(guide: Guide, sampler: RejectionSampler, max_power: float) -> Guide:
    """A guide whose schedule stops at `max_power`, with the mean weight that belongs to it."""
    n_powers = sum(power <= max_power for power in guide.schedule.powers)
    schedule = AnnealingSchedule(guide.schedule.powers[:n_powers], guide.schedule.step_sizes[:n_powers])
    latents = random_streams.draw_latents(7, 0, 8192, sampler.generator.metadata.latent)
    mean_weight = np.exp(schedule.final_power * guide.score(latents)).mean()
    return dataclasses.replace(guide, schedule=schedule, log_mean_weight=float(np.log(mean_weight)))


def test_the_weighted_images_are_unbiased(sampler: RejectionSampler, unlimited: Guide) -> None:
    """Weighted rates agree with plain rejection: of accepted images, and of all findings in them.

    Within four standard errors. The schedule stops early: at its end nearly all images lie where the prediction is most
    certain, and the few others have weights so large that no test could detect an error.
    """
    n_guided, n_unguided = 4096, 8192
    batches = list(GuidedSampler(sampler, shorten(unlimited, sampler, 1.5)).draw(seed=5, start=0, stop=n_guided))
    weights = np.concatenate([batch.weights for batch in batches])
    guided = np.concatenate([sampler.detect(batch.probabilities) for batch in batches])
    blocks = [sampler.draw_block(6, start) for start in range(0, n_unguided, sampler.batch_size)]
    unguided = np.concatenate([sampler.detect(block.probabilities) for block in blocks])
    unguided = unguided[MASS.matches(unguided)]
    assert len(guided) / n_guided > 3 * len(unguided) / n_unguided
    statistics = [(np.ones(len(guided)), np.ones(len(unguided))), (guided.sum(axis=1), unguided.sum(axis=1))]
    for guided_values, unguided_values in statistics:
        guided_rate, unguided_rate = (weights * guided_values).sum() / n_guided, unguided_values.sum() / n_unguided
        guided_error = np.sqrt(((weights * guided_values) ** 2).sum()) / n_guided
        error = np.hypot(guided_error, np.sqrt((unguided_values**2.0).sum()) / n_unguided)
        assert abs(guided_rate - unguided_rate) < 4 * error and error < 0.3 * unguided_rate


def test_every_latent_keeps_a_minimum_density(sampler: RejectionSampler, guide: Guide) -> None:
    """The density ratio is at least UNGUIDED_SHARE, at most the maximum, and one on average."""
    latents = random_streams.draw_latents(1, 0, 8192, sampler.generator.metadata.latent)
    ratios = guide.density_ratio(guide.score(latents))
    assert ratios.min() >= UNGUIDED_SHARE and ratios.max() <= guide.max_density_ratio
    assert ratios.mean() == pytest.approx(1, abs=5 * ratios.std() / np.sqrt(len(latents)) + 0.3)


@pytest.mark.parametrize("cut", [70, *(pytest.param(cut, marks=pytest.mark.slow) for cut in (128, 333))])
def test_an_interrupted_run_gives_the_same_bytes(sampler: RejectionSampler, guide: Guide, cut: int) -> None:
    """Drawing in two parts gives the bytes of one run, at any split; so does drawing a single candidate."""
    guided = GuidedSampler(sampler, guide)
    uninterrupted = concatenate(list(guided.draw(seed=3, start=0, stop=500)))
    parts = [*guided.draw(seed=3, start=0, stop=cut), *guided.draw(seed=3, start=cut, stop=500)]
    for resumed, expected in zip(concatenate(parts), uninterrupted, strict=True):
        assert np.array_equal(resumed, expected)
    index = int(uninterrupted[0][-1])
    (single,) = (batch for batch in guided.draw(seed=3, start=index, stop=index + 1) if len(batch.indices))
    assert np.array_equal(single.pixels[0], uninterrupted[1][-1])


def test_a_guide_depends_on_the_files_alone(models: Path, sampler: RejectionSampler, guide: Guide) -> None:
    """Opening the same files again gives the same schedule, latents and weights."""
    other_sampler = RejectionSampler.open(models, batch_size=16, device="cpu")
    proposal = Proposal.open(models / PROPOSAL_FILE, other_sampler, device="cpu")
    other = Guide.fit(proposal, MASS, other_sampler)
    assert (other.schedule, other.log_mean_weight) == (guide.schedule, guide.log_mean_weight)
    for proposed, expected in zip(other.propose(3, 64, 16), guide.propose(3, 64, 16), strict=True):
        assert np.array_equal(proposed, expected)


def test_an_unconditional_request_is_not_guided(models: Path, sampler: RejectionSampler) -> None:
    """Without a condition, candidates keep their own latents, with weight 1."""
    proposal = Proposal.open(models / PROPOSAL_FILE, sampler, device="cpu")
    guide = Guide.fit(proposal, LabelCondition(), sampler)
    latents, weights = guide.propose(3, 0, 16)
    assert np.array_equal(latents, random_streams.draw_latents(3, 0, 16, sampler.generator.metadata.latent))
    assert (weights == 1).all() and guide.max_density_ratio == 1.0


def test_training_on_guided_latents_improves_the_proposal(
    models: Path, sampler: RejectionSampler, guide: Guide, tmp_path: Path
) -> None:
    """A proposal that also learned from guided latents gives at least a tenth more accepted images."""
    for path in models.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    distill.run(dataclasses.replace(CONFIG, n_led=128), models=tmp_path)
    improved = Guide.fit(Proposal.open(tmp_path / PROPOSAL_FILE, sampler, device="cpu"), MASS, sampler)
    before, after = (
        count_accepted(list(GuidedSampler(sampler, proposed).draw(seed=3, start=0, stop=1024)))
        for proposed in (guide, improved)
    )
    assert after > 1.1 * before


def test_the_report_holds_the_measurements_of_each_finding(models: Path) -> None:
    """proposal.json holds rate, cost and recall of each finding, each share within its interval."""
    report = json_files.read_json(models / PROPOSAL_REPORT_FILE)
    assert report["digest"] == onnx_metadata.read(models / PROPOSAL_FILE, kind="proposal").digest
    assert report["n_held"] == 4000
    for measured in report["findings"].values():
        low, high = measured["recall_interval"]
        assert low - 1e-9 <= measured["recall"] <= high + 1e-9 and measured["rate"] <= measured["rate_interval"][1]
    mass = report["findings"]["Mass"]
    assert 0.01 < mass["rate"] < 0.03 and mass["runs_an_image"] < 40 and 0 < mass["recall"] < 1
    assert all(line for line in distill.format_lines(report))


def test_a_proposal_of_other_models_is_an_error(models: Path, tmp_path: Path) -> None:
    """A proposal works only with the generator and the classifier from which it was distilled."""
    other_sampler = RejectionSampler.open(
        write_exported_models(tmp_path / "other", rate=0.3), batch_size=16, device="cpu"
    )
    metadata = onnx_metadata.read(models / PROPOSAL_FILE)
    onnx_metadata.amend(models / PROPOSAL_FILE, metadata)  # unchanged metadata keeps the proposal valid
    Proposal.open(models / PROPOSAL_FILE, other_sampler, device="cpu")
    path = tmp_path / PROPOSAL_FILE
    path.write_bytes((models / PROPOSAL_FILE).read_bytes())
    network = metadata.network | {"classifier": "0" * 64}
    onnx_metadata.amend(path, dataclasses.replace(metadata, network=network))
    with pytest.raises(ArtifactError, match="was distilled from another classifier; run `synthcxr distill` again"):
        Proposal.open(path, other_sampler, device="cpu")


def test_more_conditions_make_a_request_less_likely(models: Path, sampler: RejectionSampler) -> None:
    """A second required finding lowers the mean weight, and an excluded one lowers every predicted probability."""
    proposal = Proposal.open(models / PROPOSAL_FILE, sampler, device="cpu")
    one = Guide.fit(proposal, MASS, sampler)
    both = Guide.fit(proposal, LabelCondition.from_names(["Mass", "Edema"]), sampler)
    assert both.schedule.final_power > 0 and both.log_mean_weight < one.log_mean_weight
    thresholds = predictions.to_logits(predictions.stack_thresholds(sampler.classifier.metadata.thresholds))
    latents = random_streams.draw_latents(1, 0, 64, sampler.generator.metadata.latent)
    without_edema = proposal.log_probability(latents, LabelCondition.from_names(["Mass"], ["Edema"]), thresholds)
    assert (without_edema <= proposal.log_probability(latents, MASS, thresholds) + 1e-12).all()


def test_the_acceptance_rate_is_predicted(models: Path, sampler: RejectionSampler, guide: Guide) -> None:
    """Within a factor of 2 of the measured one, for a guided finding; near 0 for a set that no image shows."""
    batches = list(GuidedSampler(sampler, guide).draw(seed=3, start=0, stop=1024))
    assert 0.5 < guide.acceptance_rate / (count_accepted(batches) / 1024) < 2
    strategy = SamplingStrategy.open(models, method="guided", batch_size=16, device="cpu")
    assert strategy.predict_rate(MASS) == guide.acceptance_rate > 1.5 * guide.base_rate
    assert strategy.predict_rate(LabelCondition.from_exact_set(FINDINGS)) < 1e-4
    assert dataclasses.replace(strategy, proposal=None).predict_rate(MASS) == 0


def test_the_weights_keep_the_minimum_of_the_effective_share(
    sampler: RejectionSampler, guide: Guide, unlimited: Guide
) -> None:
    """The share measured on images is near the predicted one, and far below it without a limit."""
    shares = []
    for guide_of_weights in (guide, unlimited):
        batches = list(GuidedSampler(sampler, guide_of_weights).draw(seed=3, start=0, stop=1024))
        weights = np.concatenate([batch.weights for batch in batches])
        shares.append(weights.sum() ** 2 / (weights**2).sum() / len(weights))
    assert guide.effective_share >= MIN_EFFECTIVE_SHARE
    assert shares[0] > 0.8 * MIN_EFFECTIVE_SHARE > shares[1]
    assert len(guide.schedule.powers) < len(unlimited.schedule.powers)


def test_auto_rejects_where_the_guide_moves_nothing(models: Path, guide: Guide) -> None:
    """One line says so and gives the cost; method guided stays, and draws the candidates of rejection sampling."""
    strategy = SamplingStrategy.open(models, method="auto", batch_size=16, device="cpu", min_effective_share=0.99)
    settled, lines = strategy.settle_method("auto", [MASS])
    assert settled.method == "reject" and settled.proposal is None
    (line,) = lines
    assert line.startswith("Mass: no guide keeps an effective sample size of 99% of the images")
    assert f"method reject, predicted to take about {1 / guide.base_rate:,.0f} per image" in line
    assert strategy.settle_method("guided", [MASS]) == (strategy, lines)
    (guided_block,) = strategy.draw(MASS, seed=3, start=0, stop=16)
    (block,) = settled.draw(MASS, seed=3, start=0, stop=16)
    assert np.array_equal(guided_block.pixels, block.pixels) and (guided_block.weights == 1).all()
    limited = SamplingStrategy.open(models, method="auto", batch_size=16, device="cpu")
    assert limited.settle_method("auto", [MASS]) == (limited, ())
    assert limited.settle_method("auto", [LabelCondition(), MASS]) == (limited, ())
