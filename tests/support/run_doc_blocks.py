"""Run the code blocks of a documentation page in order, each in the folder and environment that the last one left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

_GIT_AUTHOR = {
    "GIT_AUTHOR_NAME": "T",
    "GIT_AUTHOR_EMAIL": "t@t",
    "GIT_COMMITTER_NAME": "T",
    "GIT_COMMITTER_EMAIL": "t@t",
}


def find_blocks(text: str) -> list[str]:
    """The bash and Python blocks of a Markdown text, as bash."""
    return [to_bash(language, code) for language, code, _ in find_blocks_with_output(text)]


def find_blocks_with_output(text: str) -> list[tuple[str, str, str]]:
    """The language and code of each bash or Python block, with the text block that follows it directly, or ""."""
    pattern = r"^```(bash|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```)?"
    blocks = re.findall(pattern, text, flags=re.DOTALL | re.MULTILINE)
    return [(language, code, output) for language, code, output in blocks]


def to_bash(language: str, code: str) -> str:
    """A block as bash code."""
    return code if language == "bash" else f"python - <<'END'\n{code}END\n"


class DocSession:
    """Runs blocks one after another. `output` is what they have printed so far, both streams."""

    def __init__(self, folder: Path, **variables: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_TRACKING")}
        self.folder, self.output = folder, ""
        self.environment = inherited | _GIT_AUTHOR | {"PATH": path, "DVC_NO_ANALYTICS": "1"} | variables

    def run(self, block: str) -> str:
        """Run a block and return what it prints, both streams; AssertionError if one of its commands fails.

        The next block starts in the same folder, with the same variables and functions.
        """
        environment_file = self.folder / ".environment"
        stop_jobs = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT"
        script = f"set -ea\n{stop_jobs}\n{block}\necho\npwd\nenv -0 > '{environment_file}'\n"
        process = subprocess.run(
            ["bash", "-c", script], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, f"{block}\n{process.stdout}\n{process.stderr}"
        stdout, folder = process.stdout.removesuffix("\n").rsplit("\n", 1)
        entries = (entry.partition("=") for entry in environment_file.read_text().split("\0") if entry)
        self.environment = {name: value for name, _, value in entries}
        environment_file.unlink()
        self.folder = Path(folder)
        output = f"{stdout}\n{process.stderr}"
        self.output += output
        return output
