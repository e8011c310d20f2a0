"""The blocks of a page, run one after another as a reader would type them: each begins where the last one left off."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

NAMES = {"GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@t"}


def blocks(text: str) -> list[str]:
    """What a reader of Markdown is told to type, or to run in Python, as shell, block by block."""
    found = re.findall(r"^```(bash|python)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [code if language == "bash" else f"python - <<'END'\n{code}END\n" for language, code in found]


class Walk:
    """A shell's folder and environment, from block to block."""

    def __init__(self, folder: Path, **variables: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        held = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
        self.folder, self.said = folder, ""
        self.environment = held | NAMES | {"PATH": path, "DVC_NO_ANALYTICS": "1"} | variables

    def type(self, block: str) -> str:
        """What a block prints, both streams; every command of it must succeed. It hands on its functions too."""
        left = self.folder / ".left"
        script = f"set -ea\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{block}\necho\npwd\nenv -0 > '{left}'\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        said, folder = done.stdout.removesuffix("\n").rsplit("\n", 1)
        pairs = (entry.partition("=") for entry in left.read_text().split("\0") if entry)
        self.environment = {name: value for name, _, value in pairs}
        left.unlink()
        self.folder = Path(folder)
        self.said += f"{said}\n{done.stderr}"
        return f"{said}\n{done.stderr}"
