"""Model addresses in, runs and model versions out; with plugins/ the only place that imports MLflow."""

from __future__ import annotations

import os

# MLflow reads the first while it is imported; what the user has set stands.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

from synthcxr.registry.model_address import Resolved, resolve  # noqa: E402

__all__ = ["Resolved", "resolve"]
