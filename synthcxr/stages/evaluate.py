"""Evaluate a synthetic dataset against real test films: distances, label shares, checks, and the gates on them."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from synthcxr import dataset as datasets
from synthcxr import image_bytes, images, records, seen
from synthcxr.checks import synthetic as suite
from synthcxr.config import EvaluateConfig
from synthcxr.dataset import Dataset
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation import cache, features, label_shift, privacy_evidence, protocol, sections, verdict
from synthcxr.evaluation.comparison import TEST, Comparison, View
from synthcxr.evaluation.features import Extractor
from synthcxr.evaluation.fidelity import MIN_FILMS, Provenance
from synthcxr.evaluation.sets import RealSet, SyntheticSet
from synthcxr.evaluation.verdict import NOT_APPLICABLE, NOT_COMPUTED, Verdict
from synthcxr.labels import FINDINGS, NO_FINDING
from synthcxr.synthesis.session import Session

JUDGE = "judge"
EXTRACTORS = (JUDGE, features.LITE0)
REFERENCE = "reference.npz"
_SHARE_COLUMNS = ("finding", "real", "real_low", "real_high", "synthetic", "synthetic_low", "synthetic_high", "ratio")


def run(
    config: EvaluateConfig,
    *,
    data: Path,
    models: Path,
    dataset: Path,
    out: Path,
    features_cache: Path = cache.FOLDER,
) -> Verdict:
    """Write metrics.json, verdict.json, privacy.csv and curves/label_shares.csv to `out` and return the verdict.

    ConfigError, before any work, for a gate that can never be judged; DataError and ArtifactError for films, images or
    models that do not fit each other.
    """
    unavailable = _check(config)
    films, made = datasets.open_dataset(data), _open(dataset, features_cache)
    judge = Session.open(models / "judge.onnx", kind="judge", device=config.device)
    if judge.contract.resolution != made.resolution:
        raise DataError(
            f"{dataset}: its images have {made.resolution} px, {models / 'judge.onnx'} sees"
            f" {judge.contract.resolution} px; give the models that made it"
        )
    same_films = _require_unseen(films, made, judge, models)
    real = RealSet(films, made.resolution, made.requested, features_cache)
    patients = real.patients(TEST)
    comparison = Comparison(config, real, made, len(patients))
    judged = View.through(_extractor(judge), comparison)
    views = {
        name: judged if name == JUDGE else View.through(features.efficientnet_lite0(config.device), comparison)
        for name in config.extractors
        if name not in unavailable
    }
    absent = {name: f"{NOT_COMPUTED}: {what}" for name, what in unavailable.items()}
    reference, kl_reference = _kl_reference(comparison, models)
    checked = suite.check(
        dataset,
        images=True,
        reference=reference,
        max_label_kl=config.max_label_kl,
        not_judged=[name for name in FINDINGS if reference and name not in reference],
    ).as_dict()
    near = privacy_evidence.examine(comparison, views)
    privacy_evidence.write(out / privacy_evidence.CSV, comparison, near)
    metrics = {
        "models": {"generator": made.generator, "classifier": made.classifier, "judge": judge.digest},
        "dataset": made.digest,
        "n_synthetic": len(made.held),
        "n_real_test": len(patients),
        "phantom": films.phantom or made.phantom or judge.contract.phantom,
        **sections.by_extractor(views, absent, order=config.extractors),
        "privacy": privacy_evidence.section(comparison, near, absent),
        "labels": _labels(judged, judge),
        "checks": {"failed": checked["failed"], "lines": checked["lines"]},
        "protocol": protocol.sentences(
            resolution=made.resolution,
            requested=made.requested,
            n_test=len(patients),
            n_patients=len(set(patients)),
            n_bootstrap=config.n_bootstrap,
            judge_digest=judge.digest,
            same_films=same_films,
            kl_reference=kl_reference,
        ),
    }
    return _conclude(config, _rounded(metrics), out)


def _conclude(config: EvaluateConfig, metrics: dict[str, Any], out: Path) -> Verdict:
    judged = verdict.judge(metrics, config.gates)
    records.write_json(out / "metrics.json", metrics)
    _write_shares(out / "curves" / "label_shares.csv", metrics["labels"]["shares"])
    records.write_json(out / "verdict.json", judged.as_dict())
    return judged


def _check(config: EvaluateConfig) -> dict[str, str]:
    """The wanted extractors that this machine cannot run, and what to install; ConfigError where a gate needs one."""
    for name in config.extractors:
        if name not in EXTRACTORS:
            raise ConfigError(f"evaluate.extractors: unknown extractor {name!r}; known: {', '.join(EXTRACTORS)}")
    if config.n_bootstrap < 1:
        raise ConfigError(f"evaluate.n_bootstrap: must be at least 1, is {config.n_bootstrap}")
    verdict.check(config.gates, config.extractors)
    lacks = features.missing() if features.LITE0 in config.extractors else None
    unavailable = {} if lacks is None else {features.LITE0: lacks}
    for at, gate in enumerate(config.gates):
        for name, what in unavailable.items():
            if name in gate.metric.split("."):
                raise ConfigError(f"evaluate.gates[{at}]: {gate.metric} cannot be computed here: {what}")
    return unavailable


def _require_unseen(films: Dataset, made: SyntheticSet, judge: Session, models: Path) -> bool:
    """Whether the models learned from the other splits of these films; DataError where they saw the test films."""
    others = {judge.contract.training_data, made.training_data} - {films.fingerprint}
    learned = seen.read_earlier(models / REFERENCE)
    if others:
        learned = seen.read(models / REFERENCE).joined(learned)
    for unknown in sorted(others - {learned.training_data}):
        raise DataError(
            f"{made.path}: comes of films {unknown}, of which {models} knows nothing; give the models that made it"
        )
    n_films, n_patients = seen.of(films, TEST).among(learned)
    if n_films or n_patients:
        raise DataError(
            f"{films.path}: the models have seen {n_films:,} of its test films and {n_patients:,} of their patients:"
            " another split of films that they learned from; give the films as they were packed for training, or films"
            " of other patients"
        )
    return not others


def _open(dataset: Path, features_cache: Path) -> SyntheticSet:
    held, about = records.read_records(dataset), records.read_json(dataset / records.RUN)
    if not held:
        raise DataError(f"{dataset}: holds no image; generate more, or with other labels")
    try:
        return SyntheticSet(
            path=dataset,
            held=held,
            read=functools.partial(image_bytes.read_whole, dataset),
            resolution=int(about["model"]["resolution"]),
            requested=tuple(about["request"]["labels"]),
            generator=str(about["model"]["digests"]["generator"]),
            classifier=str(about["model"]["digests"]["classifier"]),
            training_data=str(about["model"]["training_data"]),
            phantom=bool(about["model"]["phantom"]),
            digest=records.sha256_file(dataset / records.METADATA),
            cache=features_cache,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{dataset / records.RUN}: not the run.json of a dataset ({error!r}); generate it again"
        ) from error


def _extractor(session: Session) -> Extractor:
    """The outputs of a judge, which learned on the judge split and is compared on train, or of a classifier."""
    contract = session.contract
    resize = f"none outside its graph, which takes {contract.resolution} px"
    return Extractor(
        provenance=Provenance(extractor=contract.kind, digest=session.digest, resize=resize),
        device=session.provider,
        training_splits=("train",),
        run=lambda pixels: session.run(images.to_float(pixels)),
    )


def _labels(judged: View, judge: Session) -> dict[str, Any]:
    """The content of "labels"; without 50 real films it holds no comparison."""
    thresholds, comparison = judge.contract.thresholds, judged.comparison
    weak = tuple(name for name in FINDINGS if name in judge.contract.weak or name not in thresholds)
    if comparison.n_test < MIN_FILMS:
        empty = dict.fromkeys(("total_variation", "jensen_shannon", "kl"))
        return empty | {"shares": {}, "not_judged": weak, "status": f"{NOT_APPLICABLE} (n = {comparison.n_test})"}
    shift = label_shift.compare(
        real=label_shift.present(judged.films(TEST, "logits"), thresholds),
        synthetic=label_shift.present(judged.synthetic["logits"], thresholds),
        real_patients=judged.test_patients,
        not_judged=weak,
        n_bootstrap=comparison.config.n_bootstrap,
        rng=comparison.rng("labels"),
    )
    return shift.as_dict() | {"status": "computed"}


def _kl_reference(comparison: Comparison, models: Path) -> tuple[dict[str, float] | None, str]:
    """The label distribution that metadata.csv's labels are checked against, and a sentence on it; like with like.

    Its labels are the classifier's, so the reference is what the same classifier calls the real test films.
    """
    left_out = "The suite's label divergence was left out: "
    if comparison.synthetic.requested:
        return None, left_out + "the images were chosen by their labels."
    if comparison.n_test < MIN_FILMS:
        return None, left_out + f"{NOT_APPLICABLE} (n = {comparison.n_test})."
    classifier = Session.open(models / "classifier.onnx", kind="classifier", device=comparison.config.device)
    if classifier.digest != comparison.synthetic.classifier:
        return None, left_out + "another classifier than this one labelled the images."
    logits = comparison.real.outputs(_extractor(classifier), TEST)["logits"]
    present = label_shift.present(logits, classifier.contract.thresholds)
    counts = label_shift.categories(present).sum(axis=0).astype(float)
    weak = classifier.contract.weak
    held = {name: float(n) for name, n in zip((NO_FINDING, *FINDINGS), counts, strict=True) if name not in weak}
    return {name: n / sum(held.values()) for name, n in held.items()}, (
        "The suite's label divergence compares the labels in metadata.csv with what the same classifier calls the"
        f" real test films{', without ' + ' and '.join(weak) if weak else ''}."
    )


def _write_shares(path: Path, shares: Mapping[str, Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_SHARE_COLUMNS)
        for name, share in shares.items():
            real, synthetic = (
                (share["real"], *share["real_interval"]),
                (share["synthetic"], *share["synthetic_interval"]),
            )
            writer.writerow((name, *real, *synthetic, share["ratio"]))


def _rounded(tree: Any) -> Any:
    """The tree with floats of six significant digits: the last bits depend on the thread count."""
    if isinstance(tree, Mapping):
        return {key: _rounded(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_rounded(value) for value in tree]
    return float(f"{tree:.6g}") if isinstance(tree, float) else tree
