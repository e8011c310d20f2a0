"""Evaluate a generator with `mlflow.models.evaluate(model, request, model_type="synthcxr", evaluators="synthcxr")`.

MLflow loads this module with its own evaluators, so the module imports nothing heavy at the top.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models.evaluation.base import ModelEvaluator

if TYPE_CHECKING:
    from mlflow.models import EvaluationResult

    from synthcxr.config.schema import Config, GenerateConfig
    from synthcxr.plugins.mlflow_model import ServingRequest

MODEL_TYPE = "synthcxr"
ARTIFACT_FOLDER = "synthcxr"
_CONFIG_KEYS = ("films", "params")


class Evaluator(ModelEvaluator):
    """An evaluator of the entry point group `mlflow.model_evaluator`.

    The data is one request to the model: label, n, seed. `evaluator_config` may have the keys `films`, a folder of
    packed films, and `params`, a parameter file. Without `films`, the images are compared with the reference
    stored with the model; without `params`, the parameters of the project apply, or else those of the starter.
    """

    @classmethod
    def can_evaluate(cls, *, model_type: str | None, evaluator_config: Any, **kwargs: Any) -> bool:
        """Whether the type of the model is `synthcxr`."""
        return model_type == MODEL_TYPE

    def evaluate(
        self,
        *,
        model_type: str,
        dataset: Any,
        run_id: str,
        evaluator_config: Mapping[str, Any] | None,
        model: Any = None,
        model_id: str | None = None,
        **kwargs: Any,
    ) -> EvaluationResult:
        """Generate the requested images, evaluate them, log metrics, figures and report, and return the summary."""
        from synthcxr.plugins.mlflow_model import raise_as_bad_request
        from synthcxr.storage import clean_up

        with raise_as_bad_request(), clean_up.temporary_folder("synthcxr-evaluate-") as scratch:
            folder, request = _find_model_folder(model), _read_request(dataset.features_data)
            config = _load_config(evaluator_config or {})
            films = (evaluator_config or {}).get("films")
            evaluation = _Evaluation(scratch / "synthetic", scratch / "results")
            evaluation.generate(_apply_request(config.generate, request), folder)
            evaluation.evaluate(config, folder, None if films is None else Path(films))
            return evaluation.log(run_id, model_id)


@dataclasses.dataclass(frozen=True)
class _Evaluation:
    """The folders of the images and the results of one evaluation."""

    dataset: Path
    results: Path

    def generate(self, config: GenerateConfig, model: Path) -> None:
        from synthcxr.stages import generate

        generate.run(config, model=model, out=self.dataset, model_name=str(model))

    def evaluate(self, config: Config, models: Path, films: Path | None) -> None:
        from synthcxr.data.metrics_schema import METRICS_FILE
        from synthcxr.report import findings, plots
        from synthcxr.stages import evaluate, report

        evaluate.run(config.evaluate, films=films, models=models, dataset=self.dataset, out=self.results)
        out = self.results / "report.html"
        report.run(config.report, results=self.results, dataset=self.dataset, out=out, films=None)
        shares = findings.order_shares(self._read(METRICS_FILE)["labels"])
        figure = plots.make_standalone(plots.draw_label_shares(shares))
        (self.results / "label_shares.svg").write_text(figure, encoding="utf-8")

    def log(self, run_id: str, model_id: str | None) -> EvaluationResult:
        from mlflow import MlflowClient
        from mlflow.models import EvaluationResult
        from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact

        from synthcxr.data.metrics_schema import METRICS_FILE, SUMMARY_FILE, VERDICT_FILE
        from synthcxr.registry import promotion_policy, run_metrics
        from synthcxr.registry.client import WHY_TAG

        client = MlflowClient()
        points = run_metrics.flatten_metrics(self._read(METRICS_FILE))
        run_metrics.log_points(client, run_id, points, model_id=model_id)
        client.log_artifacts(run_id, str(self.results), ARTIFACT_FOLDER)
        verdict = self._read(VERDICT_FILE)
        client.set_tag(run_id, WHY_TAG, promotion_policy.decide_by_gates(verdict).why)
        summary = {point.name: point.value for point in run_metrics.flatten_metrics(self._read(SUMMARY_FILE))}
        summary["gates_failed"] = float(sum(gate["status"] == "failed" for gate in verdict["gates"]))
        artifacts = {}
        for name in (METRICS_FILE, VERDICT_FILE):
            uri = f"runs:/{run_id}/{ARTIFACT_FOLDER}/{name}"
            artifacts[name.removesuffix(".json")] = JsonEvaluationArtifact(  # type: ignore[no-untyped-call]
                uri=uri, content=self._read(name)
            )
        return EvaluationResult(summary, artifacts, run_id)  # type: ignore[no-untyped-call]

    def _read(self, name: str) -> Any:
        from synthcxr.storage import json_files

        return json_files.read_json(self.results / name)


def _load_config(evaluator_config: Mapping[str, Any]) -> Config:
    """Load the parameters that `synthcxr evaluate` would use."""
    from synthcxr.config.schema import load_config
    from synthcxr.errors import ConfigError
    from synthcxr.project.packaged_files import find_evaluation_params

    unknown = [key for key in evaluator_config if key not in _CONFIG_KEYS]
    if unknown:
        raise ConfigError(f"evaluator_config: unknown key {unknown[0]!r}; known: {', '.join(_CONFIG_KEYS)}")
    params = evaluator_config.get("params")
    return load_config(find_evaluation_params(None if params is None else Path(params)))


def _find_model_folder(model: Any) -> Path:
    """Return the folder of ONNX files behind a loaded synthcxr-generator."""
    from synthcxr.api.sampler import Sampler
    from synthcxr.errors import ArtifactError

    try:
        raw = None if model is None else model.get_raw_model()
    except NotImplementedError:
        raw = None
    if not isinstance(raw, Sampler):
        raise ArtifactError("the evaluator synthcxr needs a synthcxr-generator that mlflow.pyfunc has loaded")
    return Path(raw.address)


def _read_request(table: Any) -> ServingRequest:
    from synthcxr.errors import DataError
    from synthcxr.plugins.mlflow_model import ServingRequest

    rows = table.to_dict("records")
    if len(rows) != 1:
        raise DataError(f"the evaluator synthcxr needs exactly one request (label, n, seed), not {len(rows)}")
    return ServingRequest.from_row(rows[0])


def _apply_request(config: GenerateConfig, request: ServingRequest) -> GenerateConfig:
    from synthcxr.config.schema import default_max_draws
    from synthcxr.data.findings import LABEL_SEPARATOR

    labels = tuple(name for name in request.label.split(LABEL_SEPARATOR) if name)
    max_draws = default_max_draws(request.n, selective=bool(labels))
    return dataclasses.replace(
        config, n=request.n, seed=request.seed, labels=labels, without=(), per_label=None, mix=None, max_draws=max_draws
    )
