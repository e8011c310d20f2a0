"""Commands that measure films, synthetic images and the metrics themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import cloup

from synthcxr.cli.exit_codes import Command
from synthcxr.cli.options import (
    address_option,
    check_engine_options,
    dataset_option,
    device_option,
    engine_option,
    evaluation_params_option,
    films_option,
    json_option,
    load_config,
    load_evaluation_config,
    params_option,
    path_option,
    print_result,
    print_to_stderr,
    record_option,
    seed_option,
    workers_option,
)
from synthcxr.errors import GateError

if TYPE_CHECKING:
    from synthcxr.api.datasets import EngineName
    from synthcxr.evaluation.gates import Verdict

PACKED_FILMS = Path("data/cxr")


@cloup.command(cls=Command)
@dataset_option
@evaluation_params_option
@path_option(
    "--films",
    None,
    "Packed real films to compare with.  [default: data/cxr if it exists, else the reference stored with the model]",
)
@path_option(
    "--models",
    None,
    "Folder of the ONNX files.  [default: models/onnx if it exists, else the champion, else the starter model]",
)
@path_option("--out", "results", "Folder of the results: metrics.json, verdict.json, privacy.csv, curves/.")
@cloup.option(
    "--prevalence",
    metavar="nih|CSV",
    help="Also compare the share of each finding with another reference: nih, or a CSV file with the columns finding"
    " and share.",
)
@path_option(
    "--baseline",
    None,
    "Unconditional dataset of the same model, with which requested images are compared for their label validity."
    "  [default: drawn with the generator in --models]",
)
@engine_option("Where to compute features")
@address_option
@workers_option
@record_option
@json_option
def evaluate(
    dataset: Path, params: Path | None, films: Path | None, models: Path | None, out: Path, prevalence: str | None,
    baseline: Path | None, engine: EngineName, address: str | None, workers: int | None, record: bool, as_json: bool,
) -> None:  # fmt: skip
    """Compare a synthetic dataset with real test films and apply the quality gates.

    Measures distances with 95 % confidence intervals, coverage, near copies of training films, shares of findings and
    the validity of labels, and checks the files. Exits with code 1 if a gate fails.
    """
    if films is None and PACKED_FILMS.is_dir():
        films = PACKED_FILMS
    check_engine_options(engine, address, workers)
    config = load_evaluation_config(params).evaluate
    from synthcxr.api import datasets

    verdict = datasets.evaluate_dataset(
        config,
        dataset=dataset,
        films=films,
        models=models,
        out=out,
        prevalence=prevalence,
        baseline=baseline,
        engine=engine,
        ray_address=address,
        ray_workers=workers,
        say=print_to_stderr,
    )
    print_verdict(verdict, dataset=dataset, results=out, record=record, as_json=as_json)


def print_verdict(verdict: Verdict, *, dataset: Path, results: Path, record: bool, as_json: bool) -> None:
    """Print the summary and each gate; GateError for a failed one unless `record`."""
    from synthcxr.data.evidence.summary import format_lines, read_summary

    summary = read_summary(results=results, dataset=dataset)
    lines = [*format_lines(summary), "Gates:", *(f"  {gate.sentence}" for gate in verdict.gates)]
    print_result(lines, verdict.as_dict() | {"summary": summary.as_dict()}, as_json)
    print_to_stderr(f"results: {results}; for a report run `synthcxr report --results {results} --dataset {dataset}`")
    if not verdict.passed and not record:
        raise GateError(verdict.failures)


@cloup.command(cls=Command)
@evaluation_params_option
@path_option("--results", "results", "Folder of the results of `synthcxr evaluate`.")
@dataset_option
@path_option(
    "--films",
    None,
    "Packed real films. If given, also write report-private.html beside the report; it shows some of these films.",
)
@path_option("--out", "results/report.html", "HTML file of the report.")
def report(params: Path | None, results: Path, dataset: Path, films: Path | None, out: Path) -> None:
    """Write the evaluation results as one HTML file.

    The report contains no real film.
    """
    config = load_evaluation_config(params).report
    from synthcxr.data.evidence.summary import format_headlines, read_summary
    from synthcxr.stages import report as stage

    written = stage.run(config, results=results, dataset=dataset, out=out, films=films)
    for line in (f"results of {dataset}:", *format_headlines(read_summary(results=results, dataset=dataset))):
        print_to_stderr(line)
    print_result([str(path) for path in written], None, as_json=False)


@cloup.command(cls=Command)
@cloup.argument(
    "paths",
    metavar="PATH...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    help="Folders of packed films or synthetic datasets.",
)
@path_option("--suite", None, "Run this suite, such as expectations/films.json, instead of the built-in one.")
@path_option("--docs", None, "Also write great-expectations Data Docs to this folder.")
@json_option
def check(paths: tuple[Path, ...], suite: Path | None, docs: Path | None, as_json: bool) -> None:
    """Check the files and labels of packed films or synthetic datasets.

    Prints one line for each check, with the measured and the required value. Exits with code 1 if a check fails.
    """
    from synthcxr.data.dataset_kind import detect_kind

    for path in paths:
        detect_kind(path)
    print_to_stderr(f"checking {', '.join(map(str, paths))}: loading great-expectations takes seconds")
    from synthcxr.stages import check as stage

    results = stage.run(paths, docs=docs, suite=suite)
    lines = [line for path, result in results.items() for line in (path, *map(str, result.lines))]
    if docs:
        lines.append(f"Data Docs: open {docs}/index.html")
    print_result(lines, {path: result.as_dict() for path, result in results.items()}, as_json)
    failed = [f"{path}: {line.sentence}" for path, result in results.items() for line in result.failed]
    if failed:
        raise GateError("; ".join(failed))


@cloup.command(cls=Command)
@films_option
@path_option("--models", "models/onnx", "Folder that contains judge.onnx.")
@path_option("--out", "results/disturb", "Folder of the table, figure and verdict.")
@cloup.option(
    "--extractor",
    "names",
    metavar="NAME",
    multiple=True,
    default=("judge", "efficientnet-lite0", "inception"),
    show_default=True,
    help="Feature extractor to test; repeatable.",
)
@cloup.option(
    "--resolution",
    type=int,
    metavar="N",
    help="Size of the films in pixels.  [default: that of the judge if it is tested, else the largest]",
)
@cloup.option(
    "--n",
    type=int,
    metavar="N",
    default=500,
    show_default=True,
    help="Largest number of films in each of the two sets.",
)
@cloup.option(
    "--n-bootstrap", type=int, metavar="N", default=200, show_default=True, help="Number of bootstrap samples."
)
@seed_option("Seed of the degradations and of the bootstrap.", default=1)
@device_option
@json_option
def disturb(films: Path, out: Path, as_json: bool, **options: Any) -> None:
    """Test whether the Fréchet distance grows when real films are degraded.

    Applies noise, blur, rectangles, swirl, salt and pepper, and replacement of films by drawings of discs, at four
    levels each. A reliable distance grows with each level.
    """
    from synthcxr.stages import disturb as stage

    result = stage.run(films=films, out=out, **options)
    print_result([*stage.format_lines(result), f"{out}: {result['wall_s']:.0f} s"], result, as_json)


@cloup.command(cls=Command)
@dataset_option
@params_option
@films_option
@path_option("--models", "models/onnx", "Folder of the models that generated the dataset.")
@path_option("--out", "results/utility", "Folder of the tables.")
@cloup.option(
    "--n",
    type=int,
    metavar="N",
    help="Largest number of real films, and of synthetic images, to train on.  [default: all]",
)
@cloup.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    default=8,
    show_default=True,
    help="Number of epochs of each training.",
)
@cloup.option(
    "--seeds", "n_seeds", type=int, metavar="N", default=3, show_default=True, help="Number of trainings on each set."
)
@cloup.option(
    "--targets",
    type=click.Choice(("labels", "probabilities")),
    default="labels",
    show_default=True,
    help="What is learned from an image: its labels, or the probabilities behind them.",
)
@json_option
def utility(params: Path, films: Path, epochs: int, out: Path, as_json: bool, **options: Any) -> None:
    """Train classifiers on real films and synthetic images and compare their AUROC on real test films.

    Trains a small classifier on real films, on the same number of synthetic images, on the real films shown twice, and
    on films and images together. The seed and the number of bootstrap samples come from `train_classifier` in the
    parameter file.
    """
    config = load_config(params).train_classifier
    from synthcxr.stages import utility as stage

    small = dataclasses.replace(stage.make_small_config(config), n_epochs=epochs)
    result = stage.run(small, films=films, out=out, say=print_to_stderr, **options)
    print_result([*stage.format_lines(result), f"{out}: {result['wall_s']:.0f} s"], result, as_json)
