"""Train the PGGAN on the train and judge films; the same command resumes a stopped training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synthcxr.config.schema import GanConfig
from synthcxr.data.condition import find_parts, list_columns
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.films import GAN_TRAINING_SPLITS
from synthcxr.data.images import UInt8
from synthcxr.data.leakage import REFERENCE_FILE, SPLITS_SEEN_IN_TRAINING, TRAINING_FILMS_FILE, TrainingFilms
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.data.number_format import format_quantity
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.evaluation.features import efficientnet_lite0, extractors
from synthcxr.evaluation.metrics import frechet
from synthcxr.networks import efficientnet_weights, safetensors_files, training_config
from synthcxr.storage import atomic, digests, json_files, output_lock
from synthcxr.storage.progress import format_duration, print_line
from synthcxr.training.best_checkpoint import Distance
from synthcxr.training.distributed import join_ranks
from synthcxr.training.gan import train_gan
from synthcxr.training.gan_films import GanFilms
from synthcxr.training.gan_state import GanState, InitialWeights
from synthcxr.training.log_callbacks import LogRow, ProgressCallbacks, StartLogging, ignore_rows
from synthcxr.training.log_writer import TrainingLogWriter

GENERATOR_WEIGHTS_FILE, DISCRIMINATOR_WEIGHTS_FILE = "generator.safetensors", "discriminator.safetensors"
CONFIG_FILE, METRICS_FILE = "config.json", "metrics.json"
OUTPUT_FILES = (GENERATOR_WEIGHTS_FILE, DISCRIMINATOR_WEIGHTS_FILE, CONFIG_FILE, METRICS_FILE, TRAINING_FILMS_FILE)
_NOT_IN_FINGERPRINT = {"start_from", "report_nimg", "checkpoint_nimg", "snapshot_nimg", "n_val_distance", "device"}
_BATCH = 32


@output_lock.fills_folder(OUTPUT_FILES)
def run(
    config: GanConfig,
    *,
    films: Path,
    out: Path,
    log: Path,
    snapshots: Path,
    checkpoints: Path,
    initial_weights: Path | None = None,
    start_logging: StartLogging = ignore_rows,
) -> dict[str, Any]:
    """Train, write the averaged generator, the discriminator, config and metrics to `out`, and return the metrics.

    `log` (CSV) and `snapshots` (grids of synthetic images) are copies of files beside the checkpoints, because DVC
    deletes the outputs of a stage before each run. `initial_weights` is the folder of an earlier training, whose
    networks initialise these. `start_logging` receives the rows of the log. Of several processes that torchrun
    started, only rank 0 writes; the others return no metrics.
    """
    dataset = open_film_dataset(films)
    _require_films(config, dataset)
    training_films = GanFilms(config, dataset)
    weights = None if initial_weights is None else _find_initial_weights(config, initial_weights)
    provenance = _collect_provenance(dataset, initial_weights)
    fingerprint = _compute_fingerprint(config, training_films.fingerprint, weights)
    folder = checkpoints / fingerprint
    with join_ranks(config.device) as ranks:
        if ranks.is_first and training_films.n_unlabelled:
            _print_message(training_films.describe_unlabelled())
        if ranks.is_first and checkpoints.is_dir() and any(checkpoints.iterdir()) and not folder.is_dir():
            _print_message(f"films or parameters have changed; starting a new training in {folder}")
        on_row = (start_logging if ranks.is_first else ignore_rows)(
            dataset.fingerprint, fingerprint, dataclasses.asdict(config)
        )
        writer = TrainingLogWriter(folder=folder, log=log, snapshots=snapshots, on_row=on_row)
        state = train_gan(
            config,
            training_films.read,
            fingerprint=fingerprint,
            folder=folder,
            callbacks=ProgressCallbacks(
                on_resume=writer.resume,
                on_row=functools.partial(_add_row, writer),
                on_grid=functools.partial(_add_grid, writer),
                on_message=_print_message,
            ),
            initial_weights=weights,
            ranks=ranks,
            val_distance=_build_val_distance(config, dataset) if ranks.is_first else None,
            feature_weights=None if config.feature_critic is None else efficientnet_weights.LITE1.find(),
            condition_table=training_films.condition_table,
        )
    if not ranks.is_first:
        return {}
    with atomic.fill_folder(out) as partial:
        return _write_outputs(partial, config, state, training_films, provenance, writer)


def format_lines(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Format metrics.json for a reader: films, images shown, time, and which averaged generator was kept."""
    yield (
        f"trained on {format_quantity(metrics['n_films'], 'film')},"
        f" {metrics['n_films_unlabelled']:,} of them without labels"
    )
    yield (
        f"{format_quantity(metrics['nimg'], 'image')} shown in {format_duration(metrics['wall_s'])}"
        f" ({metrics['images_per_s']:.3g} images/s)"
    )
    yield f"kept the generator after {format_quantity(metrics['chosen_nimg'], 'image')}"


def _require_films(config: GanConfig, dataset: FilmDataset) -> None:
    if dataset.resolution < config.resolution:
        raise DataError(
            f"{dataset.path}: packed up to {dataset.resolution} px, but train_gan.resolution is {config.resolution} px;"
            " lower it, or run `synthcxr prepare` with a higher prepare.resolution"
        )
    if len(dataset.indices(config.resolution, GAN_TRAINING_SPLITS)) == 0:
        raise DataError(
            f"{dataset.path}: no {' or '.join(GAN_TRAINING_SPLITS)} film has {config.resolution} px;"
            " lower train_gan.resolution"
        )


def _build_val_distance(config: GanConfig, dataset: FilmDataset) -> Distance | None:
    """Build the Fréchet distance to the val films in EfficientNet-Lite0 features; None if `n_val_distance` is 0."""
    if config.n_val_distance == 0:
        return None
    if (missing := efficientnet_lite0.describe_missing()) is not None:
        raise ConfigError(f"train_gan.n_val_distance needs {efficientnet_lite0.NAME}: {missing}, or set it to 0")
    pixels, _ = dataset.images(config.resolution, ("val",))
    if len(pixels) < MIN_FILMS_FOR_DISTANCE:
        raise DataError(
            f"train_gan.n_val_distance needs at least {MIN_FILMS_FOR_DISTANCE} val films of {config.resolution}"
            f" px, and there are {len(pixels)}; set it to 0, or raise prepare.shares.val"
        )
    extractor = extractors.open_extractor(efficientnet_lite0.NAME, config.device)
    batches = (pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH))
    real = frechet.fit_gaussian(extractors.compute_features(extractor, batches, len(pixels))["features"])

    def measure_distance(synthetic: Iterator[UInt8]) -> float:
        features = extractors.compute_features(extractor, synthetic, config.n_val_distance)["features"]
        return frechet.frechet_distance_to(real, features)

    return measure_distance


def _find_initial_weights(config: GanConfig, folder: Path) -> InitialWeights:
    weights = InitialWeights(folder / GENERATOR_WEIGHTS_FILE, folder / DISCRIMINATOR_WEIGHTS_FILE)
    for path in (weights.generator, weights.discriminator):
        if not path.is_file():
            raise ArtifactError(
                f"{path}: no such weight file; train_gan.start_from must name a trained generator and discriminator"
            )
    columns = tuple(training_config.read_gan_training(folder).get("condition", ()))
    if columns and columns != list_columns(config.condition):
        parts = ", ".join(find_parts(columns, str(folder / CONFIG_FILE)))
        raise ConfigError(
            f"train_gan.condition: the model that start_from names is conditional on {parts}; set the same condition"
        )
    return weights


@dataclasses.dataclass(frozen=True)
class _Provenance:
    """The films that the generator has seen, in this training and in the earlier ones that it started from."""

    phantom: bool
    attribution: list[str]
    seen_films: dict[str, Any]


def _collect_provenance(dataset: FilmDataset, initial_weights: Path | None) -> _Provenance:
    own = TrainingFilms.from_dataset(dataset, SPLITS_SEEN_IN_TRAINING)
    if initial_weights is None:
        return _Provenance(dataset.phantom, list(dataset.attribution), own.to_arrays())
    config = training_config.read_training(initial_weights)
    path = initial_weights / TRAINING_FILMS_FILE
    if not path.is_file():
        path = initial_weights / REFERENCE_FILE
    earlier = TrainingFilms.read_earlier(path)
    if config["training_data"] != dataset.fingerprint:
        try:
            earlier = TrainingFilms.read(path).union(earlier)
        except ArtifactError as error:
            raise ArtifactError(
                f"{initial_weights}: trained on other films, which it does not list; run its train-gan again, which"
                " only adds the list, or start from a newly exported model"
            ) from error
    attribution = sorted({*dataset.attribution, *config.get("attribution", ())})
    return _Provenance(dataset.phantom or config["phantom"], attribution, own.to_arrays(earlier))


def _compute_fingerprint(config: GanConfig, films_fingerprint: str, weights: InitialWeights | None) -> str:
    """Return the fingerprint of a training, to which its checkpoints belong.

    The initial weights enter by their digests, because the address in `start_from` may later name another model.
    """
    fields = {key: str(value) for key, value in dataclasses.asdict(config).items() if key not in _NOT_IN_FINGERPRINT}
    identity: dict[str, Any] = {"config": fields, "films": films_fingerprint}
    if weights is not None:
        identity["start"] = [digests.sha256_file(path) for path in (weights.generator, weights.discriminator)]
    return digests.fingerprint(identity)


def _add_row(writer: TrainingLogWriter, row: LogRow) -> None:
    """Write a row of the log, and print the val distance where the row has one."""
    writer.add_row(row)
    if "val_distance" in row:
        best = writer.select_nimg()
        place = "the smallest so far" if best == row["nimg"] else f"the smallest was that after {best:,}"
        _print_message(f"distance to the val films after {row['nimg']:,} images: {row['val_distance']:.4g}, {place}")


def _add_grid(writer: TrainingLogWriter, nimg: int, images: UInt8) -> None:
    _print_message(f"sample images after showing {format_quantity(nimg, 'image')}: {writer.add_grid(nimg, images)}")


def _print_message(line: str) -> None:
    print_line(f"train-gan: {line}")


def _write_outputs(
    out: Path,
    config: GanConfig,
    state: GanState,
    training_films: GanFilms,
    provenance: _Provenance,
    writer: TrainingLogWriter,
) -> dict[str, Any]:
    dataset, table = training_films.dataset, training_films.condition_table
    metadata = {"training_data": dataset.fingerprint, "phantom": str(provenance.phantom)}
    safetensors_files.save(out / GENERATOR_WEIGHTS_FILE, state.ema, {"kind": "generator"} | metadata)
    safetensors_files.save(out / DISCRIMINATOR_WEIGHTS_FILE, state.discriminator, {"kind": "discriminator"} | metadata)
    arrays: dict[str, Any] = provenance.seen_films | ({} if table is None else table.to_arrays())
    with atomic.open_file(out / TRAINING_FILMS_FILE) as file:
        np.savez(file, **arrays)
    channels = {side: n for side, n in config.channels.items() if side <= config.resolution}
    json_files.write_json(
        out / CONFIG_FILE,
        {
            "network": state.ema.build_network_config(channels),
            "resolution": config.resolution,
            "training_data": dataset.fingerprint,
            "fingerprint": writer.folder.name,
            "phantom": provenance.phantom,
            "attribution": provenance.attribution,
            "parameters": dataclasses.asdict(config),
        }
        | ({} if table is None else {"condition": list_columns(config.condition)}),
    )
    last = writer.rows[-1]
    metrics = {
        "nimg": int(last["nimg"]),
        "wall_s": float(last["wall_s"]),
        "images_per_s": int(last["nimg"]) / max(float(last["wall_s"]), 1e-9),
        "chosen_nimg": writer.select_nimg(),
        "n_films": len(dataset.indices(config.resolution, GAN_TRAINING_SPLITS)),
        "n_films_unlabelled": training_films.n_unlabelled,
        "n_parameters_generator": sum(p.numel() for p in state.ema.parameters()),
        "n_parameters_discriminator": sum(p.numel() for p in state.discriminator.parameters()),
    }
    json_files.write_json(out / METRICS_FILE, metrics)
    return metrics
