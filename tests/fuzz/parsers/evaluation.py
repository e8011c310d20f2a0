"""What reads the results of `evaluate`: gates, promotion, the card of a model, MLflow, suites of expectations."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.parser import OpenParser, Parser, parse_file

_SPREAD: dict[str, Any] = {"precision": 0.5, "recall": 0.4, "density": 0.9, "coverage": 0.8}
_LIMIT: dict[str, Any] = {"value": 30.0, "interval": [29.0, 31.0], "at": [100, 200], "n_repeats": 5}
_AUROC: dict[str, Any] = {"value": 0.8, "interval": [0.7, 0.9]}
_DUPLICATES: dict[str, Any] = {
    "n": 20,
    "n_null": 100,
    "n_null_patients": 80,
    "median_ratio": 0.98,
    "median_ratio_interval": [0.9, 1.1],
    "threshold": 0.1,
    "share": 0.0,
    "share_interval": [0.0, 0.16],
    "share_low": 0.0,
    "expected": 0.01,
    "n_below_null": 0,
    "detectable": 0.12,
}
_SECTIONS: dict[str, Any] = {
    "models": {"generator": "a" * 64, "classifier": "b" * 64, "judge": "c" * 64},
    "dataset": "d" * 64,
    "kernel": {
        "judge": {
            "status": "computed",
            "value": 0.1,
            "std": 0.01,
            "floor": 0.05,
            "floor_std": 0.01,
            "n_subsets": 10,
            "subset": 50,
        }
    },
    "infinity": {"judge": {"status": "computed", "synthetic": _LIMIT, "training": _LIMIT}},
    "coverage": {
        "judge": {
            "status": "computed",
            "synthetic": _SPREAD,
            "training": _SPREAD,
            "coverage_interval": [0.7, 0.9],
            "relative": 0.9,
            "relative_interval": [0.8, 1.0],
            "precision_interval": [0.4, 0.6],
            "k": 5,
            "n": 100,
            "n_test": 162,
        }
    },
    "by_finding": {"judge": {"status": "not applicable (few images)"}},
    "similarity": {
        "status": "computed",
        "synthetic": 0.3,
        "synthetic_interval": [0.2, 0.4],
        "real": 0.3,
        "real_interval": [0.2, 0.4],
        "n_pairs": 100,
        "n_scales": 3,
    },
    "agreement": {
        "status": "computed",
        "Edema": {
            "synthetic": 0.7,
            "synthetic_interval": [0.6, 0.8],
            "n_synthetic": 60,
            "real": None,
            "real_interval": None,
            "n_real": 0,
            "judged": True,
        },
    },
    "classifier": {
        "status": "computed",
        "n_films": 162,
        "n_patients": 120,
        "findings": ["Edema"],
        "within_source": _AUROC,
        "source_and_view_alone": _AUROC,
        "mean_auroc": _AUROC,
        "auroc": {"Edema": _AUROC | {"n_positive": 9}},
    },
}


def make_metrics() -> tuple[dict[str, Any], dict[str, Any]]:
    """A metrics.json with every section, and a verdict.json."""
    from support.report_project import METRICS, PIXEL_SPACE, VERDICT

    from synthcxr.config import parsing
    from synthcxr.data.metrics_schema import MetricsJson

    metrics = copy.deepcopy(METRICS | _SECTIONS)
    space = PIXEL_SPACE | {"duplicates": _DUPLICATES}
    metrics["privacy"] = {"status": "computed", "pixels": space, "n_flagged_in_any": 1, "n_flagged_in_all": 1}
    for share in metrics["labels"]["shares"].values():
        share["judged"] = True
    parsing.build_as(MetricsJson, metrics, "metrics.json")
    return metrics, copy.deepcopy(VERDICT)


def _read_results(root: Path) -> tuple[Any, Any]:
    """metrics.json and verdict.json, read and validated."""
    from synthcxr.config import parsing
    from synthcxr.data.metrics_schema import MetricsJson, VerdictJson

    return parsing.read_json(MetricsJson, root / "metrics.json"), parsing.read_json(VerdictJson, root / "verdict.json")


def _open_results(file: str, use: Callable[[Any, Any], object]) -> Callable[[Path], OpenParser]:
    def open_parser(root: Path) -> OpenParser:
        from synthcxr.storage import json_files

        metrics, verdict = make_metrics()
        json_files.write_json(root / "metrics.json", metrics)
        json_files.write_json(root / "verdict.json", verdict)
        return OpenParser(((root / file).read_bytes(),), parse_file(root / file, lambda: use(*_read_results(root))))

    return open_parser


def _decide(metrics: Any, verdict: Any) -> None:
    from synthcxr.registry import promotion_policy
    from synthcxr.registry.promotion_policy import EvaluatedVersion

    valid_metrics, valid_verdict = make_metrics()
    candidate = EvaluatedVersion("f", metrics, verdict)
    promotion_policy.decide(candidate, EvaluatedVersion("f", valid_metrics, valid_verdict))
    promotion_policy.decide(EvaluatedVersion("f", valid_metrics, valid_verdict), candidate)


def _flatten(metrics: Any, verdict: Any) -> None:
    from synthcxr.registry import run_metrics

    run_metrics.flatten_metrics(metrics)
    run_metrics.flatten_metrics(verdict)


def _open_gates(root: Path) -> OpenParser:
    """The gates of params.yaml, applied to valid metrics."""
    from synthcxr.config import parsing
    from synthcxr.config.schema import Gate
    from synthcxr.evaluation import gates

    metrics, _ = make_metrics()
    example = [
        {"metric": "distance.judge.relative", "max": 3.0, "min": None},
        {"metric": "labels.shares.Edema.ratio", "max": None, "min": 0.1},
        {"metric": "checks.failed", "max": 0, "min": None},
    ]

    def apply(data: bytes) -> None:
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError):
            return  # params.yaml has a parser of its own
        limits = parsing.build(tuple[Gate, ...], tree, "evaluate.gates")
        gates.check_gates(limits, ["judge"])
        _ = gates.apply_gates(metrics, limits).failures

    return OpenParser((json.dumps(example).encode(),), apply)


def _open_card(file: str) -> Callable[[Path], OpenParser]:
    """The card of a generator, and of a classifier with its scores."""

    def open_parser(root: Path) -> OpenParser:
        from support.stub_models import write_stub_models

        from synthcxr.config import parsing
        from synthcxr.data.metrics_schema import MetricsJson, VerdictJson
        from synthcxr.model_files import model_folder, onnx_metadata
        from synthcxr.registry import model_card
        from synthcxr.registry.model_card_tables import ValScores
        from synthcxr.storage import json_files

        models = write_stub_models(root / "models")
        metadata = {kind: onnx_metadata.read(models / f"{kind}.onnx") for kind in ("generator", "classifier")}
        metrics, verdict = make_metrics()
        auroc = {"value": 0.8, "interval": [0.7, 0.9]}
        scores = {"findings": {"Edema": {"n": 60, "n_positive": 9, "auroc": auroc, "average_precision": auroc}}}
        for name, tree in (("metrics.json", metrics), ("verdict.json", verdict), ("scores.json", scores)):
            json_files.write_json(models / name, tree)

        def render() -> None:
            inputs = model_card.CardInputs(
                index=model_folder.read_index(models),
                metrics=parsing.read_json(MetricsJson, models / "metrics.json"),
                verdict=parsing.read_json(VerdictJson, models / "verdict.json"),
                scores={"classifier": parsing.read_json(ValScores, models / "scores.json")},
            )
            for one in metadata.values():
                model_card.render_card(one, inputs)

        return OpenParser(((models / file).read_bytes(),), parse_file(models / file, render))

    return open_parser


def _open_suite(root: Path) -> OpenParser:
    """A suite of expectations: read only; the library runs it."""
    from synthcxr.checks import suite_file
    from synthcxr.stages import check

    path = root / "suite.json"
    suites = tuple(text.encode() for text in check.render_suites().values())
    return OpenParser(suites, parse_file(path, lambda: suite_file.read_suite(path)))


def _open_suite_run(root: Path) -> OpenParser:
    """A suite of one expectation, run on a table of films."""
    from fuzz.parsers.packed_films import write_films

    from synthcxr.stages import check

    films = write_films(root)
    path = root / "suite.json"
    (suite,) = [text for place, text in check.render_suites().items() if place.stem == "films"]
    rows = json.loads(suite)["expectations"]
    examples = tuple(json.dumps({"name": "films", "expectations": [row]}).encode() for row in rows)
    return OpenParser(examples, parse_file(path, lambda: check.run([films], docs=None, suite=path)))


PARSERS = [
    Parser("metrics_promotion", "json", _open_results("metrics.json", _decide)),
    Parser("verdict_promotion", "json", _open_results("verdict.json", _decide)),
    Parser("metrics_flat", "json", _open_results("metrics.json", _flatten)),
    Parser("gates", "json", _open_gates),
    Parser("card_metrics", "json", _open_card("metrics.json")),
    Parser("card_scores", "json", _open_card("scores.json")),
    Parser("card_index", "json", _open_card("model.json")),
    Parser("suite", "json", _open_suite),
    Parser("suite_run", "json", _open_suite_run, share=0.1),
]
