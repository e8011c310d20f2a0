"""synthcxr: synthetic chest X-rays as an MLOps plugin."""

from __future__ import annotations

__version__ = "0.1.0"
