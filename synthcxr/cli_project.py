"""A project around a user's own films: begun once, kept in step with the installed synthcxr."""

from __future__ import annotations

from pathlib import Path

import click

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


@click.command(hidden=True)
@path_option("--out", "synthcxr.lock", "File of the digests.")
def lock(out: Path) -> None:
    """Bring a project's synthcxr.lock up to the installed version (its dvc.yaml runs this)."""
    from synthcxr.stages import lock as stage

    changed = stage.run(out=out)
    say([f"{out}: changed code: {', '.join(changed)}" if changed else f"{out}: up to date"], None, as_json=False)
