"""Evaluate a synthetic dataset: compare it with real test films, check its files, and apply the gates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from synthcxr.checks import synthetic as suite
from synthcxr.checks.check_result import CheckResult
from synthcxr.config.schema import Device, EvaluateConfig, Gate
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.films import SPLITS, TEST_SPLITS
from synthcxr.data.leakage import REFERENCE_FILE, require_unseen
from synthcxr.data.metrics_schema import (
    METRICS_FILE,
    SUMMARY_FILE,
    VERDICT_FILE,
    Checks,
    Evidence,
    MetricsJson,
    not_applicable,
    round_metrics,
)
from synthcxr.data.synthetic_dataset import read_run
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation import config_check, gates, headline_metrics
from synthcxr.evaluation.baseline import MAX_IMAGES, SEED_OFFSET, Baseline
from synthcxr.evaluation.comparison import Comparison, ComparisonFeatures, JudgeLabels
from synthcxr.evaluation.features import cache, extractors
from synthcxr.evaluation.features.engine import Engine, WorkerSpec, open_on_first_use
from synthcxr.evaluation.features.extractor_spec import ExtractorSpec
from synthcxr.evaluation.features.extractors import JUDGE, Extractor
from synthcxr.evaluation.gates import Verdict
from synthcxr.evaluation.image_sets import BATCH_SIZE, RealSet, SyntheticSet
from synthcxr.evaluation.sections import (
    classifier_auroc,
    cofindings,
    distances,
    distances_by_finding,
    judge_agreement,
    label_validity,
    labels,
    memorisation,
    names,
    other_metrics,
    protocol,
    reference_only,
    reference_prevalence,
    variety,
)
from synthcxr.model_files.model_folder import CLASSIFIER_FILE, JUDGE_FILE
from synthcxr.storage import atomic, json_files, output_lock
from synthcxr.storage.progress import StepReport, track
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.synthesis.runtime.session_spec import SessionSpec
from synthcxr.synthesis.sampling.rejection import RejectionSampler
from synthcxr.synthesis.sampling.strategy import SamplingStrategy

_LABEL_DIVERGENCE = "labels.classifier.kl"
_OTHER_CLASSIFIER = not_applicable("the classifier that labelled the images is not among the models")


@dataclasses.dataclass(frozen=True)
class _Inputs:
    """What is evaluated, how, and where the results go; `classifier` is None unless it labelled the images.

    `baseline` is the dataset given as the baseline of requested images.
    """

    config: EvaluateConfig
    synthetic: SyntheticSet
    judge: Session
    classifier: Session | None
    baseline: Path | None
    models: Path
    out: Path
    say: Callable[[str], None]
    engine: Engine | None


@output_lock.fills_folder()
def run(
    config: EvaluateConfig,
    *,
    films: Path | None,
    models: Path,
    dataset: Path,
    out: Path,
    features_cache: Path = cache.DEFAULT_FOLDER,
    prevalence: str | None = None,
    baseline: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    engine: Engine | None = None,
) -> Verdict:
    """Write metrics.json, verdict.json, summary.json, privacy.csv and curves/ to `out`, and return the verdict.

    Without packed `films` the images are compared with reference.npz of the models. `prevalence`, "nih" or a CSV file,
    is one more label distribution to compare with. `baseline` is an unconditional dataset of the same model, for the
    label validity of requested images; without it, the generator in `models` draws one if it made the dataset. `say`
    gets a line for each step. `engine` computes features in other processes. Raises ConfigError, before any work, for a
    gate that cannot be applied; DataError or ArtifactError for films, images or models that do not match.
    """
    unavailable = config_check.check_config(config, with_films=films is not None)
    label_distribution = None if prevalence is None else reference_prevalence.load_prevalence(prevalence)
    synthetic = SyntheticSet.open(dataset, features_cache)
    if baseline is not None and not synthetic.is_conditional:
        raise ConfigError(f"--baseline: {dataset} was not requested by label and needs no baseline; leave it out")
    judge = _open_judge(models / JUDGE_FILE, synthetic, config.device)
    classifier = None if films is None else _open_classifier(models / CLASSIFIER_FILE, synthetic, config.device)
    with atomic.fill_folder(out) as partial:
        inputs = _Inputs(config, synthetic, judge, classifier, baseline, models, partial, say, engine)
        film_dataset = None if films is None else open_film_dataset(films)
        if film_dataset is None:
            evidence = _compare_with_reference(inputs)
        else:
            evidence = _compare_with_films(inputs, film_dataset, unavailable, label_distribution)
        return _write_verdict(inputs, evidence, film_dataset)


def _write_verdict(inputs: _Inputs, evidence: Evidence, films: FilmDataset | None) -> Verdict:
    config, synthetic, judge, classifier = inputs.config, inputs.synthetic, inputs.judge, inputs.classifier
    metrics: MetricsJson = {
        "models": {
            "generator": synthetic.generator_digest,
            "classifier": synthetic.classifier_digest,
            "judge": judge.digest,
        },
        "dataset": synthetic.digest,
        "n_synthetic": len(synthetic.file_names),
        **evidence,
        "names": names.name_networks(
            judge.metadata, classifier.metadata if classifier else None, films=films, extractors=config.extractors
        ),
    }
    metrics = round_metrics(metrics)
    verdict = gates.apply_gates(metrics, (*config.gates, Gate(_LABEL_DIVERGENCE, max=config.max_label_kl, min=None)))
    json_files.write_json(inputs.out / METRICS_FILE, metrics)
    json_files.write_json(inputs.out / VERDICT_FILE, verdict.as_dict())
    summary = headline_metrics.summarise(metrics, verdict.as_dict(), read_run(synthetic.path))
    json_files.write_json(inputs.out / SUMMARY_FILE, summary)
    return verdict


def _compare_with_films(
    inputs: _Inputs,
    films: FilmDataset,
    unavailable: Mapping[str, str],
    label_distribution: tuple[str, dict[str, float]] | None,
) -> Evidence:
    synthetic, judge, classifier = inputs.synthetic, inputs.judge, inputs.classifier
    trained_on_same_films = require_unseen(
        films,
        TEST_SPLITS,
        training_data={judge.metadata.training_data, synthetic.training_data},
        models=inputs.models,
        subject=synthetic.path,
    )
    comparison = Comparison.open(inputs.config, films, synthetic)
    steps = StepReport("evaluate", len({JUDGE, *inputs.config.extractors} - unavailable.keys()) + 3, inputs.say)
    judge_features = _extract_features(inputs, JUDGE, comparison, steps)
    features = {
        name: judge_features if name == JUDGE else _extract_features(inputs, name, comparison, steps)
        for name in inputs.config.extractors
        if name not in unavailable
    }
    judge_labels = JudgeLabels(judge_features, judge.metadata)

    steps.begin("labels")
    prevalence = None
    if label_distribution is not None:
        prevalence = reference_prevalence.compare_with_prevalence(judge_labels, *label_distribution)
    label_evidence = labels.compare_labels(judge_labels, prevalence=prevalence)
    label_evidence.write_tables(inputs.out)
    film_labels = label_validity.measure_test_films(judge_features)
    baseline = _open_baseline(inputs)
    label_ratios = label_validity.compare_with_films(judge_features, film_labels, baseline)

    steps.begin("nearest films")
    spaces = memorisation.measure_spaces(comparison, features)
    memorisation.write_csv(inputs.out / memorisation.CSV_FILE, comparison, spaces)

    steps.begin("distances, intervals and all other metrics")
    return {
        "n_real_test": comparison.n_test,
        "phantom": films.phantom or synthetic.phantom or judge.metadata.phantom,
        **distances.compute_distances(features, unavailable),
        "by_finding": distances_by_finding.compute_finding_distances(features, judge_labels, unavailable),
        "similarity": distances.compute_similarity(comparison),
        "privacy": memorisation.build_section(comparison, spaces, unavailable),
        "labels": {
            **label_evidence.section,
            **label_ratios,
            "classifier": labels.compare_classifier_labels(comparison, classifier),
        },
        "agreement": (
            judge_agreement.compute_agreement(judge_labels, classifier) if classifier else {"status": _OTHER_CLASSIFIER}
        ),
        "cofindings": cofindings.compare_with_films(comparison, film_labels, classifier),
        "variety": variety.compare_with_films(comparison),
        "weights": variety.compute_weights(synthetic),
        "metrics": other_metrics.compare_with_films(comparison, features),
        "classifier": (
            classifier_auroc.compute_classifier_auroc(comparison, classifier)
            if classifier
            else {"status": _OTHER_CLASSIFIER}
        ),
        "checks": _check_dataset(inputs, n_test=comparison.n_test),
        "protocol": protocol.describe_protocol(
            comparison,
            n_patients=len(set(comparison.real.patients(TEST_SPLITS))),
            judge_digest=judge.digest,
            trained_on_same_films=trained_on_same_films,
            baseline=baseline,
        ),
    }


def _compare_with_reference(inputs: _Inputs) -> Evidence:
    reference = reference_only.Reference.read(
        inputs.models / REFERENCE_FILE, judge_digest=inputs.judge.digest, config=inputs.config
    )
    checks = _check_dataset(inputs, n_test=None)
    _compute_elsewhere(inputs, extractors.extractor_from_model(inputs.judge), None)
    evidence = reference_only.compare_with_reference(
        inputs.config, inputs.synthetic, inputs.judge, reference, baseline=_open_baseline(inputs), checks=checks
    )
    labels.write_shares(inputs.out / labels.SHARES_FILE, evidence["labels"]["shares"])
    return evidence


def _open_judge(path: Path, synthetic: SyntheticSet, device: Device) -> Session:
    judge = Session.open(path, kind="judge", device=device)
    if judge.metadata.resolution != synthetic.resolution:
        raise DataError(
            f"{synthetic.path}: its images are {synthetic.resolution} px, but {path} takes"
            f" {judge.metadata.resolution} px; give the models that made the dataset"
        )
    return judge


def _open_classifier(path: Path, synthetic: SyntheticSet, device: Device) -> Session | None:
    if not path.is_file():
        return None
    classifier = Session.open(path, kind="classifier", device=device)
    return classifier if classifier.digest == synthetic.classifier_digest else None


def _open_baseline(inputs: _Inputs) -> Baseline | None:
    """The baseline of images that were requested by label: the given dataset, or drawn with the generator in `models`.

    None for other images, or if `models` did not make the dataset.
    """
    config, synthetic, models = inputs.config, inputs.synthetic, inputs.models
    extractor = extractors.extractor_from_model(inputs.judge)
    if not synthetic.is_conditional:
        return None
    if inputs.baseline is not None:
        return Baseline.from_dataset(SyntheticSet.open(inputs.baseline, synthetic.cache_folder), synthetic, extractor)
    sampler = RejectionSampler.open_with_digests(
        models,
        generator=synthetic.generator_digest,
        classifier=synthetic.classifier_digest,
        table=synthetic.table_digest,
        batch_size=BATCH_SIZE,
        device=config.device,
    )
    if sampler is None:
        return None
    n, seed = min(len(synthetic.file_names), MAX_IMAGES), config.seed + SEED_OFFSET
    inputs.say(f"baseline: {n:,} images without a request")
    strategy = SamplingStrategy(sampler, "reject", attributes=synthetic.attributes)
    blocks = track(
        strategy.draw(LabelCondition(), seed=seed, start=0, stop=n),
        "baseline",
        unit="blocks",
        total=math.ceil(n / BATCH_SIZE),
    )
    return Baseline.draw(
        ((block.pixels, sampler.detect(block.probabilities)) for block in blocks),
        synthetic,
        extractor,
        n=n,
        seed=seed,
        thresholds=sampler.classifier.metadata.thresholds,
    )


def _extract_features(inputs: _Inputs, name: str, comparison: Comparison, steps: StepReport) -> ComparisonFeatures:
    steps.begin(f"features of the images ({name})")
    is_judge, device = name == JUDGE, inputs.config.device
    extractor = extractors.extractor_from_model(inputs.judge) if is_judge else extractors.open_extractor(name, device)
    _compute_elsewhere(inputs, extractor, comparison.real)
    return ComparisonFeatures.extract(extractor, comparison)


def _compute_elsewhere(inputs: _Inputs, extractor: Extractor, real: RealSet | None) -> None:
    """Let the processes of the engine, if there is one, compute all features of an extractor into the cache."""
    if inputs.engine is None:
        return
    spec: WorkerSpec = ExtractorSpec(extractor.provenance, inputs.config.device, extractor.device)
    if extractor.provenance.extractor == JUDGE:
        spec = SessionSpec.from_session(inputs.models / JUDGE_FILE, inputs.judge)
    with open_on_first_use(inputs.engine, spec) as run_elsewhere:
        distributed = dataclasses.replace(extractor, run_elsewhere=run_elsewhere)
        inputs.synthetic.outputs(distributed)
        if real is not None:
            real.outputs(distributed, SPLITS)


def _check_dataset(inputs: _Inputs, *, n_test: int | None) -> Checks:
    """Run the checks of the dataset; with `n_test` films, also report that `require_unseen` passed for them."""
    result = suite.check_dataset(inputs.synthetic.path, images=True, reference=None, max_label_kl=None)
    if n_test is not None:
        result = CheckResult.from_lines((*result.lines, suite.confirm_no_leakage(n_test)))
    checks = result.as_dict()
    return {"failed": checks["failed"], "lines": checks["lines"]}
