"""The commands and the Python code in README.md, CONTRIBUTING.md and docs/ match the command line and the package."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.paths import REPOSITORY

from synthcxr.cli.main import main

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
TASK_TABLE = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")


def find_blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def find_commands(page: Path) -> Iterator[str]:
    """Each synthcxr command in the bash blocks of a page, without comments, pipes and redirections."""
    for block in find_blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
            words.whitespace_split = True
            command: list[str] = []
            for word in [*words, ";"]:
                if not set(word) <= set("&|;<>"):
                    command.append(word)
                    continue
                if command[:1] == ["synthcxr"]:
                    yield shlex.join(command[1:])
                command = []


def parse(command: str) -> None:
    """Parse a command without running it; click raises a ClickException if an option or argument is wrong."""
    group: click.Command = main
    words = shlex.split(command.replace("--format numpy", "--format png"))  # of the package in docs/extend
    while isinstance(group, click.Group):
        if words[0] not in group.commands:
            raise click.UsageError(f"unknown command {words[0]}")
        group = group.commands[words[0]]
        words = words[1:]
    with group.make_context(group.name, words):
        pass


COMMANDS = [(page, command) for page in PAGES for command in find_commands(page)]
CODE = [(page, code) for page in PAGES for code in find_blocks(page, "python")]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=lambda value: getattr(value, "name", value))
def test_each_command_is_valid(page: Path, command: str) -> None:
    """Every command in a bash block exists and accepts its options."""
    parse(command)


@pytest.mark.parametrize(("page", "code"), CODE, ids=lambda value: getattr(value, "name", "code"))
def test_each_python_block_compiles_and_its_imports_exist(page: Path, code: str) -> None:
    """Every Python block compiles, and the names that it imports from synthcxr exist."""
    compile(code, str(page), "exec")
    exec("\n".join(line for line in code.splitlines() if line.startswith("from synthcxr")), {})


def test_each_command_of_the_task_table_is_valid() -> None:
    """Every complete command in the first column of the table in docs/cli.md exists and accepts its options."""
    commands = re.findall(r"`synthcxr ([^`]+)`", TASK_TABLE)
    assert len(commands) > 20
    for command in commands:
        parse(command)


def test_the_generate_page_shows_each_way_to_choose_images() -> None:
    """Every option that decides what is generated has an example in docs/generate.md."""
    commands = [command for page, command in COMMANDS if page.name == "generate.md"]
    for option in ("--label", "--without", "--per-label", "--mix", "--method", "--append", "--engine", "--address"):
        assert any(option in command for command in commands), option


def test_each_environment_variable_is_documented() -> None:
    """docs/install.md lists every SYNTHCXR_* variable that the package reads."""
    page = (REPOSITORY / "docs" / "install.md").read_text(encoding="utf-8")
    for source in (REPOSITORY / "synthcxr").rglob("*.py"):
        for variable in re.findall(r'"(SYNTHCXR_[A-Z0-9_]+)"', source.read_text(encoding="utf-8")):
            assert f"`{variable}`" in page, variable
