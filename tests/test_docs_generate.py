"""The commands of docs/generate.md are commands: every flag is known and takes what it is given."""

from __future__ import annotations

import re
import shlex

import pytest
from support.paths import REPOSITORY

from synthcxr.cli.main import main

PAGE = (REPOSITORY / "docs" / "generate.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^synthcxr (.+)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_the_page(line: str) -> None:
    """Parsed as the shell would hand it over, without being run."""
    verb, *arguments = shlex.split(line)
    with main.commands[verb].make_context(verb, arguments) as context:
        assert context.params


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL))
def test_the_python_of_the_page(code: str) -> None:
    """It compiles, and its imports are there."""
    compile(code, "docs/generate.md", "exec")
    exec("\n".join(line for line in code.splitlines() if line.startswith("from ")), {})


def test_the_page_shows_each_way() -> None:
    """Every option that decides what is made has an example."""
    for flag in ("--label", "--without", "--per-label", "--mix", "--method", "--append", "--engine", "--address"):
        assert any(flag in command for command in COMMANDS), flag
