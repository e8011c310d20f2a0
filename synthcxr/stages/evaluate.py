"""Evaluate a synthetic dataset against real test films: distances, label shares, checks, and the gates on them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.checks.check_result import CheckLine, CheckResult
from synthcxr.config.schema import EvaluateConfig
from synthcxr.data import film_dataset as datasets
from synthcxr.data import image_reader, records
from synthcxr.data.film_dataset import Dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation import gates, headline_metrics, unseen
from synthcxr.evaluation.comparison import TEST, Comparison, View
from synthcxr.evaluation.features import cache, extractors
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor
from synthcxr.evaluation.features.extractors import JUDGE
from synthcxr.evaluation.gates import NOT_APPLICABLE, NOT_COMPUTED, Verdict
from synthcxr.evaluation.image_sets import RealSet, SyntheticSet
from synthcxr.evaluation.metrics import label_distribution
from synthcxr.evaluation.sections import (
    classifier_auroc,
    distances_by_finding,
    memorisation,
    protocol,
    reference_only,
    reference_prevalence,
)
from synthcxr.evaluation.sections import distances as sections
from synthcxr.evaluation.sections import labels as label_evidence
from synthcxr.storage import digests, json_files
from synthcxr.synthesis.runtime.onnx_session import Session


def run(
    config: EvaluateConfig,
    *,
    data: Path | None,
    models: Path,
    dataset: Path,
    out: Path,
    features_cache: Path = cache.FOLDER,
    distribution: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Verdict:
    """Write metrics.json, verdict.json, privacy.csv and curves/ to `out` and return the verdict.

    Without `data` the images are held against what of its films the model carries. `distribution`, "nih" or a table,
    is one more label distribution to hold them against; `say` is told what is being done. ConfigError, before any
    work, for a gate that can never be judged; DataError and ArtifactError for films, images or models that do not fit
    each other.
    """
    unavailable = _check(config)
    wanted = None if distribution is None else reference_prevalence.load(distribution)
    made = _open(dataset, features_cache)
    judge = Session.open(models / "judge.onnx", kind="judge", device=config.device)
    if judge.contract.resolution != made.resolution:
        raise DataError(
            f"{dataset}: its images have {made.resolution} px, {models / 'judge.onnx'} sees"
            f" {judge.contract.resolution} px; give the models that made it"
        )
    about = {
        "models": {"generator": made.generator, "classifier": made.classifier, "judge": judge.digest},
        "dataset": made.digest,
        "n_synthetic": len(made.held),
    }
    job = _Job(config, made, judge, models, out, wanted, say)
    absent = {name: f"{NOT_COMPUTED}: {what}" for name, what in unavailable.items()}
    if data is None:
        metrics = _without_films(job)
    else:
        metrics = _with_films(job, datasets.open_dataset(data), features_cache, absent)
    return _conclude(job, _rounded(about | metrics))


@dataclasses.dataclass(frozen=True)
class _Job:
    """One evaluation: settings, images, the judge and the folder it came from, and where the evidence goes."""

    config: EvaluateConfig
    made: SyntheticSet
    judge: Session
    models: Path
    out: Path
    wanted: tuple[str, dict[str, float]] | None
    say: Callable[[str], None]

    @property
    def judged(self) -> Extractor:
        """The judge, as an extractor."""
        return extractors.labeller(self.judge)


def _with_films(job: _Job, films: Dataset, features_cache: Path, absent: Mapping[str, str]) -> dict[str, Any]:
    config, made, judge = job.config, job.made, job.judge
    learned_from = {judge.contract.training_data, made.training_data}
    same_films = unseen.require(films, TEST, learned_from=learned_from, models=job.models, subject=made.path)
    several = made.n_sets > 0
    real = RealSet(films, made.resolution, made.requested, made.without, several, features_cache)
    patients = real.patients(TEST)
    comparison = Comparison(config, real, made, len(patients))
    judged = _view(job, JUDGE, comparison)
    computed = [name for name in config.extractors if name not in absent]
    views = {name: judged if name == JUDGE else _view(job, name, comparison) for name in computed}
    classifier = _classifier(job)
    chosen = None if classifier is None else (extractors.labeller(classifier), classifier.contract)
    reference, kl_reference = label_evidence.kl_reference(comparison, chosen)
    job.say("labels")
    labels = label_evidence.examine(judged, judge.contract, wanted=job.wanted)
    labels.write(job.out)
    job.say("nearest films")
    near = memorisation.examine(comparison, views)
    memorisation.write(job.out / memorisation.CSV, comparison, near)
    job.say("distances and intervals")
    return {
        "n_real_test": len(patients),
        "phantom": films.phantom or made.phantom or judge.contract.phantom,
        **sections.by_extractor(views, absent, order=config.extractors),
        "by_finding": distances_by_finding.sections(views, judged, judge.contract, absent),
        "similarity": sections.similar(comparison),
        "privacy": memorisation.section(comparison, near, absent),
        "labels": labels.section,
        "agreement": _agreement(judged, judge, classifier),
        "classifier": _ranking(comparison, classifier),
        "checks": _checks(job, reference, unseen=len(patients)),
        "protocol": protocol.sentences(
            resolution=made.resolution,
            asked=_asked(made),
            weighted=made.weighted,
            n_test=len(patients),
            n_patients=len(set(patients)),
            n_bootstrap=config.n_bootstrap,
            judge_digest=judge.digest,
            same_films=same_films,
            kl_reference=kl_reference,
        ),
    }


def _view(job: _Job, name: str, comparison: Comparison) -> View:
    job.say(f"{name}: features of images, then of films")
    extractor = job.judged if name == JUDGE else extractors.open_extractor(name, job.config.device)
    return View.through(extractor, comparison)


def _without_films(job: _Job) -> dict[str, Any]:
    """The same sections, those that need films saying so."""
    config, judge = job.config, job.judge
    reference = reference_only.Reference.read(job.models / unseen.REFERENCE)
    n_val = reference.n_val
    reference = reference.without_any() if job.made.chosen else reference
    extractor, weak = job.judged, label_evidence.weak(judge.contract)
    seen_by_judge = job.made.outputs(extractor)
    present = label_distribution.present(seen_by_judge["logits"], judge.contract.thresholds)
    labels = reference_only.labels(reference, present, weak=weak)
    label_evidence.write_shares(job.out / label_evidence.SHARES, labels["shares"])
    nothing = {"status": reference_only.NO_FILMS}
    distances = {
        name: reference_only.distance(
            reference,
            synthetic=seen_by_judge["features"],
            provenance=extractor.provenance,
            n_bootstrap=config.n_bootstrap,
            rng=np.random.default_rng(config.seed),
        )
        if name == JUDGE
        else nothing
        for name in config.extractors
    }
    empty = {name: nothing for name in config.extractors}
    return {
        "n_real_test": 0,
        "phantom": job.made.phantom or judge.contract.phantom,
        "distance": distances,
        **dict.fromkeys(("kernel", "infinity", "coverage", "by_finding"), empty),
        "similarity": nothing,
        "privacy": empty | {"pixels": nothing} | nothing,
        "labels": labels,
        "agreement": nothing,
        "classifier": nothing,
        "checks": _checks(job, None, unseen=None),
        "protocol": protocol.without_films(n_val=n_val, n_bootstrap=config.n_bootstrap, judge=judge.digest),
    }


def _checks(job: _Job, reference: Mapping[str, float] | None, *, unseen: int | None) -> dict[str, Any]:
    """What the suite found, and that none of the `unseen` test films was learned from: else there were no results."""
    from synthcxr.checks import synthetic as suite  # great-expectations takes seconds to import

    found = suite.check(
        job.made.path,
        images=True,
        reference=reference,
        max_label_kl=job.config.max_label_kl,
        not_judged=[name for name in FINDINGS if reference and name not in reference],
    )
    if unseen is not None:
        found = CheckResult.of(
            (
                *found.lines,
                CheckLine(
                    "no leakage",
                    True,
                    "no test film, and no patient of one, is among what the models learned from",
                    found=f"0 of {unseen:,} films",
                    asked="at most 0",
                ),
            )
        )
    held = found.as_dict()
    return {"failed": held["failed"], "lines": held["lines"]}


def _agreement(judged: View, judge: Session, classifier: Session | None) -> dict[str, Any]:
    comparison = judged.comparison
    if classifier is None:
        return {"status": f"{NOT_APPLICABLE} (another classifier than this one labelled the images)"}
    films = comparison.real.unconditional.outputs(extractors.labeller(classifier), TEST)["logits"]
    called = np.array([[name in record.findings for name in FINDINGS] for record in comparison.synthetic.held])
    called_real = label_distribution.present(films, classifier.contract.thresholds)
    found = label_evidence.agreed(
        judged, judge.contract, classifier=classifier.contract, called=called, called_real=called_real
    )
    return found | {"status": "computed"}


def _ranking(comparison: Comparison, classifier: Session | None) -> dict[str, Any]:
    if classifier is None:
        return {"status": f"{NOT_APPLICABLE} (another classifier than this one labelled the images)"}
    return classifier_auroc.section(comparison, extractors.labeller(classifier))


def _conclude(job: _Job, metrics: dict[str, Any]) -> Verdict:
    judged = gates.judge(metrics, job.config.gates)
    json_files.write_json(job.out / "metrics.json", metrics)
    json_files.write_json(job.out / "verdict.json", judged.as_dict())
    json_files.write_json(job.out / "summary.json", headline_metrics.of(metrics, judged))
    return judged


def _check(config: EvaluateConfig) -> dict[str, str]:
    """The wanted extractors that this machine cannot run, and what to install; ConfigError where a gate needs one."""
    extractors.require_known(config.extractors)
    if config.n_bootstrap < 1:
        raise ConfigError(f"evaluate.n_bootstrap: must be at least 1, is {config.n_bootstrap}")
    gates.check(config.gates, config.extractors)
    unavailable = extractors.missing(config.extractors)
    for at, gate in enumerate(config.gates):
        for name, what in unavailable.items():
            if name in gate.metric.split("."):
                raise ConfigError(f"evaluate.gates[{at}]: {gate.metric} cannot be computed here: {what}")
    return unavailable


def _open(dataset: Path, features_cache: Path) -> SyntheticSet:
    held, about = records.read_records(dataset), records.read_run(dataset)
    if not held:
        raise DataError(f"{dataset}: holds no image; generate more, or with other labels")
    try:
        return SyntheticSet(
            path=dataset,
            held=held,
            read=functools.partial(image_reader.read_whole, dataset),
            resolution=int(about["model"]["resolution"]),
            requested=tuple(about["request"]["labels"]),
            without=tuple(about["request"].get("without", ())),
            n_sets=len(about["request"].get("parts", ())),
            weighted=any(record.weight != 1 for record in held),
            generator=str(about["model"]["digests"]["generator"]),
            classifier=str(about["model"]["digests"]["classifier"]),
            training_data=str(about["model"]["training_data"]),
            phantom=bool(about["model"]["phantom"]),
            digest=digests.sha256_file(dataset / records.METADATA),
            cache=features_cache,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{dataset / records.RUN}: not the run.json of a dataset ({error!r}); generate it again"
        ) from error


def _asked(made: SyntheticSet) -> str:
    """What real films must be in order to be compared with the images, for a sentence; empty where any may."""
    if made.n_sets:
        return (
            f" that are what the images are, which were asked for as {made.n_sets} sets of findings in numbers of the"
            " request's own: no such films are compared with them"
        )
    barred = f"lack {' and '.join(made.without)}" if made.without else ""
    shown = f"carry {' and '.join(made.requested)}" if made.requested else ""
    words = " and ".join(part for part in (shown, barred) if part)
    return f" that {words}, as the images were asked to" if words else ""


def _classifier(job: _Job) -> Session | None:
    """The classifier that labelled the images, or None where another one lies beside the judge."""
    path = job.models / "classifier.onnx"
    if not path.is_file():
        return None
    classifier = Session.open(path, kind="classifier", device=job.config.device)
    return classifier if classifier.digest == job.made.classifier else None


def _rounded(tree: Any) -> Any:
    """The tree with floats of six significant digits: the last bits depend on the thread count."""
    if isinstance(tree, Mapping):
        return {key: _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_rounded(value) for value in tree]
    return float(f"{tree:.6g}") if isinstance(tree, float) else tree
