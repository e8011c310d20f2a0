"""`mlflow.models.evaluate(model, requests, model_type="synthcxr", evaluators="synthcxr")`: our evaluation, logged.

MLflow loads this module with its own evaluators: nothing heavy stands at the top of it.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow.models.evaluation.base import ModelEvaluator

if TYPE_CHECKING:
    from mlflow.models import EvaluationResult

    from synthcxr.config.schema import Config, GenerateConfig
    from synthcxr.plugins.mlflow_model import Request

MODEL_TYPE = "synthcxr"
FOLDER = "synthcxr"
_KEYS = ("films", "params")
_METRICS_A_BATCH = 1000  # what MLflow takes at once


class Evaluator(ModelEvaluator):
    """An evaluator of the group `mlflow.model_evaluator`.

    The data is one request, as the model takes it: label, n, seed. `evaluator_config` may hold `films`, a folder of
    packed films, and `params`, a parameter file; without them the model's own reference and the project's, or the
    starter's, settings judge.
    """

    @classmethod
    def can_evaluate(cls, *, model_type: str | None, evaluator_config: Any, **kwargs: Any) -> bool:
        """Models of the type `synthcxr`."""
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
        """Generate what is asked for, evaluate it, log metrics, figures and report, and return the headline figures."""
        from synthcxr.plugins.mlflow_model import as_bad_request

        with as_bad_request(), tempfile.TemporaryDirectory(prefix="synthcxr-evaluate-") as scratch:
            folder, request = _folder(model), _request(dataset.features_data)
            config = _settings(evaluator_config or {})
            films = (evaluator_config or {}).get("films")
            made = _Made(Path(scratch) / "synthetic", Path(scratch) / "results")
            made.generate(_asked(config.generate, request), folder)
            made.evaluate(config, folder, None if films is None else Path(films))
            return made.log(run_id, model_id)


@dataclasses.dataclass(frozen=True)
class _Made:
    """Where the images and the evidence of one evaluation lie."""

    dataset: Path
    results: Path

    def generate(self, config: GenerateConfig, folder: Path) -> None:
        from synthcxr.stages import generate

        generate.run(config, model=folder, out=self.dataset, model_name=str(folder))

    def evaluate(self, config: Config, folder: Path, films: Path | None) -> None:
        from synthcxr.report import findings, plots
        from synthcxr.stages import evaluate, report

        evaluate.run(config.evaluate, data=films, models=folder, dataset=self.dataset, out=self.results)
        out = self.results / "report.html"
        report.run(config.report, results=self.results, dataset=self.dataset, out=out, with_films=None)
        shares = findings.shares(self._read("metrics.json")["labels"])
        figure = plots.standalone(plots.label_shares(shares))
        (self.results / "label_shares.svg").write_text(figure, encoding="utf-8")

    def log(self, run_id: str, model_id: str | None) -> EvaluationResult:
        import time

        from mlflow import MlflowClient
        from mlflow.entities import Metric
        from mlflow.models import EvaluationResult
        from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact

        from synthcxr.registry import promotion_policy, run_metrics

        client, now_ms = MlflowClient(), int(time.time() * 1000)
        points = run_metrics.metrics(self._read("metrics.json"))
        metrics = [Metric(point.name, point.value, now_ms, point.step, model_id=model_id) for point in points]
        for at in range(0, len(metrics), _METRICS_A_BATCH):
            client.log_batch(run_id, metrics=metrics[at : at + _METRICS_A_BATCH])
        client.log_artifacts(run_id, str(self.results), FOLDER)
        verdict = self._read("verdict.json")
        client.set_tag(run_id, "synthcxr.why", promotion_policy.judged(verdict)[1])
        headline = {point.name: point.value for point in run_metrics.metrics(self._read("summary.json"))}
        headline["gates_failed"] = float(sum(gate["status"] == "failed" for gate in verdict["gates"]))
        artifacts = {}
        for name in ("metrics.json", "verdict.json"):
            uri = f"runs:/{run_id}/{FOLDER}/{name}"
            artifacts[name.removesuffix(".json")] = JsonEvaluationArtifact(  # type: ignore[no-untyped-call]
                uri=uri, content=self._read(name)
            )
        return EvaluationResult(headline, artifacts, run_id)  # type: ignore[no-untyped-call]

    def _read(self, name: str) -> Any:
        from synthcxr.storage import json_files

        return json_files.read_json(self.results / name)


def _settings(given: Mapping[str, Any]) -> Config:
    """The parameters to judge by, as `synthcxr evaluate` finds them."""
    from synthcxr.config import schema as config
    from synthcxr.errors import ConfigError
    from synthcxr.project import packaged_files

    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise ConfigError(f"evaluator_config: unknown key {unknown[0]!r}; known: {', '.join(_KEYS)}")
    asked = given.get("params")
    return config.load(packaged_files.judging_params(None if asked is None else Path(asked)))


def _folder(model: Any) -> Path:
    """The folder of ONNX files behind a loaded synthcxr-generator."""
    from synthcxr.api import Sampler
    from synthcxr.errors import ArtifactError

    try:
        raw = None if model is None else model.get_raw_model()
    except NotImplementedError:
        raw = None
    if not isinstance(raw, Sampler):
        raise ArtifactError("the evaluator synthcxr judges models:/synthcxr-generator, loaded by mlflow.pyfunc, alone")
    return Path(raw.name)


def _request(table: Any) -> Request:
    from synthcxr.errors import DataError
    from synthcxr.plugins.mlflow_model import Request

    rows = table.to_dict("records")
    if len(rows) != 1:
        raise DataError(f"the evaluator synthcxr judges one request a call, label, n and seed, not {len(rows)}")
    return Request.read(rows[0])


def _asked(config: GenerateConfig, request: Request) -> GenerateConfig:
    from synthcxr.api import DRAWS_AN_IMAGE, MIN_DRAWS
    from synthcxr.data import findings as labels

    names = tuple(name for name in request.label.split(labels.SEPARATOR) if name)
    draws = max(MIN_DRAWS, DRAWS_AN_IMAGE * request.n) if names else request.n
    return dataclasses.replace(
        config, n=request.n, seed=request.seed, labels=names, without=(), per_label=None, mix=None, max_draws=draws
    )
