"""What --help shows: every command, grouped, each with a sentence that says what it does."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from support.cli_runner import invoke

from synthcxr.cli.main import main


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands below a group, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))


COMMANDS = dict(walk(main))


def read_sections(text: str) -> dict[str, list[str]]:
    """The first words of the rows under each heading of a help page."""
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"(\S.*):", line):
            sections[heading[1]] = []
        elif sections and (row := re.match(r"  (\S+)", line)):
            sections[list(sections)[-1]].append(row[1].rstrip(","))
    return sections


def test_commands_are_grouped_by_purpose() -> None:
    """`synthcxr --help` groups the commands; within a group they come in the order of use."""
    sections = read_sections(invoke("--help").stdout)
    sections.pop("Options")
    assert sections == {
        "Generate": ["generate", "replay"],
        "Train": ["prepare", "train-classifier", "train-judge", "train-gan", "export", "distill"],
        "Evaluate": ["evaluate", "report", "check", "disturb", "utility"],
        "Registry": ["register", "models"],
        "Reader study": ["reader-study"],
        "Project": ["init", "doctor"],
    }


def test_options_of_generate_are_grouped() -> None:
    """`synthcxr generate --help` groups its options; only --verbose and --help are in no group."""
    sections = read_sections(invoke("generate", "--help").stdout)
    assert list(sections) == [
        "What to generate",
        "How",
        "Where it runs",
        "Output",
        "Checks and evaluation",
        "Other options",
    ]
    assert sections["Other options"] == ["--verbose", "-h"]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_and_option_has_a_sentence(path: tuple[str, ...]) -> None:
    """Each help text starts with a capital letter or an option's value and ends with a full stop or a default."""
    command = COMMANDS[path]
    assert re.fullmatch(r"[A-Z].*\.", " ".join((command.help or "").split())) or "torchrun" in (command.help or "")
    for parameter in command.params:
        text = getattr(parameter, "help", None)
        assert text, f"{path}: {parameter.name} has no help"
        assert re.search(r"[.\]]$", text), f"{path}: {parameter.name}: {text}"


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_one_option_per_thing(path: tuple[str, ...]) -> None:
    """A path that several commands take has the same option everywhere."""
    options = {name for parameter in COMMANDS[path].params for name in parameter.opts}
    assert not options & {"--data", "--reference", "--with-films", "--real", "--synthetic"}
    assert not [parameter for parameter in COMMANDS[path].params if parameter.name == "dataset" and not parameter.opts]


def test_python_m_is_the_same_program() -> None:
    """`python -m synthcxr` uses the name synthcxr."""
    process = subprocess.run(
        [sys.executable, "-m", "synthcxr", "--version"], capture_output=True, text=True, check=True
    )
    assert process.stdout.startswith("synthcxr ")
