"""The user's cache folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthcxr.storage.cache_dir import cache_dir


def test_the_environment_names_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """SYNTHCXR_CACHE comes before XDG_CACHE_HOME, and ~/.cache last."""
    monkeypatch.setenv("HOME", "/home/user")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("SYNTHCXR_CACHE", "/own")
    assert cache_dir() == Path("/own")
    monkeypatch.delenv("SYNTHCXR_CACHE")
    assert cache_dir() == Path("/xdg/synthcxr")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path("/home/user/.cache/synthcxr")
