"""`synthcxr models`: one thin command per verb, as in cli.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from synthcxr.cli.group import Verbs
from synthcxr.cli.options import json_option, path_option, say


@click.group(cls=Verbs)
def models() -> None:
    """Registered models: what there is, where each came from, which is champion."""


@models.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Every registered version and its aliases."""
    from synthcxr.stages import models as stage

    rows = stage.list_models()
    phantom = {True: "drawn phantoms", False: ""}
    lines = [
        "  ".join(filter(None, (row.address, ",".join(row.aliases), row.created, phantom[row.phantom], row.why)))
        for row in rows
    ]
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
    from synthcxr.stages import add_starter as stage

    added = stage.add(experiment)
    lines = [f"{name}: version {version}" for name, version in added.versions.items()]
    say(lines, dataclasses.asdict(added), as_json)


@models.command()
@click.argument("address", required=False)
def card(address: str | None) -> None:
    """The card of a model: its data, evidence and limits."""
    from synthcxr.stages import models as stage

    say([stage.show(address).card.rstrip()], None, as_json=False)


@models.command()
@click.argument("candidate", required=False)
@click.argument("champion", required=False)
@json_option
def compare(candidate: str | None, champion: str | None, as_json: bool) -> None:
    """The figures of two versions, CANDIDATE and CHAMPION by default, with their intervals."""
    from synthcxr.stages import promote as stage

    rows = stage.compare(candidate, champion)
    lines = [f"{row.metric}  {row.candidate or '-'}  {row.champion or '-'}  {row.finding}" for row in rows]
    say(lines or ["no figure of either has an interval"], [dataclasses.asdict(row) for row in rows], as_json)


@models.command()
@click.argument("address", required=False)
@click.option("--force", is_flag=True, help="Pass over the evidence; needs --reason.")
@click.option("--reason", default="", help="Why it is forced: recorded with the version.")
@json_option
def promote(address: str | None, force: bool, reason: str, as_json: bool) -> None:
    """Make a version champion, the candidate by default.

    Its gates must have passed, and nothing may be worse than the champion's beyond the intervals; else exit 1.
    """
    from synthcxr.stages import promote as stage

    _say_outcome(stage.promote(address, force=force, reason=reason), as_json)


@models.command()
@click.option("--reason", default="", help="Why: recorded with the version.")
@json_option
def rollback(reason: str, as_json: bool) -> None:
    """Make the version champion again that the present one replaced."""
    from synthcxr.stages import promote as stage

    _say_outcome(stage.rollback(reason), as_json)


@models.command()
@click.argument("image")
@json_option
def lineage(image: str, as_json: bool) -> None:
    """What made an image, IMAGE such as data/synthetic/metadata.csv:17: models, films, code, parameters."""
    from synthcxr.stages import lineage as stage

    found = stage.run(image)
    say(stage.lines(found), found, as_json)


def _say_outcome(outcome: Any, as_json: bool) -> None:
    before = f", before it version {outcome.before}" if outcome.before not in ("", outcome.champion) else ""
    told = f"champion: version {outcome.champion}{before} ({outcome.decision}: {outcome.why})"
    say([told, *outcome.mended], outcome, as_json)
