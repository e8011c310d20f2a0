"""One frozen dataclass per section of params.yaml. No defaults: every value stands in the file that was run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from synthcxr.config import parsing
from synthcxr.errors import ConfigError

Device = Literal["auto", "cuda", "cpu"]


@dataclasses.dataclass(frozen=True)
class Shares:
    """Share of patients on each side; they sum to 1."""

    train: float
    judge: float
    val: float
    test: float


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Films in: `sources` are mappings with `reader` and that reader's options; sizes are pixels."""

    sources: tuple[dict[str, Any], ...]
    resolution: int
    view: Literal["PA", "AP", "both"]
    shares: Shares
    seed: int
    on_bad: Literal["error", "skip"]


@dataclasses.dataclass(frozen=True)
class ClassifierConfig:
    """A 14-finding classifier; `resolution` is the side of what its backbone sees, `width` the small one's."""

    backbone: Literal["small", "densenet121", "efficientnet-lite0"]
    weights: Literal["none", "imagenet"]
    resolution: int
    width: int
    n_epochs: int
    batch: int
    lr: float
    weight_decay: float
    n_bootstrap: int
    seed: int
    device: Device


@dataclasses.dataclass(frozen=True)
class Augment:
    """Differentiable augmentation of real and synthetic alike; 0 turns a part off. Shares are of the side."""

    translate: float
    brightness: float
    contrast: float
    cutout: float
    cutout_p: float


@dataclasses.dataclass(frozen=True)
class FeatureCritic:
    """A second critic on frozen ImageNet features, beside the discriminator: what G pays it is `weight` of its loss.

    It looks at `share` of each batch; the heads pay `penalty` on real maps every `penalty_interval` steps. `moments`
    weighs the distance of the features' means and covariances, which G minimises as well; 0 leaves it out.
    """

    share: float
    weight: float
    penalty: float
    penalty_interval: int
    moments: float


@dataclasses.dataclass(frozen=True)
class GanConfig:
    """The PGGAN and its training. Mappings are keyed by resolution; `nimg` counts images shown to D.

    `start_from` is a folder or a model address whose G and D training goes on from; null starts from nothing.
    At each snapshot of the final size, `n_val_distance` images are held against the val films, and the generator
    nearest to them is what training ends with; 0 takes the last. `image_moments` weighs how far images, 8 px small,
    are from films in mean and covariance, from 8 px on; `spectrum_moments` the same of their spectra, from 16 px on.
    0 is without.
    """

    resolution: int
    latent: int
    blocks: Literal["paper", "lean"]
    start_from: str | None
    channels: dict[int, int]
    nimg: dict[int, int]
    batch: dict[int, int]
    fade_nimg: dict[int, int]
    loss: Literal["wgan-gp", "r1"]
    penalty: float
    penalty_interval: int
    drift: float
    lr_g: float
    lr_d: float
    lr_decay_share: float
    betas: tuple[float, float]
    ema_half_life_nimg: int
    augment: Augment
    feature_critic: FeatureCritic | None
    image_moments: float
    spectrum_moments: float
    precision: Literal["auto", "fp32", "bf16"]
    channels_last: bool
    report_nimg: int
    checkpoint_nimg: int
    snapshot_nimg: int
    n_val_distance: int
    seed: int
    device: Device


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """ONNX files: `fp16` stores weights in half precision; `n_reference` caps the feature rows that ship."""

    fp16: bool
    n_reference: int
    licence: str


@dataclasses.dataclass(frozen=True)
class DistillConfig:
    """The proposal: `n_pairs` latents with their logits to learn from, and a perceptron.

    It then leads `n_led` latents to each finding and learns from those too, twice. What is measured is measured on
    `n_held` latents as they were drawn and, by finding, on `n_measured` that were led.
    """

    n_pairs: int
    n_held: int
    n_led: int
    n_measured: int
    width: int
    depth: int
    n_epochs: int
    batch: int
    lr: float
    seed: int
    device: Device


@dataclasses.dataclass(frozen=True)
class GenerateConfig:
    """A synthetic dataset: n images, optionally all with `labels` and none `without`, at most `max_draws` tried.

    `per_label` (or null) asks for that many of each finding instead, `mix` (or null) for a distribution over sets of
    findings, "nih" or a file. `method` auto is guided where the model has a proposal, else reject.
    """

    n: int
    seed: int
    labels: tuple[str, ...]
    without: tuple[str, ...]
    per_label: int | None
    mix: str | None
    method: Literal["auto", "guided", "reject", "optimise"]
    with_judge: bool
    max_draws: int
    batch: int
    device: Device


@dataclasses.dataclass(frozen=True)
class Gate:
    """One bound that a metric must keep: `max` or `min` (the other null)."""

    metric: str
    max: float | None
    min: float | None


@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Evidence: extractors by name, bootstrap draws, bound of the label divergence, gates."""

    extractors: tuple[str, ...]
    n_bootstrap: int
    max_label_kl: float
    seed: int
    device: Device
    gates: tuple[Gate, ...]


@dataclasses.dataclass(frozen=True)
class RegisterConfig:
    """Where in MLflow: the experiment that the run is logged to."""

    experiment: str


@dataclasses.dataclass(frozen=True)
class ReportConfig:
    """The HTML report: its title and how many synthetic images the grid shows."""

    title: str
    n_images: int


@dataclasses.dataclass(frozen=True)
class Config:
    """The whole of params.yaml, a section per stage."""

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


def load(path: Path) -> Config:
    """Read params.yaml; a missing, unknown or ill-typed key is a ConfigError that names its path."""
    try:
        tree = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such parameter file; `synthcxr init` writes one") from None
    except (YAMLError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    config: Config = parsing.build(Config, tree, where=str(path), joiner=": ")
    _check(config, path)
    return config


def _check(config: Config, path: Path) -> None:
    total = sum(dataclasses.astuple(config.prepare.shares))
    if abs(total - 1) > 1e-6:
        raise ConfigError(f"{path}: prepare.shares: must sum to 1, sum to {total:g}")
    for section, side in (("prepare", config.prepare.resolution), ("train_gan", config.train_gan.resolution)):
        if side < 8 or side > 1024 or side & (side - 1):
            raise ConfigError(f"{path}: {section}.resolution: {side} is no power of two from 8 to 1024")
    if config.train_gan.resolution > config.prepare.resolution:
        raise ConfigError(
            f"{path}: train_gan.resolution: {config.train_gan.resolution} px is above prepare.resolution,"
            f" {config.prepare.resolution} px"
        )
    for name, value, least in _bounded(config):
        if value < least:
            raise ConfigError(f"{path}: {name}: must be at least {least}, is {value}")


def _bounded(config: Config) -> list[tuple[str, int, int]]:
    """Name, value and least value of every whole number that has a bound."""
    sections = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    held = [(f"{name}.seed", section.seed, 0) for name, section in sections.items() if hasattr(section, "seed")]
    counts = {
        "train_gan": (
            "latent",
            "penalty_interval",
            "ema_half_life_nimg",
            "report_nimg",
            "checkpoint_nimg",
            "snapshot_nimg",
        ),
        "train_classifier": ("batch", "n_epochs"),
        "train_judge": ("batch", "n_epochs"),
        "export": ("n_reference",),
        "distill": ("n_pairs", "n_held", "n_led", "n_measured", "width", "n_epochs", "batch"),
        "generate": ("n", "batch", "max_draws"),
        "evaluate": ("n_bootstrap",),
        "report": ("n_images",),
    }
    held += [(f"{name}.{key}", getattr(sections[name], key), 1) for name, keys in counts.items() for key in keys]
    gan = config.train_gan
    held += [
        (f"train_gan.{key}.{side}", n, 1) for key in ("batch", "channels") for side, n in getattr(gan, key).items()
    ]
    return held + [
        (f"train_gan.{key}.{side}", n, 0) for key in ("nimg", "fade_nimg") for side, n in getattr(gan, key).items()
    ]
