"""The command line: one thin command per verb. Stages are imported inside the commands, so that --help is quick."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

import synthcxr
from synthcxr.cli import generate_request
from synthcxr.cli.group import Verbs
from synthcxr.cli.models import models
from synthcxr.cli.options import (
    data_option,
    json_option,
    judging_config,
    judging_option,
    load_config,
    params_option,
    path_option,
    record_option,
    say,
    scalars,
)
from synthcxr.cli.project import doctor, init, lock
from synthcxr.cli.quality import check, disturb, utility
from synthcxr.cli.reader_study import reader_study
from synthcxr.errors import GateError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from synthcxr.config.schema import ClassifierConfig, Config, Device, EvaluateConfig
    from synthcxr.registry.training_log import Follow
    from synthcxr.synthesis.tasks import Engine
    from synthcxr.writers.formats.store import Format


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(synthcxr.__version__, prog_name="synthcxr", message="%(prog)s %(version)s")
def main() -> None:
    """Synthetic chest X-rays: labelled images that belong to no patient, with the evidence attached."""


main.add_command(init)
main.add_command(doctor)


@main.command()
@params_option
@path_option("--out", "data/cxr", "Folder of the packed dataset.")
@json_option
def prepare(params: Path, out: Path, as_json: bool) -> None:
    """Pack films: read, check, split by patient."""
    config = load_config(params).prepare
    from synthcxr.stages import prepare as stage

    made = stage.run(config, out=out)
    sides = ", ".join(f"{n:,} {side}" for side, n in made.counts["by_split"].items())
    counted = f"{made.counts['films']:,} films of {made.counts['patients']:,} patients"
    say([f"{out}: {counted}, up to {made.resolution} px; {sides}"], made, as_json)


def _train(
    config: Config, section: ClassifierConfig, data: Path, out: Path, log: Path, split: str, as_json: bool
) -> None:
    from synthcxr.stages import train_classifier as stage

    with _followed(config, log) as follow:
        made = stage.run(section, data=data, out=out, split=split, log=log, follow=follow)
    say(scalars(out, made), made, as_json)


def _followed(config: Config, log: Path) -> AbstractContextManager[Follow]:
    """Send the rows of a training to MLflow as they are written, where there is a store."""
    from synthcxr.registry.training_log import following

    say = functools.partial(click.echo, err=True)
    return following(experiment=config.register.experiment, table=log.stem, say=say)


@main.command()
@params_option
@data_option
@path_option("--out", "models/classifier", "Folder of the weights.")
@path_option("--log", "results/train_classifier.csv", "Table of the epochs.")
@json_option
def train_classifier(params: Path, data: Path, out: Path, log: Path, as_json: bool) -> None:
    """Train what chooses and labels images."""
    config = load_config(params)
    _train(config, config.train_classifier, data, out, log, "train", as_json)


@main.command()
@params_option
@data_option
@path_option("--out", "models/judge", "Folder of the weights.")
@path_option("--log", "results/train_judge.csv", "Table of the epochs.")
@json_option
def train_judge(params: Path, data: Path, out: Path, log: Path, as_json: bool) -> None:
    """Train the same on other patients, to judge.

    What chose and labelled the images never judges them.
    """
    config = load_config(params)
    _train(config, config.train_judge, data, out, log, "judge", as_json)


@main.command()
@params_option
@data_option
@path_option("--out", "models/gan", "Folder of the weights.")
@path_option("--log", "results/train_gan.csv", "Table of the training.")
@path_option("--snapshots", "results/snapshots", "Folder of synthetic sample grids.")
@path_option("--checkpoints", "checkpoints", "Where a stopped training goes on from.")
@json_option
def train_gan(
    params: Path, data: Path, out: Path, log: Path, snapshots: Path, checkpoints: Path, as_json: bool
) -> None:
    """Train the progressive-growing GAN.

    The same command goes on where it was stopped. On 8 GPUs: torchrun --nproc-per-node 8 -m synthcxr train-gan
    """
    config = load_config(params)
    from synthcxr.stages import train_gan as stage

    start = None if config.train_gan.start_from is None else _networks(config.train_gan.start_from)
    with _followed(config, log) as follow:
        made = stage.run(
            config.train_gan,
            data=data,
            out=out,
            log=log,
            snapshots=snapshots,
            checkpoints=checkpoints,
            start=start,
            follow=follow,
        )
    if made:  # one of several ranks speaks
        say(scalars(out, made), made, as_json)


def _networks(address: str) -> Path:
    """The folder of a trained G and D: a training's own output, or a registered generator's."""
    folder = Path(address)
    if (folder / "generator.safetensors").is_file():
        return folder
    from synthcxr import registry

    found = registry.resolve(address)
    click.echo(f"starts from: {found}", err=True)
    return found.path


@main.command()
@params_option
@data_option
@path_option("--classifier", "models/classifier", "Weights of the classifier.")
@path_option("--judge", "models/judge", "Weights of the judge.")
@path_option("--gan", "models/gan", "Weights of the GAN.")
@path_option("--out", "models/onnx", "Folder of the ONNX files.")
@json_option
def export(params: Path, data: Path, classifier: Path, judge: Path, gan: Path, out: Path, as_json: bool) -> None:
    """Write the models as ONNX files.

    Each carries its contract: sizes, findings, thresholds, origin and digest.
    """
    config = load_config(params).export
    from synthcxr.stages import export as stage

    made = stage.run(config, data=data, classifier=classifier, judge=judge, gan=gan, out=out)
    say(scalars(out, made), made, as_json)


@main.command()
@params_option
@path_option("--models", "models/onnx", "Folder of the ONNX files; the proposal is written into it.")
@json_option
def distill(params: Path, models: Path, as_json: bool) -> None:
    """Learn which latents give which findings, so that rare ones are found with few images made in vain."""
    config = load_config(params).distill
    from synthcxr.stages import distill as stage

    made = stage.run(config, models=models)
    say(stage.lines(made), made, as_json)


@main.command()
@click.option("--n", type=click.IntRange(min=1), help="How many images.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the candidates.  [default: 0]")
@click.option(
    "--label", "labels", multiple=True, metavar="FINDING", help="A finding that every image shows; repeatable."
)
@click.option("--without", multiple=True, metavar="FINDING", help="A finding that no image shows; repeatable.")
@click.option("--per-label", type=click.IntRange(min=1), metavar="N", help="N of each finding, or of each --label.")
@click.option(
    "--mix", metavar="nih|FILE", help="Sets of findings as in the NIH's films or a CSV: Finding Labels, share."
)
@click.option("--with-judge/--without-judge", "with_judge", default=None, help="Add what the judge makes of each.")
@click.option(
    "--method", type=click.Choice(["auto", "guided", "reject", "optimise"]),
    help="How images that show it are found.  [default: guided where the model can, else reject]",
)  # fmt: skip
@click.option(
    "--model", metavar="ADDRESS", help="Folder, .onnx file, models:/name@alias, models:/name/3, runs:/id/path."
)
@path_option("--out", None, "Folder of the dataset.  [default: synthetic/LABELS-seedSEED]")
@path_option("--params", None, "Parameter file: its section `generate`, which the flags override.")
@click.option("--max-draws", type=click.IntRange(min=1), help="Candidates to draw at most.  [default: 100 an image]")
@click.option("--batch", type=click.IntRange(min=1), help="Candidates at a time.  [default: 32]")
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), help="Where to run.  [default: auto]")
@click.option(
    "--format", "kind", type=click.Choice(["png", "dicom", "webdataset"]),
    help="[default: png up to 10,000 images, else webdataset]",
)  # fmt: skip
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", help="Who draws.  [default: local]")
@click.option("--address", help="Of a running Ray cluster.  [default: a Ray of this machine's own]")
@click.option("--workers", type=click.IntRange(min=1), help="Of Ray.  [default: one a core, or one a GPU]")
@click.option("--append", is_flag=True, help="Make a finished dataset longer.")
@click.option("--force", is_flag=True, help="Replace the dataset of another command.")
@click.option("--dry-run", is_flag=True, help="Say what would be made; write nothing.")
@click.option("--list-labels", is_flag=True, help="Say how often each finding shows; write nothing.")
@click.option("--reject-memorised", is_flag=True, help="Leave out images that copy a film; needs --films.")
@path_option("--films", None, "Packed films that the model learned from.")
@click.option("--evaluate", "judged", is_flag=True, help="Then judge it against real films; needs --reference.")
@path_option("--reference", None, "Packed films to judge it against.")
@path_option("--results", "results", "Folder of the evidence.")
@record_option
@json_option
def generate(
    model: str | None, out: Path | None, params: Path | None, kind: str | None, append: bool, force: bool,
    dry_run: bool, list_labels: bool, reject_memorised: bool, films: Path | None, judged: bool,
    reference: Path | None, results: Path, record: bool, as_json: bool, engine: str, address: str | None,
    workers: int | None, **flags: Any,
) -> None:  # fmt: skip
    """Make a labelled dataset of synthetic images.

    The same command goes on where it was stopped, and on a finished dataset does nothing. Exits 1 where the draws
    run out: the shorter set is in place, and a larger --max-draws goes on.
    """
    if list_labels:
        _list_labels(model, flags, as_json)
        return
    if engine == "local" and (address or workers):
        raise click.UsageError("--address and --workers are for --engine ray")
    if judged and reference is None:
        raise click.UsageError("--evaluate needs --reference: the folder of packed films, of `synthcxr prepare`")
    if reject_memorised and films is None:
        raise click.UsageError("--reject-memorised needs --films: the packed films that the model learned from")
    config = generate_request.config(params, flags, spare=reject_memorised)
    gates = _evaluate_config(params) if judged and not dry_run else None
    out = out or Path("synthetic") / generate_request.name(config)

    from synthcxr import registry
    from synthcxr.evaluation.memorisation.copy_filter import keeper
    from synthcxr.stages import generate as stage

    found = registry.resolve(model)
    click.echo(f"model: {found}", err=as_json)
    try:
        made = stage.run(
            config,
            model=found.path,
            out=out,
            model_name=found.name,
            force=force,
            append=append,
            form=cast("Format | None", kind),
            dry_run=dry_run,
            apart=keeper(films) if reject_memorised and films else None,
            command=["synthcxr", *sys.argv[1:]],
            engine=_engine(address, workers) if engine == "ray" else None,
            threads=1 if engine == "ray" else None,
        )
        say(made.lines, made.as_dict(), as_json)
    except GateError as error:
        if not record:
            raise
        click.echo(f"recorded: {error}", err=True)
    if gates is not None and reference is not None:
        _evaluate(gates, reference, found.path, out, results, record, as_json)


@main.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option("--index", type=click.IntRange(min=0), required=True, help="Its candidate: column index of metadata.csv.")
@path_option("--out", None, "The file to write: a PNG, or DICOM where the dataset is.", required=True)
@click.option("--model", metavar="ADDRESS", help="Where the model is now.  [default: as run.json names it]")
def replay(dataset: Path, index: int, out: Path, model: str | None) -> None:
    """Make one image of DATASET again.

    The same bytes from its row and the models, or what differs.
    """
    from synthcxr import registry
    from synthcxr.data import records
    from synthcxr.stages import replay as stage

    found = registry.resolve(model or str(records.read_run(dataset)["model"]["name"]))
    sha256 = stage.run(dataset=dataset, index=index, model=found.path, out=out)
    say([f"{out}: candidate {index} of {dataset}, sha256 {sha256}"], None, as_json=False)


def _engine(address: str | None, workers: int | None) -> Engine:
    """Draw by the processes of a Ray cluster."""
    from synthcxr.synthesis import ray_engine
    from synthcxr.synthesis.runtime.onnx_session import CUDA

    return lambda kit: ray_engine.engine(kit, address=address, n_workers=workers, gpu=kit.provider == CUDA)


def _list_labels(model: str | None, flags: dict[str, Any], as_json: bool) -> None:
    from synthcxr import registry
    from synthcxr.stages import list_labels as stage

    found = registry.resolve(model)
    click.echo(f"model: {found}", err=as_json)
    n, batch, device = flags["n"], flags["batch"] or 32, cast("Device", flags["device"] or "auto")
    rates = stage.run(model=found.path, n=n, batch=batch, device=device)
    say([rate.line() for rate in rates], [rate.as_dict() for rate in rates], as_json)


def _evaluate_config(params: Path | None) -> EvaluateConfig:
    """The section `evaluate` of a parameter file, of the project that one stands in, or of the starter."""
    return judging_config(params).evaluate


@main.command()
@click.argument("dataset", type=click.Path(path_type=Path), default="data/synthetic")
@judging_option
@click.option(
    "--reference", "--data", "data", type=click.Path(path_type=Path),
    help="Packed films to judge by.  [default: data/cxr; without it, what the model carries of its films]",
)  # fmt: skip
@path_option(
    "--models",
    None,
    "Folder of the ONNX files.  [default: models/onnx of a project, elsewhere the champion or starter]",
)
@path_option("--out", "results", "Folder of the evidence.")
@click.option("--prevalence", metavar="nih|CSV", help="One more label distribution to hold the set against.")
@record_option
@json_option
def evaluate(
    params: Path | None, data: Path | None, models: Path | None, dataset: Path, out: Path, prevalence: str | None,
    record: bool, as_json: bool,
) -> None:  # fmt: skip
    """Judge the synthetic DATASET (data/synthetic) by real test films.

    Distances with floor and interval, coverage, copies, label shares, checks of the files, gates. Exits 1 where one
    fails.
    """
    if data is None and Path("data/cxr").is_dir():
        data = Path("data/cxr")
    config = _evaluate_config(params)
    if models is None:
        models = Path("models/onnx")
        if not models.is_dir():
            from synthcxr import registry

            models = registry.resolve(None).path
    _evaluate(config, data, models, dataset, out, record, as_json, prevalence)


def _evaluate(
    config: EvaluateConfig, data: Path | None, models: Path, dataset: Path, out: Path, record: bool, as_json: bool,
    prevalence: str | None = None,
) -> None:  # fmt: skip
    from synthcxr.stages import evaluate as stage

    if data is None:
        click.echo("no films were given: compared with what the model carries of its films", err=True)
    tell = functools.partial(click.echo, err=True)
    tell(f"evaluating {dataset}: minutes, where features are not kept from an earlier run")
    verdict = stage.run(config, data=data, models=models, dataset=dataset, out=out, distribution=prevalence, say=tell)
    say([gate.sentence for gate in verdict.gates], verdict.as_dict(), as_json)
    click.echo(f"evidence: {out}; `synthcxr report --results {out} --dataset {dataset}` shows it", err=True)
    if not verdict.passed and not record:
        raise GateError(verdict.failures)


@main.command()
@params_option
@path_option("--models", "models/onnx", "Folder of the ONNX files.")
@path_option("--gan", "models/gan", "Weights of the GAN.")
@path_option("--classifier", "models/classifier", "Weights of the classifier.")
@path_option("--judge", "models/judge", "Weights of the judge.")
@path_option("--results", "results", "Folder of the evidence.")
@path_option("--dataset", "data/synthetic", "Synthetic dataset that was judged.")
@path_option("--out", "results/registered.json", "File that names the run and the versions.")
@json_option
def register(params: Path, out: Path, as_json: bool, **folders: Path) -> None:
    """Log the run and its models to MLflow.

    The new versions become candidate, and champion only if every gate passed.
    """
    config = load_config(params).register
    from synthcxr.stages import register as stage

    made = stage.run(config, params=params, out=out, **folders)
    lines = [f"{name} version {version}" for name, version in made["versions"].items()]
    say([*lines, f"{'champion' if made['champion'] else 'candidate'}: {made['why']}"], made, as_json)


@main.command()
@judging_option
@path_option("--results", "results", "Folder of the evidence.")
@path_option("--dataset", "data/synthetic", "Synthetic dataset to show.")
@path_option("--out", "results/report.html", "The report.")
@path_option("--with-films", None, "Packed films: writes report-private.html too, which shows some of them.")
def report(params: Path | None, results: Path, dataset: Path, out: Path, with_films: Path | None) -> None:
    """Write the evidence as one HTML file.

    No real film is in it.
    """
    config = judging_config(params).report
    from synthcxr.stages import report as stage

    written = stage.run(config, results=results, dataset=dataset, out=out, with_films=with_films)
    say([str(path) for path in written], None, as_json=False)


for command in (check, disturb, utility, models, reader_study, lock):
    main.add_command(command)
