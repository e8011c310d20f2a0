"""`synthcxr init --upgrade`: what the installed version changes in an older project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.cli_runner import invoke
from support.file_digests import digest_files

from synthcxr.errors import DataError
from synthcxr.project import import_closure
from synthcxr.stages import init, upgrade


def test_a_folder_without_a_lock_is_refused(tmp_path: Path) -> None:
    """A folder that is not a project is an error that says how to start one."""
    with pytest.raises(DataError, match=r"contains no synthcxr\.lock"):
        list(upgrade.run(tmp_path))


@pytest.mark.slow
def test_each_difference_is_a_line(tmp_path: Path) -> None:
    """A new project has none; an older one has a line for each stage, command and parameter that differs.

    Nothing is written.
    """
    folder = tmp_path / "project"
    init.run(folder=folder, profile="phantom", source=None)
    assert [line.split(":")[0] for line in upgrade.run(folder)] == ["version", "code"]

    lock = (folder / "synthcxr.lock").read_text()
    lock = lock.replace(import_closure.compute_digest(import_closure.STAGE_MODULES["report"]), "0123456789abcdef")
    (folder / "synthcxr.lock").write_text(re.sub("version: .*", "version: '0.0.1'", lock))
    pipeline = (folder / "dvc.yaml").read_text()
    (folder / "dvc.yaml").write_text(pipeline.replace("synthcxr distill --models", "synthcxr distil --models"))
    params = (folder / "params.yaml").read_text()
    params = params.replace("  n_val_distance: 0\n", "").replace("  fp16: true\n", "  fp16: true\n  half: true\n")
    (folder / "params.yaml").write_text(params)
    before = digest_files(tmp_path)
    lines = invoke("init", folder, "--upgrade").output
    assert digest_files(tmp_path) == before
    assert "version: the project was made by 0.0.1" in lines
    assert "code: changed for report;" in lines
    assert "dvc.yaml: distill.cmd is now 'synthcxr distill" in lines
    assert "params.yaml: train_gan.n_val_distance is new; the default profile has 0" in lines
    assert "params.yaml: export.half is no longer known" in lines
