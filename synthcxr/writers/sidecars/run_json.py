"""run.json: what made a dataset. The one file of it that times and machines may change."""

from __future__ import annotations

import dataclasses
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import PIL

import synthcxr
from synthcxr.data import records
from synthcxr.data.findings import FINDINGS
from synthcxr.model_files import predictions
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.project import revision
from synthcxr.storage import json_files
from synthcxr.writers.generation_request import Request

_ALSO = ("onnx", "pandas", "great-expectations")


@dataclasses.dataclass(frozen=True)
class Origin:
    """What makes the images: the model's name, what its two files promise, the command line.

    `attribution` is what the sources of the films that the model learnt from ask to be said.
    """

    model_name: str
    generator: Contract
    classifier: Contract
    command: tuple[str, ...]
    attribution: tuple[str, ...] = ()

    @property
    def phantom(self) -> bool:
        """One of the two never saw a real film."""
        return self.generator.phantom or self.classifier.phantom


DEVICE_PINS = ("provider", "precision")
"""Those that are no versions."""


def pins(*, provider: str, onnxruntime: str, precision: str) -> dict[str, str]:
    """What must stay the same while one dataset is made, or its pixels would be of two kinds; fp32 is not said."""
    held = {"synthcxr": synthcxr.__version__, "numpy": np.__version__, "pillow": PIL.__version__}
    other = {} if precision == "fp32" else {"precision": precision}
    return {"provider": provider, "onnxruntime": onnxruntime} | other | held


def write(
    folder: Path, request: Request, origin: Origin, *, found: int, draws: int, runs: int, wall_s: float
) -> dict[str, Any]:
    """Write run.json and return what stands in it. `runs` counts the images that the generator made."""
    model = {
        "name": origin.model_name,
        "digests": dict(request.models),
        "training_data": origin.generator.training_data,
        "phantom": origin.phantom,
        "resolution": origin.generator.resolution,
        "attribution": list(origin.attribution),
        "weak": list(origin.classifier.weak),
        "thresholds": _thresholds(origin.classifier),
    }
    commit, dirty = revision.git()
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
        | _also(request),
        "counts": {
            "requested": request.n,
            "found": found,
            "draws": draws,
            "runs": runs,
            "acceptance_rate": found / draws if draws else 0.0,
        },
        "complete": found == request.n,
        "format": request.format,
        "provider": request.pins["provider"],
        "precision": request.pins.get("precision", "fp32"),
        "threads": request.threads,
        "versions": {**versions, "python": platform.python_version()}
        | {name: metadata.version(name) for name in _ALSO},
        "git_revision": commit,
        "git_dirty": dirty,
        "dvc": revision.dvc(),
        "wall_s": round(wall_s, 3),
    }
    json_files.write_json(folder / records.RUN, run)
    return run


def _thresholds(classifier: Contract) -> dict[str, float]:
    """From what probability, as the manifest holds it, each finding counts as present."""
    least = predictions.calibrated(predictions.least(classifier.thresholds), classifier.calibration)
    return {name: round(float(p), 6) for name, p in zip(FINDINGS, least, strict=True) if np.isfinite(p)}


def _also(request: Request) -> dict[str, Any]:
    """What of a request is not plain: without a method of its own it is a rejection, and so on."""
    fields = request.as_dict()
    plain = {"apart": "", "method": "reject", "without": (), "parts": ()}
    return {name: fields[name] for name, value in plain.items() if fields[name] != value}
