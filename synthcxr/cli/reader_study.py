"""`synthcxr reader-study`: one thin command per verb, as in cli.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from synthcxr.cli.group import Verbs
from synthcxr.cli.options import json_option, path_option, say

_folder = click.argument("study", metavar="STUDY", type=click.Path(path_type=Path))


@click.group("reader-study", cls=Verbs)
def reader_study() -> None:
    """Ask readers whether they believe the images: a blinded study made, read in a browser, analysed."""


@reader_study.command()
@path_option("--real", None, "Packed films, of `prepare`: their test patients are shown. Without them it only teaches.")
@path_option("--synthetic", None, "Synthetic dataset, of `generate`.")
@click.option("--n", type=click.IntRange(min=1), default=100, show_default=True, help="Images, half of them real.")
@click.option("--readers", type=click.IntRange(1, 100), default=3, show_default=True, help="How many will read.")
@click.option("--repeats", type=click.IntRange(min=0), help="Images shown twice to each reader.  [default: n / 10]")
@click.option("--practice", type=click.IntRange(min=0), default=6, show_default=True, help="Uncounted images first.")
@click.option("--pairs", type=click.IntRange(min=0), default=0, show_default=True, help="Then pairs: which is real?")
@click.option("--label", "findings", multiple=True, metavar="FINDING", help="Strata of equal size; repeatable.")
@click.option("--model", metavar="ADDRESS", help="The models that made the dataset, to label the films as well.")
@click.option("--title", default="Reader study", show_default=True, help="Heading that readers see.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of choice and order.  [default: a random one]")
@path_option("--out", "study", "Folder of the study.")
@click.option("--power", type=float, metavar="ACCURACY", help="Only say how many readings detect this accuracy.")
@json_option
def create(
    real: Path | None, synthetic: Path | None, n: int, readers: int, repeats: int | None, practice: int, pairs: int,
    findings: tuple[str, ...], model: str | None, title: str, seed: int | None, out: Path, power: float | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a blinded study: real test films and synthetic images, shuffled for each reader.

    Prints the readers' codes. The key stays in STUDY/key, apart from what is served.
    """
    from synthcxr.stages import reader_study_create as stage

    if power is not None:
        planned = stage.power(power, n=n, readers=readers)
        say(planned.lines, planned, as_json)
        return
    if synthetic is None:
        raise click.UsageError("give --synthetic: the dataset of `synthcxr generate`")
    from synthcxr.data import findings as labels
    from synthcxr.reader_study.design import Design

    design = Design(
        n=n, readers=readers, repeats=n // 10 if repeats is None else repeats, practice=practice, pairs=pairs,
        findings=tuple(labels.canonical(name) for name in findings),
    )  # fmt: skip
    made = stage.create(design, real=real, synthetic=synthetic, models=_models(model), title=title, seed=seed, out=out)
    say(made.lines, dataclasses.asdict(made), as_json)


def _models(address: str | None) -> Path | None:
    """The models of this address; without one what `generate` takes, or None where there is nothing to take."""
    from synthcxr import registry
    from synthcxr.errors import ArtifactError

    try:
        return registry.resolve(address).path
    except ArtifactError:
        if address is not None:
            raise
        return None


@reader_study.command()
@_folder
@click.option("--mode", type=click.Choice(["study", "teach"]), default="study", show_default=True, help="What for.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; elsewhere needs TLS or a proxy.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one.")
@path_option("--tls-cert", None, "Certificate chain, PEM.")
@path_option("--tls-key", None, "Its private key, PEM.")
@click.option("--behind-proxy", metavar="URL", help="The https:// address by which a proxy here is reached.")
def serve(
    study: Path, mode: str, host: str, port: int, tls_cert: Path | None, tls_key: Path | None, behind_proxy: str | None
) -> None:
    """Serve STUDY to its readers' browsers until interrupted.

    Teaching shows, after each answer, what the classifier says of the image and the nearest others like it.
    """
    from synthcxr.stages import reader_study_serve as stage

    stage.run(
        study, teach=mode == "teach", host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, proxy=behind_proxy,
        say=lambda line: click.echo(line, err=True),
    )  # fmt: skip


@reader_study.command()
@_folder
@path_option("--key", None, "Folder of the key, where it was moved.  [default: STUDY/key]")
@path_option("--out", None, "Folder of the results.  [default: STUDY/analysis]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the intervals.")
@json_option
def analyse(study: Path, key: Path | None, out: Path | None, seed: int, as_json: bool) -> None:
    """What the answers show: accuracy, ROC, agreement, time, with intervals; JSON, CSV and an HTML page."""
    from synthcxr.stages import reader_study_analyse as stage

    found = stage.run(study, key=key or study / "key", out=out or study / "analysis", seed=seed)
    say(found.lines, found.result, as_json)
