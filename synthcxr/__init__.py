"""synthcxr: synthetic chest X-rays as an MLOps plugin."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_MODULES = {
    "ArtifactError": "synthcxr.errors",
    "ConfigError": "synthcxr.errors",
    "DataError": "synthcxr.errors",
    "FINDINGS": "synthcxr.data.findings",
    "GateError": "synthcxr.errors",
    "NO_FINDING": "synthcxr.data.findings",
    "READERS": "synthcxr.readers",
    "Sampler": "synthcxr.api.sampler",
    "SynthCXRError": "synthcxr.errors",
    "open_film_dataset": "synthcxr.data.film_dataset",
    "resolve_model": "synthcxr.registry",
}
__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import synthcxr` loads no other module."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
