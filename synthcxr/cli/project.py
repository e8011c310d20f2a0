"""A project around a user's own films: begun once, kept in step with the installed synthcxr."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from synthcxr.cli.options import json_option, path_option, say
from synthcxr.errors import GateError


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--profile", help="phantom, nih-64 (small, for a CPU), starter or nih-1024 (the paper's schedule).")
@path_option("--films", None, "Folder of your films: NIH, CheXpert, DICOM, or a folder or table of labelled images.")
@click.option("--format", "reader", help="Reader of the films: nih, chexpert, dicom, folder.  [default: recognised]")
@click.option("--ci", type=click.Choice(["github", "gitlab"]), help="Add a CI file that posts the metrics table.")
@click.option("--upgrade", is_flag=True, help="Say what the installed version changes about a project; write nothing.")
@json_option
def init(
    folder: Path, profile: str | None, films: Path | None, reader: str | None, ci: str | None, upgrade: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Start a project around your own films.

    DIR becomes a git and DVC project with the pipeline and a profile of its parameters; in a DVC project the stages
    are added to its own. Nothing is overwritten.
    """
    if upgrade:
        from synthcxr.stages import upgrade as changes

        lines = list(changes.run(folder))
        say(lines, lines, as_json)
        return
    if profile is None:
        raise click.UsageError("Missing option '--profile'.")
    if reader is not None and films is None:
        raise click.UsageError("--format needs --films: the folder of films that it reads")
    from synthcxr.stages import check
    from synthcxr.stages import init as stage

    made = stage.run(folder=folder, profile=profile, films=films, reader=reader, ci=ci, suites=check.texts())
    took = f"reader: {made.reader}, for {made.films}" if made.reader else "reader: phantom, which draws its films"
    wrote = [f"wrote {path}" for path in made.written] + [f"added lines to {path}" for path in made.added_to]
    wrote += [f"left out of dvc.yaml, which has its own: {', '.join(made.left_out)}"] if made.left_out else []
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
    from synthcxr.stages import update_lock as stage

    changed = stage.run(out=out)
    say([f"{out}: changed code: {', '.join(changed)}" if changed else f"{out}: up to date"], None, as_json=False)
