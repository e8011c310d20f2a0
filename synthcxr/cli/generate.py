"""`synthcxr generate`, and `synthcxr replay`, which regenerates one image."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup
from click.core import ParameterSource

from synthcxr.cli import generate_request
from synthcxr.cli.exit_codes import Command, OneLineUsageError
from synthcxr.cli.extension_choice import ExtensionChoice
from synthcxr.cli.options import (
    address_option,
    check_engine_options,
    engine_option,
    json_option,
    load_evaluation_config,
    path_option,
    print_result,
    print_to_stderr,
    seed_option,
    workers_option,
)
from synthcxr.cli.quality import print_verdict
from synthcxr.errors import ConfigError, GateError
from synthcxr.project.extensions import WRITERS

if TYPE_CHECKING:
    from synthcxr.api.datasets import EngineName
    from synthcxr.registry import ResolvedModel

EXAMPLES = """\
  synthcxr generate --n 100
  synthcxr generate --n 100 --label Cardiomegaly
  synthcxr generate --per-label 50 --out balanced"""


@cloup.command(cls=Command)
@cloup.option_group(
    "What to generate",
    cloup.option("--n", type=click.IntRange(min=1), metavar="N", help="Number of images."),
    seed_option("Seed; the same seed gives the same images.  [default: 0]", default=None),
    cloup.option(
        "--label", "labels", multiple=True, metavar="FINDING", help="Finding that every image shows; repeatable."
    ),
    cloup.option("--without", multiple=True, metavar="FINDING", help="Finding that no image shows; repeatable."),
    cloup.option("--only", is_flag=True, help="Images show the findings of --label and none of the others."),
    cloup.option(
        "--per-label",
        type=click.IntRange(min=1),
        metavar="N",
        help="Number of images for each --label; without --label, for each of the 14 findings.",
    ),
    cloup.option(
        "--mix",
        metavar="nih|CSV",
        help="Combine findings in the proportions of the NIH films, or of a CSV file with the columns Finding Labels"
        " and share.",
    ),
    cloup.option(
        "--view",
        type=click.Choice(["PA", "AP"]),
        help="View of every image; needs a generator that was trained with views.",
    ),
    cloup.option(
        "--sex",
        type=click.Choice(["F", "M"]),
        help="Sex that every image shows; needs a generator that was trained with sexes.",
    ),
    cloup.option(
        "--age", metavar="YEARS", help="Age or range of ages, such as 60-70; needs a generator trained with ages."
    ),
    cloup.option(
        "--list-labels", is_flag=True, help="Print how often the model generates each finding; generate no dataset."
    ),
)
@cloup.option_group(
    "How",
    cloup.option(
        "--model",
        metavar="ADDRESS",
        help="Folder, .onnx file, models:/NAME@ALIAS, models:/NAME/VERSION or runs:/ID/PATH.  [default: the champion of"
        " the registry here, else the starter model]",
    ),
    path_option("--params", None, "Parameter file; its section `generate` sets the options that you do not give."),
    cloup.option(
        "--method",
        type=click.Choice(["auto", "conditional", "guided", "reject", "optimise"]),
        help="How to find images with the requested findings: conditional tells them to a conditional generator; reject"
        " draws at random; guided moves latents towards where the proposal network (see `synthcxr distill`) predicts"
        " the findings, as far as images keep their variety; optimise moves latents along the gradient of the"
        " classifier and needs PyTorch.  [default: conditional if the generator is, else guided if the model has a"
        " proposal network and variety is kept, else reject]",
    ),
    cloup.option(
        "--max-draws",
        type=click.IntRange(min=1),
        metavar="N",
        help="Largest number of candidates.  [default: 500 per image and at least 1,000; --n if every"
        " candidate is accepted]",
    ),
    cloup.option(
        "--batch", type=click.IntRange(min=1), metavar="N", help="Number of candidates per batch.  [default: 32]"
    ),
)
@cloup.option_group(
    "Where it runs",
    cloup.option(
        "--device",
        type=click.Choice(["auto", "cuda", "cpu"]),
        help="Device; auto uses a GPU if there is one.  [default: auto]",
    ),
    engine_option("Where to generate"),
    address_option,
    workers_option,
)
@cloup.option_group(
    "Output",
    path_option("--out", None, "Folder of the dataset.  [default: synthetic/FINDINGS-seedSEED]"),
    cloup.option(
        "--format",
        "image_format",
        type=ExtensionChoice(WRITERS, ("png", "dicom", "webdataset")),
        help="Image format.  [default: png up to 10,000 images, else webdataset]",
    ),
    cloup.option(
        "--with-judge/--without-judge",
        "with_judge",
        default=None,
        help="Also write the judge's probabilities.  [default: without]",
    ),
    cloup.option("--append", is_flag=True, help="Extend a finished dataset to --n images."),
    cloup.option("--force", is_flag=True, help="Replace the dataset in --out, even if its request was different."),
    cloup.option("--dry-run", is_flag=True, help="Print what would be generated; write nothing."),
    json_option,
)
@cloup.option_group(
    "Checks and evaluation",
    cloup.option("--reject-memorised", is_flag=True, help="Leave out near copies of training films; needs --films."),
    cloup.option(
        "--evaluate", is_flag=True, help="Then also evaluate the dataset against real test films; needs --films."
    ),
    path_option("--films", None, "Packed real films, written by `synthcxr prepare`, that the model was trained on."),
    path_option("--results", "results", "Folder of the results of --evaluate."),
    cloup.option(
        "--record",
        is_flag=True,
        help="Exit with code 0 even if there are too few images or a gate fails; run.json and the results still record"
        " it.",
    ),
)
@click.pass_context
def generate(
    ctx: click.Context, /, model: str | None, out: Path | None, params: Path | None, image_format: str | None,
    append: bool, force: bool, dry_run: bool, list_labels: bool, reject_memorised: bool, films: Path | None,
    evaluate: bool, results: Path, record: bool, as_json: bool, engine: EngineName, address: str | None,
    workers: int | None, **flags: Any,
) -> None:  # fmt: skip
    """Generate a dataset of labelled synthetic images.

    Run the same command again to resume an interrupted run; a finished dataset stays as it is. If --max-draws
    candidates give fewer images than requested, the dataset contains those images and the exit code is 1; to continue,
    run the command again with a larger --max-draws.
    """
    if not any(ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in ctx.params):
        raise OneLineUsageError(f"no images requested; for example:\n{EXAMPLES}")

    def print_model(resolved: ResolvedModel) -> None:
        click.echo(f"model: {resolved}", err=as_json)

    if list_labels:
        _list_labels(model, flags, print_model, as_json)
        return
    check_engine_options(engine, address, workers)
    for option, is_set in (("--evaluate", evaluate), ("--reject-memorised", reject_memorised)):
        if is_set and films is None:
            raise ConfigError(f"{option} needs --films: packed real films, written by `synthcxr prepare`")
    config = generate_request.build_config(params, flags, rejects_copies=reject_memorised)
    evaluation = load_evaluation_config(params).evaluate if evaluate and not dry_run else None
    out = out or Path("synthetic") / generate_request.name_folder(config)

    from synthcxr.api import datasets

    generated = datasets.generate_dataset(
        config,
        out=out,
        model=model,
        image_format=image_format,
        films=films if reject_memorised else None,
        append=append,
        force=force,
        dry_run=dry_run,
        allow_shortfall=True,
        command=["synthcxr", *sys.argv[1:]],
        engine=engine,
        ray_address=address,
        ray_workers=workers,
        on_model=print_model,
    )
    print_result(generated.report.lines, generated.report.as_dict(), as_json)
    if generated.shortfall and not record:
        raise GateError(generated.shortfall)
    if generated.shortfall:
        print_to_stderr(f"recorded: {generated.shortfall}")
    if evaluation is not None:
        verdict = datasets.evaluate_dataset(
            evaluation, dataset=out, films=films, models=generated.model.path, out=results, say=print_to_stderr
        )
        print_verdict(verdict, dataset=out, results=results, record=record, as_json=as_json)


def _list_labels(
    model: str | None, flags: dict[str, Any], on_model: Callable[[ResolvedModel], None], as_json: bool
) -> None:
    from synthcxr.api import datasets

    rates = datasets.measure_label_rates(
        model=model, n=flags["n"], batch_size=flags["batch"] or 32, device=flags["device"] or "auto", on_model=on_model
    )
    print_result([rate.format_line() for rate in rates], [rate.as_dict() for rate in rates], as_json)


@cloup.command(cls=Command)
@path_option("--dataset", None, "Synthetic dataset.", required=True)
@cloup.option(
    "--index",
    type=click.IntRange(min=0),
    metavar="N",
    required=True,
    help="Candidate to regenerate: a number from the column `index` of metadata.csv.",
)
@path_option("--out", None, "File to write, in the image format of the dataset.", required=True)
@cloup.option("--model", metavar="ADDRESS", help="Address of the model.  [default: the one that run.json names]")
def replay(dataset: Path, index: int, out: Path, model: str | None) -> None:
    """Regenerate one image of a dataset, byte for byte.

    If the bytes differ, writes no file and names the cause: model, package versions or thread count.
    """
    from synthcxr.api import datasets

    sha256 = datasets.replay_image(dataset=dataset, index=index, out=out, model=model)
    print_result([f"{out}: candidate {index} of {dataset}, sha256 {sha256}"], None, as_json=False)
