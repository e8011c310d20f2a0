"""synthcxr.lock: an upgrade names the stages whose code changed."""

from __future__ import annotations

from pathlib import Path

from synthcxr.project import import_closure
from synthcxr.stages import update_lock


def test_written_once_and_then_up_to_date(tmp_path: Path) -> None:
    """The first run names every stage, the second none, and the bytes stay."""
    out = tmp_path / "synthcxr.lock"
    assert update_lock.run(out=out) == tuple(import_closure.STAGES)
    before = out.read_bytes()
    assert update_lock.run(out=out) == ()
    assert out.read_bytes() == before


def test_an_upgrade_names_what_changed(tmp_path: Path) -> None:
    """Another digest of one stage, as an older version would have left it, names that stage alone."""
    out = tmp_path / "synthcxr.lock"
    update_lock.run(out=out)
    digest = import_closure.digest(import_closure.STAGES["export"])
    out.write_text(out.read_text().replace(f"export: '{digest}'", "export: '0123456789abcdef'"))
    assert update_lock.run(out=out) == ("export",)
