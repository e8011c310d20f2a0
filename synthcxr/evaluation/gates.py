"""Gates: what params.yaml asks of metrics.json, judged one by one and said in plain words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from synthcxr.config.schema import Gate
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.errors import ConfigError

Status = Literal["passed", "failed", "not applicable"]

_LONG = ("labels.shares.", "by_finding.", "agreement.")
NOT_APPLICABLE = "not applicable"
NOT_COMPUTED = "not computed"
_LABELS = {
    "total_variation": "total variation between the label distributions of synthetic images and real test films",
    "jensen_shannon": "Jensen-Shannon divergence (bits) between the label distributions of synthetic and real",
    "kl": "KL divergence (nats) of the synthetic label distribution from the real one",
}
_DISTANCE = {
    "value": "Frechet distance of synthetic images to real test films, in features of {0}",
    "floor": "Frechet distance of real training films to real test films, in features of {0}",
    "relative": "distance to real test films, as a multiple of the real training films' own, in features of {0}",
}
_COVERAGE = {
    "relative": "coverage of real test films by synthetic images, as a share of that by training films, in {0}",
    "synthetic.precision": "share of synthetic images that lie among real test films, in {0}",
    "synthetic.recall": "share of real test films that lie among synthetic images, in {0}",
    "synthetic.density": "density of synthetic images among real test films (1 where both lie alike), in {0}",
    "synthetic.coverage": "share of real test films with a synthetic image near them, in {0}",
}
_PRIVACY = {
    "share": "share of synthetic images nearer to a training film than 99 in 100 held-out films are, in {0}",
    "share_low": "lower end of the interval of that share (above 0.01 it is more than chance), in {0}",
    "n_below_null": "synthetic images nearer to a training film than any held-out film is, in {0}",
    "median_ratio": "distance of synthetic images to their nearest training film, over that of held-out films, in {0}",
    "attack.auroc": "AUROC of telling training films from held-out ones by the synthetic images, in {0}",
    "attack.low": "lower end of the interval of that AUROC (above 0.5 films are betrayed), in {0}",
    "duplicates.share": "share of synthetic images nearer to another than 99 in 100 films of other patients, in {0}",
    "duplicates.share_low": "lower end of the interval of that share of near-duplicates (by chance 0.01), in {0}",
}
_FEATURES = {
    "kernel.{0}.value": "kernel distance of synthetic images to real test films, in features of {0}",
    "infinity.{0}.synthetic.value": "Frechet distance to real test films at infinitely many images, in features of {0}",
}
_BY_FINDING = "distance of images that the judge calls {1} to such test films, as a multiple of training films', in {0}"
_OTHER = {
    "labels.test.p_value": "probability by chance of label distributions as different as these (permutation test)",
    "labels.test.cramers_v": "Cramer's V between the label distributions of synthetic and real",
    "labels.cooccurrence.difference": "mean difference in how often two findings come together, synthetic and real",
    "labels.prevalence.total_variation": "total variation between the synthetic label distribution and the one given",
    "labels.prevalence.jensen_shannon": "Jensen-Shannon divergence (bits) from the label distribution that was given",
    "similarity.synthetic": "MS-SSIM of random pairs of synthetic images",
}
_AGREEMENT = "share of images labelled {0} by the classifier that the judge calls {0}"
_SHARE = {
    "real": "share of real test films that the judge calls {0}",
    "synthetic": "share of synthetic images that the judge calls {0}",
    "ratio": "share of {0} among synthetic images, divided by that among real test films",
}


@dataclasses.dataclass(frozen=True)
class GateResult:
    """One gate: what was measured against what was asked; `value` is None where there is nothing to judge."""

    metric: str
    value: float | None
    threshold: float
    direction: Literal["max", "min"]
    status: Status
    sentence: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """All gates in the order of params.yaml; `passed` means that none failed."""

    passed: bool
    gates: tuple[GateResult, ...]

    def as_dict(self) -> dict[str, Any]:
        """The shape of verdict.json."""
        return {"passed": self.passed, "gates": [dataclasses.asdict(gate) for gate in self.gates]}

    @property
    def failures(self) -> str:
        """One line: every failed gate with its value and threshold."""
        failed = [gate for gate in self.gates if gate.status == "failed"]
        lines = [f"{gate.metric} is {gate.value:.4g}, {_asked(gate.direction, gate.threshold)}" for gate in failed]
        return f"{len(failed)} of {len(self.gates)} gates failed: {'; '.join(lines)}"


def describe(extractors: Sequence[str]) -> dict[str, str]:
    """What each metric that a gate may name means, by its dotted path, for these extractors."""
    known = {"checks.failed": "checks of the synthetic dataset that failed"}
    known |= {f"labels.{key}": words for key, words in _LABELS.items()}
    for name in extractors:
        distances = {key: words.format(name) for key, words in _DISTANCE.items()}
        if name == "inception":
            distances = {key: words.replace("Frechet distance", "FID") for key, words in distances.items()}
        known |= {f"distance.{name}.{key}": words for key, words in distances.items()}
        known |= {path.format(name): words.format(name) for path, words in _FEATURES.items()}
        known |= {
            f"by_finding.{name}.{finding}.relative": _BY_FINDING.format(name, finding)
            for finding in (NO_FINDING, *FINDINGS)
        }
        known |= {f"coverage.{name}.{key}": words.format(f"features of {name}") for key, words in _COVERAGE.items()}
    for name in ("pixels", *extractors):
        where = name if name == "pixels" else f"features of {name}"
        known |= {f"privacy.{name}.{key}": words.format(where) for key, words in _PRIVACY.items()}
    known |= _OTHER | {f"agreement.{name}.synthetic": _AGREEMENT.format(name) for name in FINDINGS}
    for name in (NO_FINDING, *FINDINGS):
        known |= {f"labels.shares.{name}.{key}": words.format(name) for key, words in _SHARE.items()}
    return known


def check(gates: Iterable[Gate], extractors: Sequence[str]) -> None:
    """ConfigError for a gate on a metric that `evaluate` will not know, or without exactly one bound."""
    known = describe(extractors)
    for at, gate in enumerate(gates):
        if gate.metric not in known:
            short = [path for path in known if not path.startswith(_LONG)]
            raise ConfigError(
                f"evaluate.gates[{at}].metric: unknown metric {gate.metric!r};"
                f" known: {', '.join(short)}, labels.shares.<finding>.real|synthetic|ratio,"
                " by_finding.<extractor>.<finding>.relative, agreement.<finding>.synthetic"
            )
        if (gate.max is None) == (gate.min is None):
            raise ConfigError(f"evaluate.gates[{at}]: {gate.metric}: give max or min, and null for the other")


def judge(metrics: Mapping[str, Any], gates: Sequence[Gate]) -> Verdict:
    """Judge the content of metrics.json; ConfigError for a gate on a metric that is unknown or not computed."""
    extractors = list(metrics["distance"])
    check(gates, extractors)
    known = describe(extractors)
    results = tuple(_judge(metrics, gate, _among(metrics, known[gate.metric])) for gate in gates)
    return Verdict(passed=all(result.status != "failed" for result in results), gates=results)


def _among(metrics: Mapping[str, Any], words: str) -> str:
    """The words as they are, or, where no films were given, of the films that the model carries."""
    return words if metrics["n_real_test"] else words.replace("real test films", "the films that the model carries")


def _judge(metrics: Mapping[str, Any], gate: Gate, words: str) -> GateResult:
    direction: Literal["max", "min"] = "min" if gate.max is None else "max"
    threshold = float(gate.min if gate.max is None else gate.max)  # type: ignore[arg-type]
    value, reason = _look_up(metrics, gate.metric)
    if value is None:
        status, found = NOT_APPLICABLE, reason
    else:
        kept = math.isfinite(value) and (value <= threshold if direction == "max" else value >= threshold)
        status = "passed" if kept else "failed"
        found = f"{value:.4g}{_at(metrics, gate.metric)}, {_asked(direction, threshold)}: {status}"
    sentence = f"{words[0].upper()}{words[1:]}: {found}."
    return GateResult(gate.metric, value, threshold, direction, status, sentence)  # type: ignore[arg-type]


def _look_up(metrics: Mapping[str, Any], path: str) -> tuple[float | None, str]:
    """The number at a dotted path, or None and why there is none, from the nearest "status" on the way."""
    node: Any = metrics
    reason = f"{NOT_APPLICABLE} (it has no value)"
    for key in path.split("."):
        status = str(node.get("status", ""))
        if status.startswith(NOT_COMPUTED):
            raise ConfigError(f"evaluate.gates: {path}: {status}")
        if status.startswith(NOT_APPLICABLE):
            return None, status
        if node.get("judged") is False:
            return None, f"{NOT_APPLICABLE} (its threshold rests on too few val films)"
        node = node.get(key)
        if node is None:
            return None, reason
    return float(node), ""


def _at(metrics: Mapping[str, Any], path: str) -> str:
    """How many images a distance was taken with: with fewer its ratio comes nearer to 1, whatever the images are."""
    section, name, *_ = path.split(".") + [""]
    n = metrics["distance"][name].get("n_synthetic") if section == "distance" else None
    return "" if n is None else f" with {n:,} images"


def _asked(direction: str, threshold: float) -> str:
    return f"at {'most' if direction == 'max' else 'least'} {threshold:g} asked"
