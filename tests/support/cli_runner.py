"""Run the command line of `synthcxr` in this process."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from synthcxr.cli.main import main


def invoke(*arguments: str | Path | int) -> Result:
    """The exit code, stdout and stderr of `synthcxr` with these arguments."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)
