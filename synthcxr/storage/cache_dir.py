"""The user's cache folder, for downloads that every project shares."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SYNTHCXR_CACHE"


def cache_dir() -> Path:
    """$SYNTHCXR_CACHE, else $XDG_CACHE_HOME/synthcxr, else ~/.cache/synthcxr. The folder may not exist yet."""
    if folder := os.environ.get(VARIABLE):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "synthcxr"
