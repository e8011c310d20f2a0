"""What the commands share: options, reading the parameter file, printing a result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from synthcxr.config.schema import Config

F = TypeVar("F", bound=Callable[..., Any])


def path_option(name: str, default: str | None, about: str, *, required: bool = False) -> Callable[[F], F]:
    """An option that takes a path."""
    kind = click.Path(path_type=Path)
    shown = default is not None
    return click.option(name, type=kind, default=default, required=required, show_default=shown, help=about)


params_option = path_option("--params", "params.yaml", "Parameter file.")
judging_option = path_option(
    "--params", None, "Parameter file.  [default: params.yaml of a project, elsewhere the starter's]"
)
data_option = path_option("--data", "data/cxr", "Packed films, of `prepare`.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
record_option = click.option(
    "--record", is_flag=True, help="Exit 0 when a gate fails: the verdict is written, not raised."
)


def load_config(params: Path) -> Config:
    """All parameters. Commands call this before they import their stage: a mistake in the file is known at once."""
    from synthcxr.config import schema

    return schema.load(params)


def judging_config(params: Path | None) -> Config:
    """The parameters to judge a dataset by, as `bundled.judging_params` finds them."""
    from synthcxr.project import packaged_files

    return load_config(packaged_files.judging_params(params))


def say(lines: Iterable[str], result: Any, as_json: bool) -> None:
    """Print a result on stdout: in lines, or itself as JSON."""
    if as_json:
        fields = dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result  # type: ignore[arg-type]
        lines = [json.dumps(fields, indent=2, default=str)]
    for line in lines:
        click.echo(line)


def scalars(where: Path, fields: dict[str, Any]) -> list[str]:
    """One line a plain value of a result, under the path that holds all of it."""
    plain = {name: value for name, value in fields.items() if isinstance(value, str | int | float)}
    return [
        str(where),
        *(f"  {name}: {value:g}" if type(value) is float else f"  {name}: {value}" for name, value in plain.items()),
    ]
