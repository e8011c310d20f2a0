"""`synthcxr models`: one thin command per verb, as in cli.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from synthcxr.options import json_option, path_option, say
from synthcxr.verbs import Verbs


@click.group(cls=Verbs)
def models() -> None:
    """List, show and pull registered models."""


@models.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Every registered version and its aliases."""
    from synthcxr.stages import models as stage

    rows = stage.list_models()
    lines = ["  ".join(filter(None, (row.address, ",".join(row.aliases), row.created, row.why))) for row in rows]
    if not rows:
        click.echo("nothing is registered here; go to a project's folder, or set MLFLOW_TRACKING_URI", err=True)
    say(lines, [dataclasses.asdict(row) for row in rows], as_json)


@models.command()
@click.argument("address", required=False)
@json_option
def show(address: str | None, as_json: bool) -> None:
    """What a model is, with its card; without ADDRESS the one that `generate` takes."""
    from synthcxr.stages import models as stage

    shown = stage.show(address)
    held = [f"{name}: {c['kind']}, {c['resolution']} px, digest {c['digest']}" for name, c in shown.contracts.items()]
    say([f"model: {shown.name}", f"at {shown.path}", *held, shown.card], shown, as_json)


@models.command()
@click.argument("address", required=False)
@path_option("--out", "models/pulled", "Folder for the copy.")
def pull(address: str | None, out: Path) -> None:
    """Copy a model here, its files verified by digest."""
    from synthcxr.stages import models as stage

    pulled = stage.pull(address, out=out)
    say([f"model: {pulled}", f"at {pulled.path}"], None, as_json=False)


@models.command("add-starter")
@click.option("--experiment", default="synthcxr", show_default=True, help="MLflow experiment to log to.")
@json_option
def add_starter(experiment: str, as_json: bool) -> None:
    """Register the models that ship with synthcxr here.

    They become the candidate, and the champion where there is none.
    """
    from synthcxr.stages import starter as stage

    added = stage.add(experiment)
    lines = [f"{name}: version {version}" for name, version in added.versions.items()]
    say(lines, dataclasses.asdict(added), as_json)
