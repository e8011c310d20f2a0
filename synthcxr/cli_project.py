"""A project around a user's own films: begun once, kept in step with the installed synthcxr."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from synthcxr.errors import GateError
from synthcxr.options import json_option, path_option, say


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--profile", required=True, help="phantom, nih-64 (small, for a CPU), starter or nih-1024 (the paper's schedule)."
)
@path_option("--films", None, "Folder of your films: the NIH release, or a folder or table of labelled images.")
@json_option
def init(folder: Path, profile: str, films: Path | None, as_json: bool) -> None:
    """Start a project around your own films.

    DIR becomes a git and DVC project with the pipeline and a profile of its parameters; nothing is overwritten.
    """
    from synthcxr.stages import init as stage

    made = stage.run(folder=folder, profile=profile, films=films)
    took = f"reader: {made.reader}, for {made.films}" if made.reader else "reader: phantom, which draws its films"
    wrote = [f"wrote {path}" for path in made.written] + [f"added lines to {path}" for path in made.added_to]
    say([took, *wrote, "now type:", *(f"  {line}" for line in made.commands)], made, as_json)


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at machine, install and folder.

    Versions, providers, GPU, disk, registry, DVC remote, weights: each OK, a note, or what to do. Exits 1 where
    something is to do.
    """
    from synthcxr.stages import doctor as stage

    found = []
    for finding in stage.run(folder=Path()):
        found.append(finding)
        if not as_json:
            click.echo(str(finding))
    if as_json:
        say([], [dataclasses.asdict(finding) for finding in found], as_json)
    todo = [finding.name for finding in found if finding.state == "TO DO"]
    if todo:
        raise GateError(f"something is to do about {', '.join(todo)}")


@click.command(hidden=True)
@path_option("--out", "synthcxr.lock", "File of the digests.")
def lock(out: Path) -> None:
    """Bring a project's synthcxr.lock up to the installed version (its dvc.yaml runs this)."""
    from synthcxr.stages import lock as stage

    changed = stage.run(out=out)
    say([f"{out}: changed code: {', '.join(changed)}" if changed else f"{out}: up to date"], None, as_json=False)
