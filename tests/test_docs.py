"""The walk of docs/mlops.md: every command of its blocks runs, one after another, on a few phantoms."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_pipeline import ROOT, write_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def blocks(page: Path) -> list[str]:
    """What a reader is told to type, block by block."""
    return re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_walk_of_mlops(tmp_path: Path) -> None:
    """Each block ends well where the one before left off; the parameters are made small once the project is there."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    names = {"GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@t"}
    environment = os.environ | names | {"PATH": path, "DVC_NO_ANALYTICS": "1"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    said = []
    where = tmp_path
    for number, block in enumerate(blocks(ROOT / "docs" / "mlops.md")):
        script = f'set -e\n{block}\necho; echo "$PWD"; echo "$MLFLOW_TRACKING_URI"'
        done = subprocess.run(
            ["bash", "-c", script], cwd=where, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        *lines, folder, uri = done.stdout.split("\n")[:-1]
        said.append("\n".join(lines))
        where = Path(folder)
        environment |= {"MLFLOW_TRACKING_URI": uri} if uri else {}
        if number == 0:
            write_params(where / "params.yaml", worst=1e9)
    walk = "\n".join(said)
    for expected in ("Running stage 'train_gan'", "quick", "results/summary.json", "ok     every film has a name"):
        assert expected in walk
