"""`synthcxr models`: look up and change what is registered."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import cloup

from synthcxr.cli.exit_codes import CommandGroup
from synthcxr.cli.options import json_option, path_option, print_result, print_to_stderr

if TYPE_CHECKING:
    from synthcxr.registry.promotion import PromotionOutcome

ADDRESS_HELP = "Folder, .onnx file, models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/PATH."
DEFAULT_ADDRESS = "[default: the champion of the registry here, else the starter model]"

LOOK_UP = cloup.Section("Look up")
CHANGE = cloup.Section("Change")

address_argument = cloup.argument("address", required=False, help=f"{ADDRESS_HELP}  {DEFAULT_ADDRESS}")


@cloup.group(cls=CommandGroup)
def models() -> None:
    """List, compare, promote and copy registered models."""


@models.command("list", section=LOOK_UP)
@json_option
def list_(as_json: bool) -> None:
    """List the registered versions with their aliases and the outcome of their gates."""
    from synthcxr.stages import models as stage

    rows = stage.list_models()
    if not any(row.address.startswith("models:/") for row in rows):
        print_to_stderr("no model is registered here; run this in a project folder, or set MLFLOW_TRACKING_URI")
    print_result([row.format_line() for row in rows], [dataclasses.asdict(row) for row in rows], as_json)


@models.command(section=LOOK_UP)
@address_argument
@json_option
def show(address: str | None, as_json: bool) -> None:
    """Show the files of a model with their size and digest, and its model card."""
    from synthcxr.stages import models as stage

    model = stage.show(address)
    files = [
        f"{name}: {fields['kind']}, {fields['resolution']} px, digest {fields['digest']}"
        for name, fields in model.metadata.items()
    ]
    print_result([f"model: {model.name}", f"path: {model.path}", *files, model.card], model.as_dict(), as_json)


@models.command(section=LOOK_UP)
@address_argument
def card(address: str | None) -> None:
    """Print the model card: training data, evaluation results and limits."""
    from synthcxr.stages import models as stage

    print_result([stage.show(address).card.rstrip()], None, as_json=False)


@models.command(section=LOOK_UP)
@cloup.argument(
    "candidate", required=False, help="Version number or alias, such as 3 or @candidate.  [default: @candidate]"
)
@cloup.argument("champion", required=False, help="Version number or alias to compare with.  [default: @champion]")
@json_option
def compare(candidate: str | None, champion: str | None, as_json: bool) -> None:
    """Compare the metrics of two registered versions, with their 95 % confidence intervals."""
    from synthcxr.stages import promote as stage

    rows = stage.compare(candidate, champion)
    lines = [f"{row.metric}  {row.candidate or '-'}  {row.champion or '-'}  {row.result}" for row in rows]
    nothing = "nothing to compare: neither version has a metric with a confidence interval"
    print_result(lines or [nothing], [row.as_dict() for row in rows], as_json)


@models.command(section=LOOK_UP)
@cloup.argument("image", help="Line of the image in metadata.csv, such as data/synthetic/metadata.csv:17.")
@json_option
def lineage(image: str, as_json: bool) -> None:
    """Trace a generated image to its model, training films, code revision and parameters."""
    from synthcxr.stages import lineage as stage

    traced = stage.run(image)
    print_result(stage.format_lines(traced), traced.as_dict(), as_json)


@models.command(section=CHANGE)
@address_argument
@path_option("--out", "models/pulled", "Folder of the copy.")
def pull(address: str | None, out: Path) -> None:
    """Copy a model to a folder and verify the digest of each file."""
    from synthcxr.stages import models as stage

    pulled = stage.pull(address, out=out)
    print_result([f"model: {pulled}", f"path: {pulled.path}"], None, as_json=False)


@models.command("add-starter", section=CHANGE)
@cloup.option("--experiment", default="synthcxr", show_default=True, help="MLflow experiment of the run.")
@json_option
def add_starter(experiment: str, as_json: bool) -> None:
    """Register the starter models, which ship with synthcxr, in the registry of this folder.

    The new version becomes the candidate version, and also the champion if there is none.
    """
    from synthcxr.stages import add_starter as stage

    added = stage.run(experiment)
    lines = [f"{name}: version {version}" for name, version in added.versions.items()]
    print_result(lines, dataclasses.asdict(added), as_json)


@models.command(section=CHANGE)
@cloup.argument("address", required=False, help="Version number or alias to promote.  [default: @candidate]")
@cloup.option("--force", is_flag=True, help="Promote even if a gate failed or a metric is worse; needs --reason.")
@cloup.option("--reason", default="", help="Reason for --force; stored with the version.")
@json_option
def promote(address: str | None, force: bool, reason: str, as_json: bool) -> None:
    """Make a version the champion.

    Its gates must have passed, and no metric may be worse than the champion's beyond the confidence intervals.
    Otherwise the champion stays and the exit code is 1.
    """
    from synthcxr.stages import promote as stage

    _print_outcome(stage.promote(address, force=force, reason=reason), as_json)


@models.command(section=CHANGE)
@cloup.option("--reason", default="", help="Reason; stored with the version.")
@json_option
def rollback(reason: str, as_json: bool) -> None:
    """Make the previous champion the champion again."""
    from synthcxr.stages import promote as stage

    _print_outcome(stage.rollback(reason), as_json)


def _print_outcome(outcome: PromotionOutcome, as_json: bool) -> None:
    version = outcome.previous_champion
    previous = f", previously version {version}" if version not in ("", outcome.champion) else ""
    line = f"champion: version {outcome.champion}{previous} ({outcome.decision}: {outcome.why})"
    print_result([line, *outcome.moved_aliases], outcome.as_dict(), as_json)
