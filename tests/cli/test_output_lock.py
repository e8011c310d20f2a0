"""Every command that writes an output refuses to start while another process writes the same output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.cli_runner import invoke
from support.paths import REPOSITORY
from support.stub_models import write_stub_models

from synthcxr.cli.main import main
from synthcxr.storage.output_lock import lock_output

PARAMS = ("--params", REPOSITORY / "params.yaml")
ARGUMENTS: dict[str, tuple[str | Path, ...]] = {
    "generate": ("--n", "1", "--model", "model", "--device", "cpu"),
    "replay": ("--dataset", "x", "--index", "0", "--model", "model"),
    "prepare": PARAMS,
    "train-classifier": PARAMS,
    "train-judge": PARAMS,
    "train-gan": PARAMS,
    "export": PARAMS,
    "evaluate": (*PARAMS, "--models", "x"),
    "report": PARAMS,
    "disturb": (),
    "utility": PARAMS,
    "register": PARAMS,
    "lock": (),
    "models pull": ("model",),
    "reader-study create": ("--dataset", "x", "--model", "model"),
    "reader-study analyse": ("study",),
}


def list_commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """The commands of a group and of the groups in it, by the words that a user types."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from list_commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


def test_every_command_with_an_output_is_listed() -> None:
    """The cases below are the commands that have the option --out."""
    names = {name for name, command in list_commands(main) if any("--out" in option.opts for option in command.params)}
    assert names == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_locked_output_is_refused(name: str, empty_folder: Path) -> None:
    """The command exits with 2 and one line before it reads its input, and writes nothing."""
    write_stub_models(empty_folder / "model")
    out = empty_folder / "out"
    with lock_output(out):
        before = sorted(empty_folder.rglob("*"))
        result = invoke(*name.split(), *ARGUMENTS[name], "--out", out)
        assert sorted(empty_folder.rglob("*")) == before
    error = f"Error: {out}: another process is writing here; wait for it, or choose another --out"
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, error)
    assert not out.exists()


@pytest.mark.parametrize(("name", "option"), [("distill", "--models"), ("check model", "--docs")])
def test_other_locked_outputs_are_refused(name: str, option: str, empty_folder: Path) -> None:
    """The same holds for outputs that have another option."""
    (empty_folder / "model").mkdir()
    (empty_folder / "model" / "run.json").write_text("{}")
    with lock_output(empty_folder / "out"):
        arguments = PARAMS if name == "distill" else ()
        result = invoke(*name.split(), *arguments, option, empty_folder / "out")
    assert result.exit_code == 2
    assert "another process is writing here" in result.stderr
