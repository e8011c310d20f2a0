"""What the commands share: options, reading the parameter file, printing a result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import cloup

from synthcxr.errors import ConfigError
from synthcxr.storage.line_clock import LINE_CLOCK

if TYPE_CHECKING:
    from synthcxr.config.schema import Config

F = TypeVar("F", bound=Callable[..., Any])


def path_option(name: str, default: str | None, text: str, *, required: bool = False) -> Callable[[F], F]:
    """An option that takes a path; `text` is its help."""
    return cloup.option(
        name,
        type=click.Path(path_type=Path),
        default=default,
        required=required,
        show_default=default is not None,
        help=text,
    )


params_option = path_option("--params", "params.yaml", "Parameter file.")
evaluation_params_option = path_option(
    "--params", None, "Parameter file.  [default: params.yaml in a project, elsewhere that of the starter model]"
)
films_option = path_option("--films", "data/cxr", "Packed real films, written by `synthcxr prepare`.")
dataset_option = path_option("--dataset", "data/synthetic", "Synthetic dataset, written by `synthcxr generate`.")
device_option = cloup.option(
    "--device",
    type=click.Choice(["auto", "cuda", "cpu"]),
    default="auto",
    show_default=True,
    help="Device; auto uses a GPU if there is one.",
)
address_option = cloup.option(
    "--address", metavar="URL", help="Address of a running Ray cluster.  [default: start Ray on this machine]"
)
workers_option = cloup.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of Ray processes.  [default: one per core, or per GPU]",
)
json_option = cloup.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
record_option = cloup.option(
    "--record", is_flag=True, help="Exit with code 0 when a gate fails; the results still record the failure."
)


def engine_option(text: str) -> Callable[[F], F]:
    """The option --engine, whose help begins with `text`; --address and --workers belong to it."""
    return cloup.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help=f"{text}: local is this process, ray the processes of a Ray cluster.",
    )


def check_engine_options(engine: str, address: str | None, workers: int | None) -> None:
    """Raise ConfigError for options of Ray without --engine ray."""
    if engine == "local" and (address or workers):
        raise ConfigError("--address and --workers need --engine ray")


def seed_option(text: str, *, default: int | None = 0) -> Callable[[F], F]:
    """The option --seed; `text` is its help."""
    return cloup.option(
        "--seed",
        type=click.IntRange(min=0),
        metavar="N",
        default=default,
        show_default=default is not None,
        help=text,
    )


def load_config(params: Path) -> Config:
    """All parameters. Commands call this before they import a stage, so that a mistake in the file shows at once."""
    from synthcxr.config import schema

    return schema.load_config(params)


def load_evaluation_config(params: Path | None) -> Config:
    """The parameters for evaluating a dataset: those of `params`, of the project in this folder, or of the starter.

    A message says which: those of a project do not suit the images of the starter model.
    """
    from synthcxr.project.packaged_files import STARTER_PARAMS, find_evaluation_params

    path = find_evaluation_params(params)
    config = load_config(path)
    print_to_stderr(
        f"parameters: {'those of the starter model' if params is None and path.name == STARTER_PARAMS else path}"
    )
    return config


def print_to_stderr(line: str) -> None:
    """Print a message that is no result; the next line of progress waits as after one of its own."""
    click.echo(line, err=True)
    LINE_CLOCK.note_line()


def print_result(lines: Iterable[str], result: Any, as_json: bool) -> None:
    """Print a result on stdout, as lines or as JSON."""
    if as_json:
        fields = dataclasses.asdict(result) if dataclasses.is_dataclass(result) else result  # type: ignore[arg-type]
        lines = [json.dumps(fields, indent=2, default=str)]
    for line in lines:
        click.echo(line)
