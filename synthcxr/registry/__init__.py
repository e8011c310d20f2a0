"""Resolve model addresses, log runs and register model versions. Only this package and `plugins` import MLflow."""

from __future__ import annotations

import os

# MLflow reads the first variable during its import. Values that the user has set stay.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from synthcxr.registry.model_address import ResolvedModel, resolve_model  # noqa: E402

__all__ = ["ResolvedModel", "resolve_model"]
