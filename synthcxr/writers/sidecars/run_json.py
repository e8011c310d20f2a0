"""run.json: how a dataset was generated. It is the only file of a dataset that depends on time and machine."""

from __future__ import annotations

import dataclasses
import datetime
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.data.attribute_request import ANY_ATTRIBUTES
from synthcxr.data.findings import FINDINGS
from synthcxr.data.synthetic_dataset import RUN_FILE
from synthcxr.model_files import predictions
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.project import revision
from synthcxr.storage import json_files
from synthcxr.writers.generation_request import DEVICE_PINS, GenerationRequest, Origin

_FURTHER_PACKAGES = ("onnx", "pandas", "great-expectations")


def write_run(
    folder: Path,
    request: GenerationRequest,
    origin: Origin,
    *,
    counts: Sequence[int],
    draws: int,
    runs: int,
    weights: NDArray[np.float64],
    wall_s: float,
) -> dict[str, Any]:
    """Write run.json and return its content.

    `counts` are the numbers of images of the parts of the request. They were accepted from `draws` candidates; the
    generator made `runs` images in `wall_s` seconds. `weights` are those of all images.
    """
    n_images = sum(counts)
    model = {
        "name": origin.model_name,
        "digests": dict(request.models),
        "training_data": origin.generator.training_data,
        "phantom": origin.phantom,
        "resolution": origin.generator.resolution,
        "attribution": list(origin.attribution),
        "weak": list(origin.classifier.weak),
        "thresholds": _calibrate_thresholds(origin.classifier),
    }
    if origin.judge is not None:
        model |= {"judge_thresholds": _calibrate_thresholds(origin.judge), "judge_weak": list(origin.judge.weak)}
    commit, dirty = revision.read_git_commit()
    versions = {name: version for name, version in request.pins.items() if name not in DEVICE_PINS}
    run = {
        "command": list(origin.command),
        "model": model,
        "request": {
            "n": request.n,
            "seed": request.seed,
            "labels": list(request.labels),
            "max_draws": request.max_draws,
            "batch": request.batch,
        }
        | _optional_fields(request),
        "counts": {
            "requested": request.n,
            "found": n_images,
            "draws": draws,
            "runs": runs,
            "acceptance_rate": n_images / draws if draws else 0.0,
            **_describe_weights(weights),
        },
        "complete": n_images == request.n,
        **_describe_shortfall(request, counts),
        "format": request.format,
        "provider": request.pins["provider"],
        "precision": request.pins.get("precision", "fp32"),
        "threads": request.threads,
        "versions": {**versions, "python": platform.python_version()}
        | {name: metadata.version(name) for name in _FURTHER_PACKAGES},
        "git_revision": commit,
        "git_dirty": dirty,
        "dvc": revision.read_dvc_variables(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "wall_s": round(wall_s, 3),
    }
    json_files.write_json(folder / RUN_FILE, run)
    return run


def _describe_shortfall(request: GenerationRequest, counts: Sequence[int]) -> dict[str, Any]:
    """The parts of the request that got too few images; nothing if all are complete."""
    rows = [
        {"labels": list(part.labels), "without": list(part.without), "requested": part.n, "found": n}
        for part, n in zip(request.all_parts(), counts, strict=True)
        if n < part.n
    ]
    return {"shortfall": rows} if rows else {}


def _describe_weights(weights: NDArray[np.float64]) -> dict[str, float]:
    """The effective sample size (Kish 1965) of the images; nothing if all have the weight 1."""
    if (weights == 1).all():
        return {}
    return {"effective_size": round(float(weights.sum() ** 2 / (weights**2).sum()), 2)}


def _calibrate_thresholds(model: ModelMetadata) -> dict[str, float]:
    """The calibrated probability, as metadata.csv has it, from which the model counts each finding as present."""
    thresholds = predictions.calibrate(predictions.stack_thresholds(model.thresholds), model.calibration)
    return {name: round(float(p), 6) for name, p in zip(FINDINGS, thresholds, strict=True) if np.isfinite(p)}


def _optional_fields(request: GenerationRequest) -> dict[str, Any]:
    """The fields of a request that differ from their default; run.json omits the others."""
    fields = request.as_dict()
    defaults: dict[str, Any] = {"apart": "", "method": "reject", "without": (), "parts": ()}
    defaults |= {"attributes": dataclasses.asdict(ANY_ATTRIBUTES), "min_effective_share": 0.0}
    return {name: fields[name] for name, default in defaults.items() if fields[name] != default}
