"""One frozen dataclass per section of params.yaml. There are no defaults: the file has the value of every key."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from synthcxr.config import parsing
from synthcxr.config.bounds import (
    AdamBeta,
    BatchSize,
    Count,
    CountOrZero,
    Depth,
    LearningRate,
    Nimg,
    NimgOrZero,
    Resamples,
    Seed,
    Share,
    Side,
    Weight,
    Width,
    WidthOrZero,
)
from synthcxr.config.gan_sections import (
    AugmentConfig,
    ConditionFadeConfig,
    ConditionPart,
    FeatureCriticConfig,
    SamplingConfig,
    check_condition,
)
from synthcxr.errors import ConfigError
from synthcxr.storage import yaml_files

Device = Literal["auto", "cuda", "cpu"]
Method = Literal["auto", "conditional", "guided", "reject", "optimise"]
"""How requested findings are sampled; `synthesis.sampling.strategy.resolve_method` says what "auto" becomes."""
ResolvedMethod = Literal["conditional", "guided", "reject", "optimise"]

_MIN_SELECTIVE_DRAWS, _DRAWS_PER_IMAGE = 1000, 500
_MAX_LAYER_VALUES = 2**34  # 64 GiB in fp32


@dataclasses.dataclass(frozen=True)
class SplitShares:
    """The share of patients in each split; the shares sum to 1."""

    train: Share
    judge: Share
    val: Share
    test: Share


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Reading and packing films.

    `sources` are mappings with the key `reader` and the options of that reader. `resolution` is the side in pixels.
    `on_bad` says what an unreadable film does: stop with an error, or be left out. `splits_from` is the folder of an
    earlier packed dataset whose patients keep their splits. `unlabelled_test_share` is the share of the patients
    without labels whose films are test films: copies of such films can be searched for only if some are held out.
    """

    sources: tuple[dict[str, Any], ...]
    resolution: Side
    view: Literal["PA", "AP", "both"]
    shares: SplitShares
    seed: Seed
    on_bad: Literal["error", "skip"]
    splits_from: str | None = None
    unlabelled_test_share: Share = 0.0


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """A classifier of the 14 findings.

    `resolution` is the side of the input in pixels, `width` the number of channels of the backbone `small`, `weights`
    what the backbone starts from, and `n_bootstrap` the number of resamples of a confidence interval. `soft_labels` is
    a table of probabilities that another classifier predicted for training films; the judge has none.
    """

    backbone: Literal["small", "densenet121", "efficientnet-lite0"]
    weights: Literal["none", "imagenet"]
    resolution: Side
    width: WidthOrZero
    n_epochs: Count
    batch: BatchSize
    lr: LearningRate
    weight_decay: Share
    n_bootstrap: Resamples
    seed: Seed
    device: Device
    soft_labels: str | None = None


@dataclasses.dataclass(frozen=True)
class GanConfig:
    """The PGGAN and its training. Mappings are keyed by resolution; `nimg` counts images shown to the discriminator.

    `start_from` is a folder or a model address: training starts from its generator and discriminator, or from random
    weights if it is null. At each snapshot of the final resolution, the distance of `n_val_distance` images to the val
    films is measured, and training returns the generator with the smallest distance; 0 returns the last one.
    `image_moments` weights the distance between the means and covariances of films and images reduced to 8 px, from
    8 px on, and `spectrum_moments` the same for their spectra, from 16 px on; 0 leaves either out.

    `condition` lists what the condition of both networks contains; an empty list trains an unconditional GAN.
    """

    resolution: Side
    latent: Width
    blocks: Literal["paper", "lean"]
    start_from: str | None
    channels: dict[Side, Width]
    nimg: dict[Side, NimgOrZero]
    batch: dict[Side, BatchSize]
    fade_nimg: dict[Side, NimgOrZero]
    sampling: SamplingConfig
    condition: tuple[ConditionPart, ...]
    condition_fade: ConditionFadeConfig | None
    loss: Literal["wgan-gp", "r1"]
    penalty: Weight
    penalty_interval: Count
    drift: Weight
    lr_g: LearningRate
    lr_d: LearningRate
    lr_decay_share: Share
    betas: tuple[AdamBeta, AdamBeta]
    ema_half_life_nimg: Nimg
    augment: AugmentConfig
    feature_critic: FeatureCriticConfig | None
    image_moments: Weight
    spectrum_moments: Weight
    precision: Literal["auto", "fp32", "bf16"]
    channels_last: bool
    report_nimg: Nimg
    checkpoint_nimg: Nimg
    snapshot_nimg: Nimg
    n_val_distance: CountOrZero
    seed: Seed
    device: Device


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """ONNX files.

    `fp16` stores weights in half precision. `n_reference` is the largest number of films whose features are exported.
    """

    fp16: bool
    n_reference: Count
    licence: str


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """The proposal: a perceptron of `width` and `depth` that predicts the classifier's logits from a latent.

    It is trained on `n_pairs` random latents, then twice more with `n_led` latents for each finding that it proposes
    itself. It is evaluated on `n_held` random latents, and for each finding on `n_measured` proposed ones.
    """

    n_pairs: Count
    n_held: Count
    n_led: Count
    n_measured: Count
    width: Width
    depth: Depth
    n_epochs: Count
    batch: BatchSize
    lr: LearningRate
    seed: Seed
    device: Device


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """A synthetic dataset of `n` images, made from at most `max_draws` candidates.

    All images show `labels`, and none shows a finding of `without`. Instead, `per_label` requests that many images of
    each finding, and `mix` a distribution over sets of findings, "nih" or a file; null leaves either out. `view` (PA or
    AP), `sex` (F or M) and `age` (in years, such as 60-70) are for conditional generators; null accepts any.
    `with_judge` also writes the judge's probabilities.
    """

    n: Count
    seed: Seed
    labels: tuple[str, ...]
    without: tuple[str, ...]
    per_label: Count | None
    mix: str | None
    view: Literal["PA", "AP"] | None
    sex: Literal["F", "M"] | None
    age: str | None
    method: Method
    with_judge: bool
    max_draws: Nimg
    batch: BatchSize
    device: Device


@dataclasses.dataclass(frozen=True)
class Gate:
    """A bound on a metric: the largest value `max` or the smallest value `min`; the other is null."""

    metric: str
    max: float | None
    min: float | None


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """The evaluation of a synthetic dataset.

    `extractors` are the names of feature extractors, `n_bootstrap` is the number of resamples, and `max_label_kl` the
    bound of the gate on `labels.classifier.kl`, the label divergence by the classifier, which always applies.
    """

    extractors: tuple[str, ...]
    n_bootstrap: Resamples
    max_label_kl: Weight
    seed: Seed
    device: Device
    gates: tuple[Gate, ...]


@dataclasses.dataclass(frozen=True)
class RegisterConfig:
    """The MLflow experiment that the run is logged to."""

    experiment: str


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """The HTML report: its title, and the number of synthetic images that it shows."""

    title: str
    n_images: Count


@dataclasses.dataclass(frozen=True)
class Config:
    """All sections of params.yaml, one per stage."""

    prepare: PrepareConfig
    train_classifier: ClassifierConfig
    train_judge: ClassifierConfig
    train_gan: GanConfig
    export: ExportConfig
    distill: DistillConfig
    generate: GenerateConfig
    evaluate: EvaluateConfig
    register: RegisterConfig
    report: ReportConfig


def default_max_draws(n: int, *, selective: bool) -> int:
    """The largest number of candidates that a request for `n` images tries by default.

    `selective` says that not every candidate is accepted: the request names findings, or near copies are left out.
    """
    return max(_MIN_SELECTIVE_DRAWS, _DRAWS_PER_IMAGE * n) if selective else n


def load_config(path: Path) -> Config:
    """Read params.yaml; ConfigError names the path of a missing, unknown or ill-typed key or a value out of range."""
    if not path.exists():
        raise ConfigError(f"{path}: no such parameter file; create one with `synthcxr init`")
    tree = yaml_files.read_yaml(path, error=ConfigError, advice="correct it, or create one with `synthcxr init`")
    return build_config(tree, path)


def build_config(tree: Any, path: Path) -> Config:
    """Build the parameters from the parsed content of params.yaml; ConfigError as for `load_config`."""
    config: Config = parsing.build(Config, tree, where=str(path), joiner=": ")
    _check(config, path)
    return config


def _check(config: Config, path: Path) -> None:
    total = sum(dataclasses.astuple(config.prepare.shares))
    if abs(total - 1) > 1e-6:
        raise ConfigError(f"{path}: prepare.shares: must sum to 1, sum to {total:g}")
    for section, side in (("prepare", config.prepare.resolution), ("train_gan", config.train_gan.resolution)):
        if side < 8 or side > 1024 or side & (side - 1):
            raise ConfigError(f"{path}: {section}.resolution: {side} is not a power of two from 8 to 1024")
    if config.train_gan.resolution > config.prepare.resolution:
        raise ConfigError(f"{path}: train_gan.resolution: is above prepare.resolution, {config.prepare.resolution} px")
    gan = config.train_gan
    shown_nimg = sum(nimg for side, nimg in gan.nimg.items() if side <= gan.resolution)
    where, batch = f"{path}: train_gan", gan.batch.get(gan.resolution, 1)
    check_condition(gan.condition, gan.condition_fade, shown_nimg=shown_nimg, batch=batch, where=where)
    for name, n_values in _list_layer_sizes(config):
        if n_values > _MAX_LAYER_VALUES:
            raise ConfigError(f"{path}: {name}: one layer needs {4 * n_values / 2**30:,.0f} GiB; lower it or the width")
    for section, classifier in _list_classifiers(config):
        if classifier.backbone == "small" and not classifier.width:
            raise ConfigError(f"{path}: {section}.width: must be at least 1 for the backbone small, is 0")


def _list_layer_sizes(config: Config) -> list[tuple[str, int]]:
    """The name of every batch size of a training, and the number of values of its largest layer."""
    gan = config.train_gan
    sizes = [(f"train_gan.batch.{side}", n * gan.channels.get(side, 1) * side**2) for side, n in gan.batch.items()]
    for section, classifier in _list_classifiers(config):
        sizes.append((f"{section}.batch", classifier.batch * max(classifier.width, 1) * classifier.resolution**2))
    return sizes


def _list_classifiers(config: Config) -> tuple[tuple[str, ClassifierConfig], ...]:
    return ("train_classifier", config.train_classifier), ("train_judge", config.train_judge)
