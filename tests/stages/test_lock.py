"""synthcxr.lock: an upgrade names the stages whose code changed."""

from __future__ import annotations

from pathlib import Path

from synthcxr import closure
from synthcxr.stages import lock


def test_written_once_and_then_up_to_date(tmp_path: Path) -> None:
    """The first run names every stage, the second none, and the bytes stay."""
    out = tmp_path / "synthcxr.lock"
    assert lock.run(out=out) == tuple(closure.STAGES)
    before = out.read_bytes()
    assert lock.run(out=out) == ()
    assert out.read_bytes() == before


def test_an_upgrade_names_what_changed(tmp_path: Path) -> None:
    """Another digest of one stage, as an older version would have left it, names that stage alone."""
    out = tmp_path / "synthcxr.lock"
    lock.run(out=out)
    digest = closure.digest(closure.STAGES["export"])
    out.write_text(out.read_text().replace(f"export: '{digest}'", "export: '0123456789abcdef'"))
    assert lock.run(out=out) == ("export",)
