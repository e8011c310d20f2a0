"""The commands of the pipeline, from films to registered models, in the order in which `dvc.yaml` runs them."""

from __future__ import annotations

from pathlib import Path

import cloup

from synthcxr.cli.exit_codes import Command
from synthcxr.cli.options import (
    dataset_option,
    films_option,
    json_option,
    load_config,
    params_option,
    path_option,
    print_result,
    print_to_stderr,
)

classifier_option = path_option("--classifier", "models/classifier", "Trained classifier: weights and thresholds.")
judge_option = path_option("--judge", "models/judge", "Trained judge: weights and thresholds.")
gan_option = path_option("--gan", "models/gan", "Trained GAN: weights and configuration.")


@cloup.command(cls=Command)
@params_option
@path_option("--out", "data/cxr", "Folder of the packed films.")
@json_option
def prepare(params: Path, out: Path, as_json: bool) -> None:
    """Check films, split them by patient and pack them for training.

    The parameter file lists the sources of films in `prepare.sources`. Packed films that are already in --out are
    replaced. Run the same command again to resume an interrupted run.
    """
    config = load_config(params).prepare
    from synthcxr.stages import prepare as stage

    summary = stage.run(config, out=out)
    print_result(stage.format_lines(summary), summary, as_json)


@cloup.command(cls=Command)
@params_option
@films_option
@path_option("--out", "models/classifier", "Folder of the trained classifier.")
@path_option("--log", "results/train_classifier.csv", "CSV file with one row per epoch.")
@json_option
def train_classifier(params: Path, films: Path, out: Path, log: Path, as_json: bool) -> None:
    """Train the classifier that selects and labels generated images."""
    config = load_config(params)
    from synthcxr.api import training
    from synthcxr.stages import train_classifier as stage

    metrics = training.train_classifier(config, films=films, out=out, log=log, say=print_to_stderr)
    print_result([str(out), *(f"  {line}" for line in stage.format_lines(metrics))], metrics, as_json)


@cloup.command(cls=Command)
@params_option
@films_option
@path_option("--out", "models/judge", "Folder of the trained judge.")
@path_option("--log", "results/train_judge.csv", "CSV file with one row per epoch.")
@json_option
def train_judge(params: Path, films: Path, out: Path, log: Path, as_json: bool) -> None:
    """Train an independent classifier, the judge, that evaluates generated images.

    It is trained on other patients than the classifier, so the network that selects and labels the images is not the
    one that evaluates them.
    """
    config = load_config(params)
    from synthcxr.api import training
    from synthcxr.stages import train_classifier as stage

    metrics = training.train_judge(config, films=films, out=out, log=log, say=print_to_stderr)
    print_result([str(out), *(f"  {line}" for line in stage.format_lines(metrics))], metrics, as_json)


@cloup.command(cls=Command)
@params_option
@films_option
@path_option("--out", "models/gan", "Folder of the trained GAN.")
@path_option("--log", "results/train_gan.csv", "CSV file with losses and speed.")
@path_option("--snapshots", "results/snapshots", "Folder of grids of sample images.")
@path_option("--checkpoints", "checkpoints", "Folder of checkpoints, from which an interrupted training resumes.")
@json_option
def train_gan(
    params: Path, films: Path, out: Path, log: Path, snapshots: Path, checkpoints: Path, as_json: bool
) -> None:
    """Train the progressive-growing GAN that generates the images.

    Run the same command again to resume an interrupted training. To train on 8 GPUs:

    \b
    torchrun --nproc-per-node 8 -m synthcxr train-gan
    """
    config = load_config(params)
    from synthcxr.api import training
    from synthcxr.stages import train_gan as stage

    metrics = training.train_gan(
        config, films=films, out=out, log=log, snapshots=snapshots, checkpoints=checkpoints, say=print_to_stderr
    )
    if metrics:  # empty in all processes of torchrun but the first
        print_result([str(out), *(f"  {line}" for line in stage.format_lines(metrics))], metrics, as_json)


@cloup.command(cls=Command)
@params_option
@films_option
@classifier_option
@judge_option
@gan_option
@path_option("--out", "models/onnx", "Folder of the ONNX files.")
@json_option
def export(params: Path, films: Path, classifier: Path, judge: Path, gan: Path, out: Path, as_json: bool) -> None:
    """Export the trained models as ONNX files.

    Each file stores its image size, findings, thresholds, training films and digest as metadata.
    """
    config = load_config(params).export
    from synthcxr.stages import export as stage

    exported = stage.run(config, films=films, classifier=classifier, judge=judge, gan=gan, out=out)
    print_result([str(out), *(f"  {line}" for line in stage.format_lines(exported))], exported, as_json)


@cloup.command(cls=Command)
@params_option
@path_option("--models", "models/onnx", "Folder of the ONNX files; proposal.onnx and proposal.json are added to it.")
@json_option
def distill(params: Path, models: Path, as_json: bool) -> None:
    """Distil a small network that predicts findings from latents, so that rare findings need fewer candidates.

    `synthcxr generate` uses it for --method guided, which is the default if the network exists.
    """
    config = load_config(params).distill
    from synthcxr.stages import distill as stage

    report = stage.run(config, models=models)
    print_result([str(models / "proposal.onnx"), *stage.format_lines(report)], report, as_json)


@cloup.command(cls=Command)
@params_option
@path_option("--models", "models/onnx", "Folder of the ONNX files.")
@gan_option
@classifier_option
@judge_option
@path_option("--results", "results", "Folder of the results of `synthcxr evaluate` and of the training logs.")
@dataset_option
@path_option("--out", "results/registered.json", "JSON file with the MLflow run and the registered versions.")
@json_option
def register(params: Path, out: Path, as_json: bool, **folders: Path) -> None:
    """Log a run to MLflow and register its models.

    The new version becomes the candidate version. It becomes the champion only if every gate passed and no metric is
    worse than the champion's beyond the confidence intervals.
    """
    config = load_config(params).register
    from synthcxr.stages import register as stage

    registered = stage.run(config, params=params, out=out, **folders)
    lines = [f"{name} version {version}" for name, version in registered["versions"].items()]
    role = "champion" if registered["champion"] else "candidate"
    print_result([*lines, f"{role}: {registered['why']}"], registered, as_json)
