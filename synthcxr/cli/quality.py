"""What a person runs beside the pipeline to see whether data and distances hold: thin commands, as in cli.py."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

import click

from synthcxr.cli.options import data_option, json_option, load_config, params_option, path_option, say
from synthcxr.errors import GateError


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_option("--docs", None, "Folder for great-expectations' Data Docs; open its index.html.")
@path_option("--suite", None, "Suite to run instead of the one that ships, such as expectations/films.json.")
@json_option
def check(paths: tuple[Path, ...], docs: Path | None, suite: Path | None, as_json: bool) -> None:
    """Check packed films and synthetic datasets.

    A line for each check, with what was found and asked. Exits 1 where one fails.
    """
    from synthcxr.stages import check as stage

    found = stage.run(paths, docs=docs, own=suite)
    lines = [line for path, held in found.items() for line in (path, *map(str, held.lines))]
    say([*lines, *([f"open {docs}/index.html"] if docs else [])], {p: f.as_dict() for p, f in found.items()}, as_json)
    failed = [f"{path}: {line.sentence}" for path, held in found.items() for line in held.failed]
    if failed:
        raise GateError("; ".join(failed))


@click.command()
@data_option
@path_option("--models", "models/onnx", "Folder of the ONNX files, for its judge.")
@path_option("--out", "results/disturb", "Folder of table, figure and verdict.")
@click.option(
    "--extractor", "names", multiple=True, default=("judge", "efficientnet-lite0", "inception"), show_default=True,
    help="Features to try; repeatable.",
)  # fmt: skip
@click.option("--resolution", type=int, help="Side of the films in pixels.  [default: the judge's, else the largest]")
@click.option("--n", type=int, default=500, show_default=True, help="Films a side at most.")
@click.option("--n-bootstrap", type=int, default=200, show_default=True, help="Resamples of patients.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True)
@json_option
def disturb(as_json: bool, **given: Any) -> None:
    """Try the distances on real films that were disturbed.

    Noise, blur, rectangles, swirl, salt and pepper, other images, at four levels each: an honest distance grows.
    """
    from synthcxr.stages import disturb as stage

    made = stage.run(**given)
    say([*stage.lines(made), f"{given['out']}: {made['wall_s']:.0f} s"], made, as_json)


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path), default="data/synthetic")
@params_option
@data_option
@path_option("--models", "models/onnx", "Folder of the models that made it.")
@path_option("--out", "results/utility", "Folder of the tables.")
@click.option("--n", type=int, help="Real films, and images, to learn from at most.  [default: as many as there are]")
@click.option("--epochs", type=click.IntRange(min=1), default=8, show_default=True, help="Passes of each training.")
@click.option("--seeds", "n_seeds", type=int, default=3, show_default=True, help="Trainings of each kind.")
@json_option
def utility(params: Path, epochs: int, as_json: bool, **given: Any) -> None:
    """Learn from the synthetic DATASET, and be tried on real films.

    A small classifier on real films, on as many images, on the films twice and on both; its seed and resamples are
    those of train_classifier.
    """
    config = load_config(params).train_classifier
    from synthcxr.stages import utility as stage

    small = dataclasses.replace(stage.small(config), n_epochs=epochs)
    made = stage.run(small, say=functools.partial(click.echo, err=True), **given)
    say([*stage.lines(made), f"{given['out']}: {made['wall_s']:.0f} s"], made, as_json)
