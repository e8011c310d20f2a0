"""What later stages will refuse, or cannot measure, with the films that `prepare` has packed."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from synthcxr.data.films import GAN_TRAINING_SPLITS, HELD_OUT_SPLITS
from synthcxr.data.findings import FINDINGS, NO_FINDING
from synthcxr.data.minimum_films import (
    MIN_FILMS_FOR_CALIBRATION,
    MIN_FILMS_FOR_DISTANCE,
    MIN_FILMS_TO_TRAIN,
    MIN_POSITIVES_FOR_AUROC,
    MIN_VAL_POSITIVES,
)


def list_warnings(manifest: pd.DataFrame, resolution: int) -> tuple[str, ...]:
    """List what later stages will refuse or leave out, with what to do, for films of at least `resolution` px."""
    films = manifest[manifest["size"] >= resolution]
    return (*_warn_about_numbers(films, resolution), *_warn_about_labels(films, manifest))


def _warn_about_numbers(films: pd.DataFrame, resolution: int) -> Iterator[str]:
    n_films = {split: int(n) for split, n in films["split"].value_counts().items()}
    n_train, n_judge, n_val, n_test = (n_films.get(split, 0) for split in ("train", "judge", "val", "test"))
    for split, n, command in (("train", n_train, "train-classifier"), ("judge", n_judge, "train-judge")):
        if n < MIN_FILMS_TO_TRAIN:
            yield _describe(n, split, resolution, MIN_FILMS_TO_TRAIN, f"`{command}` will refuse them")
    if sum(n_films.get(split, 0) for split in GAN_TRAINING_SPLITS) == 0:
        yield _describe(0, " and ".join(GAN_TRAINING_SPLITS), resolution, 1, "`train-gan` will refuse them")
    if n_val < MIN_FILMS_TO_TRAIN:
        refusal = "`train-classifier`, `train-judge` and `export` will refuse them"
        yield _describe(n_val, "val", resolution, MIN_FILMS_TO_TRAIN, refusal)
    if n_val < MIN_FILMS_FOR_DISTANCE:
        refusal = (
            "`train-gan` will refuse to choose the generator by its distance to val, which train_gan.n_val_distance: 0"
            " turns off"
        )
        yield _describe(n_val, "val", resolution, MIN_FILMS_FOR_DISTANCE, refusal)
    if n_val < MIN_FILMS_FOR_CALIBRATION:
        refusal = "`export` will not calibrate probabilities"
        yield _describe(n_val, "val", resolution, MIN_FILMS_FOR_CALIBRATION, refusal)
    if n_test < MIN_FILMS_FOR_DISTANCE:
        refusal = "`evaluate` will report distances as not applicable, and `utility` will refuse them"
        yield _describe(n_test, "test", resolution, MIN_FILMS_FOR_DISTANCE, refusal)
    if n_val + n_test < MIN_FILMS_FOR_DISTANCE:
        splits = " and ".join(HELD_OUT_SPLITS)
        refusal = "`generate --reject-memorised` will refuse them"
        yield _describe(n_val + n_test, splits, resolution, MIN_FILMS_FOR_DISTANCE, refusal)


def _describe(n: int, split: str, resolution: int, minimum: int, refusal: str) -> str:
    shares = " or ".join(f"prepare.shares.{name}" for name in split.split(" and "))
    return (
        f"warning: {n:,} {split} films of {resolution} px are fewer than {minimum}: {refusal}; add films, or raise"
        f" {shares}"
    )


def _warn_about_labels(films: pd.DataFrame, manifest: pd.DataFrame) -> Iterator[str]:
    labels = manifest[list(FINDINGS)]
    if labels.isna().all(axis=None):
        yield "warning: no film has a label: a classifier and a judge learn nothing from these films; add labels"
        return
    if not ((labels == 1).any() & (labels == 0).any()).any():
        names = [name for name in FINDINGS if (labels[name] == 1).any()] or [NO_FINDING]
        yield (
            f"warning: the labelled films are of one class only ({', '.join(names)}): every AUROC will be null, and the"
            " labels of images will mean nothing; add films of other classes"
        )
        return
    val = films.loc[films["split"] == "val", list(FINDINGS)]
    n_positive, n_negative = (val == 1).sum(), (val == 0).sum()
    present = [name for name in FINDINGS if (labels[name] == 1).any()]
    one_class = [name for name in present if min(n_positive[name], n_negative[name]) == 0]
    if one_class:
        yield (
            f"warning: val has no film with, or no film without, {', '.join(one_class)}: their AUROC will be null;"
            " add films with known labels, or raise prepare.shares.val"
        )
    if all(min(n_positive[name], n_negative[name]) < MIN_POSITIVES_FOR_AUROC for name in FINDINGS):
        yield (
            f"warning: no finding has {MIN_POSITIVES_FOR_AUROC} val films with it and {MIN_POSITIVES_FOR_AUROC} without"
            " it: the mean AUROC will be null, and epochs are chosen by the loss alone; add films with known labels"
        )
    weak = [name for name in present if n_positive[name] < MIN_VAL_POSITIVES]
    if weak:
        yield (
            f"warning: fewer than {MIN_VAL_POSITIVES} val films have {', '.join(weak)}: their thresholds will depend on"
            " train films, and they enter no gate; add films with them, or raise prepare.shares.val"
        )
