"""A complete run.json, as `generate` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def build_run(
    n: int = 1,
    *,
    model: Mapping[str, Any] | None = None,
    request: Mapping[str, Any] | None = None,
    counts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """The run.json of `n` images that were accepted at once, with changes to its parts."""
    run = {
        "model": {
            "name": "models/onnx",
            "digests": {"generator": "ab" * 32, "classifier": "cd" * 32},
            "training_data": "0" * 16,
            "phantom": False,
            "resolution": 64,
            **(model or {}),
        },
        "request": {"n": n, "seed": 1, "labels": [], "max_draws": n, "batch": 32, **(request or {})},
        "counts": {"requested": n, "found": n, "draws": n, "acceptance_rate": 1.0, **(counts or {})},
        "complete": True,
        "format": "png",
        "provider": "CPUExecutionProvider",
        "threads": 1,
        "versions": {},
    }
    return run | changes
