"""Commands for a project around a user's own films: start it, check it, keep its lock file up to date."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import cloup

from synthcxr.cli.exit_codes import Command
from synthcxr.cli.extension_choice import ExtensionChoice
from synthcxr.cli.options import json_option, path_option, print_result, print_to_stderr
from synthcxr.errors import ConfigError, GateError
from synthcxr.project.extensions import READERS


@cloup.command(cls=Command)
@cloup.argument("folder", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the project.")
@cloup.option(
    "--profile",
    metavar="NAME",
    help="Complete parameter file: phantom (drawn phantoms, no films), smoke (32 px, tests the pipeline on your films"
    " in minutes), nih-64 (64 px, trains on a CPU), starter (128 px, as the starter model), or nih-1024 (1024 px, the"
    " schedule of the paper).",
)
@path_option("--source", None, "Folder of your raw films: NIH, CheXpert, DICOM, or a folder of labelled images.")
@cloup.option("--films", "earlier_source", type=click.Path(path_type=Path), hidden=True, help="The former --source.")
@cloup.option(
    "--reader",
    type=ExtensionChoice(READERS, ("nih", "chexpert", "mimic", "dicom", "folder")),
    help="Layout of --source.  [default: detected]",
)
@cloup.option(
    "--ci",
    type=click.Choice(["github", "gitlab"]),
    help="Add a CI file that runs the pipeline for each pull or merge request and posts the metrics.",
)
@cloup.option(
    "--upgrade", is_flag=True, help="Print what the installed version changes in an existing project; write nothing."
)
@json_option
def init(
    folder: Path, profile: str | None, source: Path | None, earlier_source: Path | None, reader: str | None,
    ci: str | None, upgrade: bool, as_json: bool,
) -> None:  # fmt: skip
    """Start a project around your own films.

    Makes DIR a git and DVC repository with the pipeline and its parameters. If DIR already has a dvc.yaml, the stages
    are added to it. No file is overwritten.
    """
    if upgrade:
        from synthcxr.stages import upgrade as upgrade_stage

        changes = list(upgrade_stage.run(folder))
        print_result(changes, changes, as_json)
        return
    if profile is None:
        raise ConfigError("missing option --profile: phantom, smoke, nih-64, starter or nih-1024")
    if earlier_source is not None:
        click.echo("warning: `init --films` is now `init --source`; --films will be removed", err=True)
        source = source or earlier_source
    if reader is not None and source is None:
        raise ConfigError("--reader needs --source: the folder of the films that it reads")
    if source is not None and not source.is_dir():  # before the imports, which may need packages to install
        raise ConfigError(f"{source}: no such folder")
    from synthcxr.api import projects

    print_to_stderr(f"creating the project in {folder}: takes seconds")
    project = projects.create_project(folder=folder, profile=profile, source=source, reader=reader, ci=ci)
    films = f"reader: {project.reader}, for {project.films}" if project.reader else "reader: phantom, which draws films"
    lines = [f"wrote {path}" for path in project.written] + [f"added lines to {path}" for path in project.added_to]
    if project.left_out:
        lines.append(f"not added to dvc.yaml, which already has its own: {', '.join(project.left_out)}")
    print_result([films, *lines, "next commands:", *(f"  {line}" for line in project.commands)], project, as_json)


@cloup.command(cls=Command)
@json_option
def doctor(as_json: bool) -> None:
    """Check the installation and this folder, and say what to fix.

    Checks package versions, ONNX providers, GPU, disk space, registry, DVC remote and weight files. Exits with code 1
    if something needs fixing.
    """
    from synthcxr.stages import doctor as stage

    findings = []
    for finding in stage.run(folder=Path()):
        findings.append(finding)
        if not as_json:
            click.echo(str(finding))
    if as_json:
        print_result([], [dataclasses.asdict(finding) for finding in findings], as_json)
    to_fix = [finding.name for finding in findings if finding.state == "TO DO"]
    if to_fix:
        raise GateError(f"needs fixing: {', '.join(to_fix)}")


@cloup.command(cls=Command, hidden=True)
@path_option("--out", "synthcxr.lock", "File of the digests.")
def lock(out: Path) -> None:
    """Update the code digests in synthcxr.lock to the installed version; dvc.yaml runs this."""
    from synthcxr.stages import update_lock as stage

    is_new = not out.exists()
    changed = stage.run(out=out)
    if is_new:
        line = (
            f"{out}: written for the first time, so DVC runs all {len(changed)} stages whose code it describes, except"
            " those whose outputs are in its cache"
        )
    elif changed:
        line = f"{out}: code or an installed extension changed for {', '.join(changed)}; DVC runs these stages again"
    else:
        line = f"{out}: up to date"
    print_result([line], None, as_json=False)
