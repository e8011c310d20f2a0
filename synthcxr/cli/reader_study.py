"""`synthcxr reader-study`: create, serve and analyse a blinded study."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import cloup

from synthcxr.cli.exit_codes import CommandGroup
from synthcxr.cli.options import json_option, path_option, print_result, print_to_stderr, seed_option
from synthcxr.errors import ConfigError

COMMANDS = cloup.Section("Commands")

study_argument = cloup.argument(
    "study", metavar="STUDY", type=click.Path(path_type=Path), help="Folder of the study, written by `create`."
)


@cloup.group("reader-study", cls=CommandGroup)
def reader_study() -> None:
    """Ask readers to tell real films from synthetic images in a blinded study."""


@reader_study.command(section=COMMANDS)
@cloup.option_group(
    "What to show",
    path_option(
        "--films",
        None,
        "Packed real films; the study shows only those of test patients. Without --films, only teach mode is possible.",
    ),
    path_option("--dataset", None, "Synthetic dataset, written by `synthcxr generate`."),
    cloup.option(
        "--n",
        type=click.IntRange(min=1),
        metavar="N",
        default=100,
        show_default=True,
        help="Number of images, half of them real.",
    ),
    cloup.option(
        "--label",
        "findings",
        multiple=True,
        metavar="FINDING",
        help="Show only images with this finding. Repeat the option for more findings, with equal numbers of images.",
    ),
    cloup.option(
        "--model", metavar="ADDRESS", help="Model that also labels the real films.  [default: as for `generate`]"
    ),
)
@cloup.option_group(
    "Design",
    cloup.option(
        "--readers", type=click.IntRange(1, 100), metavar="N", default=3, show_default=True, help="Number of readers."
    ),
    cloup.option(
        "--repeats",
        type=click.IntRange(min=0),
        metavar="N",
        help="Images that each reader sees twice.  [default: a tenth of --n]",
    ),
    cloup.option(
        "--practice",
        type=click.IntRange(min=0),
        metavar="N",
        default=6,
        show_default=True,
        help="Practice images at the start, which do not count.",
    ),
    cloup.option(
        "--pairs",
        type=click.IntRange(min=0),
        metavar="N",
        default=0,
        show_default=True,
        help="Pairs of a real and a synthetic image, shown after the single images.",
    ),
    seed_option("Seed for selecting and ordering the images.  [default: random]", default=None),
    cloup.option(
        "--power",
        type=float,
        metavar="ACCURACY",
        help="Only print how many readings are needed to detect this accuracy of the readers, such as 0.6.",
    ),
)
@cloup.option_group(
    "Output",
    cloup.option("--title", default="Reader study", show_default=True, help="Heading that readers see."),
    path_option("--out", "study", "Folder of the study."),
    json_option,
)
def create(
    films: Path | None, dataset: Path | None, n: int, readers: int, repeats: int | None, practice: int, pairs: int,
    findings: tuple[str, ...], model: str | None, title: str, seed: int | None, out: Path, power: float | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Create a blinded study of real test films and synthetic images.

    Each reader sees the images in a different order. The command prints an access code for each reader. The answer key
    is in the folder `key` of the study. It is never served.
    """
    from synthcxr.api import projects

    if power is not None:
        analysis = projects.analyse_power(power, n=n, readers=readers)
        print_result(analysis.lines, analysis, as_json)
        return
    if dataset is None:
        raise ConfigError("missing option --dataset: the folder that `synthcxr generate` wrote")
    study = projects.create_reader_study(
        films=films, dataset=dataset, n=n, readers=readers, repeats=repeats, practice=practice, pairs=pairs,
        findings=findings, model=model, title=title, seed=seed, out=out,
    )  # fmt: skip
    print_result(study.lines, dataclasses.asdict(study), as_json)


@reader_study.command(section=COMMANDS)
@study_argument
@cloup.option(
    "--mode",
    type=click.Choice(["study", "teach"]),
    default="study",
    show_default=True,
    help="study: collect answers. teach: after each answer, show the classifier's probabilities and similar images.",
)
@cloup.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; any other than 127.0.0.1 needs TLS or a proxy.",
)
@cloup.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=8765,
    show_default=True,
    help="Port to listen on; 0 selects a free one.",
)
@path_option("--tls-cert", None, "TLS certificate chain, PEM file.")
@path_option("--tls-key", None, "Private key of the certificate, PEM file.")
@cloup.option("--behind-proxy", metavar="URL", help="https:// address of a proxy on this machine, as readers type it.")
def serve(
    study: Path, mode: str, host: str, port: int, tls_cert: Path | None, tls_key: Path | None, behind_proxy: str | None
) -> None:
    """Serve a study to the browsers of its readers until you interrupt it."""
    from synthcxr.stages import reader_study_serve as stage

    stage.run(
        study, teach=mode == "teach", host=host, port=port, tls_cert=tls_cert, tls_key=tls_key, proxy=behind_proxy,
        print_line=print_to_stderr,
    )  # fmt: skip


@reader_study.command(section=COMMANDS)
@study_argument
@path_option("--key", None, "Folder of the answer key, if you moved it.  [default: STUDY/key]")
@path_option("--out", None, "Folder of the results.  [default: STUDY/analysis]")
@seed_option("Seed of the bootstrap for the confidence intervals.")
@json_option
def analyse(study: Path, key: Path | None, out: Path | None, seed: int, as_json: bool) -> None:
    """Analyse the answers: accuracy, ROC and agreement with 95 % confidence intervals, and reading time.

    Writes JSON, CSV and an HTML page.
    """
    from synthcxr.stages import reader_study_analyse as stage

    analysis = stage.run(study, key=key or study / "key", out=out or study / "analysis", seed=seed)
    print_result(analysis.lines, analysis.result, as_json)
