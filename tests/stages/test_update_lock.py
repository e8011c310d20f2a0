"""Updating synthcxr.lock."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthcxr.project import import_closure
from synthcxr.stages import update_lock


@pytest.mark.slow
def test_the_lock_is_written_once(tmp_path: Path) -> None:
    """The first run returns every stage; the second returns none and leaves the bytes as they are."""
    out = tmp_path / "synthcxr.lock"
    assert update_lock.run(out=out) == tuple(import_closure.STAGE_MODULES)
    before = out.read_bytes()
    assert update_lock.run(out=out) == ()
    assert out.read_bytes() == before


@pytest.mark.slow
def test_a_changed_digest_names_its_stage(tmp_path: Path) -> None:
    """A lock file with another digest of one stage, as of another version, returns that stage."""
    out = tmp_path / "synthcxr.lock"
    update_lock.run(out=out)
    digest = import_closure.compute_digest(import_closure.STAGE_MODULES["export"])
    out.write_text(out.read_text().replace(f"export: '{digest}'", "export: '0123456789abcdef'"))
    assert update_lock.run(out=out) == ("export",)
