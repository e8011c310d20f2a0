"""Train the PGGAN on the train and judge films; going on where a stopped run left off."""

from __future__ import annotations

import csv
import dataclasses
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthcxr.config.schema import GanConfig
from synthcxr.data import film_dataset
from synthcxr.data import leakage as seen
from synthcxr.data.images import UInt8
from synthcxr.errors import ArtifactError, ConfigError, DataError
from synthcxr.evaluation.features import efficientnet_lite0
from synthcxr.evaluation.metrics import frechet
from synthcxr.networks import efficientnet_weights, safetensors_files
from synthcxr.networks.generator import Generator
from synthcxr.storage import atomic, digests, json_files, overwrite_guard
from synthcxr.training import gan
from synthcxr.training.best_checkpoint import Distance
from synthcxr.training.distributed import joined
from synthcxr.training.log_callbacks import Follow, Hear, nobody

SPLITS = ("train", "judge")
WRITTEN = ("generator.safetensors", "discriminator.safetensors", "config.json", "metrics.json", seen.FILE)
COLUMNS = (
    *("nimg", "resolution", "alpha", "lr", "loss_d", "loss_g"),
    *(
        "penalty",
        "real_logit",
        "synthetic_logit",
        "feature_loss_d",
        "feature_loss_g",
        "val_distance",
        "images_per_s",
        "wall_s",
    ),
)
_NO_MATTER = {"start_from", "report_nimg", "checkpoint_nimg", "snapshot_nimg", "n_val_distance", "device"}
_BATCH = 32


def run(
    config: GanConfig,
    *,
    data: Path,
    out: Path,
    log: Path,
    snapshots: Path,
    checkpoints: Path,
    start: Path | None = None,
    follow: Follow = nobody,
) -> dict[str, Any]:
    """Train and write generator (averaged), discriminator, config and metrics to `out`; returns the metrics.

    `log` (CSV) and `snapshots` (grids of synthetic images) are copies of what lies beside the checkpoints, so that
    a pipeline that clears them before each run loses nothing. `start` is the folder of an earlier training's weights,
    to go on from; `follow` is told of the training and hears its rows. Of several processes that torchrun has started
    the first writes all of that, and the others return no metrics.
    """
    overwrite_guard.refuse_strangers(out, WRITTEN)
    films = film_dataset.open_dataset(data)
    if films.resolution < config.resolution:
        raise DataError(f"{data}: packed up to {films.resolution} px, train_gan.resolution is {config.resolution} px")
    if len(films.indices(config.resolution, SPLITS)) == 0:
        raise DataError(f"{data}: no film of {config.resolution} px among {' and '.join(SPLITS)}; lower the resolution")
    begin = None if start is None else _start(start)
    origin = _origin(films, start)
    fingerprint = _fingerprint(config, films.fingerprint, begin)
    folder = checkpoints / fingerprint
    with joined(config.device) as ranks:
        if ranks.first and checkpoints.is_dir() and any(checkpoints.iterdir()) and not folder.is_dir():
            _say(f"other films or parameters than before: starting anew in {folder}")
        told = follow if ranks.first else nobody
        hear = told(films.fingerprint, fingerprint, dataclasses.asdict(config))
        journal = Journal(folder=folder, log=log, snapshots=snapshots, hear=hear)
        listeners = gan.Listeners(row=journal.row, grid=journal.grid, say=_say, resumed=journal.resumed)
        state = gan.train(
            config,
            _reader(films),
            fingerprint=fingerprint,
            folder=folder,
            listeners=listeners,
            start=begin,
            ranks=ranks,
            val_distance=_val_distance(config, films) if ranks.first else None,
            feature_weights=None if config.feature_critic is None else efficientnet_weights.LITE1.find(),
        )
    return _write(out, config, state.ema, state.discriminator, films, origin, journal) if ranks.first else {}


def _reader(films: film_dataset.Dataset) -> Any:
    arrays: dict[int, tuple[NDArray[np.uint8], NDArray[np.int64]]] = {}

    def read(resolution: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        if resolution not in arrays:
            arrays[resolution] = films.memmap(resolution), films.indices(resolution, SPLITS)
        return arrays[resolution]

    return read


def _val_distance(config: GanConfig, films: film_dataset.Dataset) -> Distance | None:
    """Frechet distance to the val films in EfficientNet-Lite0 features; None where the last weights are taken."""
    if config.n_val_distance == 0:
        return None
    if (what := efficientnet_lite0.missing()) is not None:
        raise ConfigError(f"train_gan.n_val_distance wants {efficientnet_lite0.LITE0}: {what}, or set it to 0")
    pixels, _ = films.images(config.resolution, ("val",))
    if len(pixels) < frechet.MIN_FILMS:
        raise DataError(
            f"{len(pixels)} val films of {config.resolution} px choose no generator (at least {frechet.MIN_FILMS});"
            " set train_gan.n_val_distance to 0, or give val a larger share"
        )
    extractor = efficientnet_lite0.efficientnet_lite0(config.device)
    batches = (pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH))
    held_out = frechet.fitted(efficientnet_lite0.extract(extractor.run, batches)["features"])

    def distance(made: Iterator[UInt8]) -> float:
        return frechet.distance_to(held_out, efficientnet_lite0.extract(extractor.run, made)["features"])

    return distance


def _start(folder: Path) -> gan.Start:
    found = gan.Start(folder / WRITTEN[0], folder / WRITTEN[1])
    for path in (found.generator, found.discriminator):
        if not path.is_file():
            raise ArtifactError(f"{path}: no such weight file; train_gan.start_from wants a trained G and D")
    return found


@dataclasses.dataclass(frozen=True)
class _Origin:
    """Whose films G has learned from: those of this training, and of the one that it goes on from."""

    phantom: bool
    attribution: list[str]
    seen: dict[str, Any]


def _origin(films: film_dataset.Dataset, start: Path | None) -> _Origin:
    own = seen.of(films, seen.LEARNED)
    if start is None:
        return _Origin(films.phantom, list(films.attribution), own.arrays())
    about = json_files.read_json(start / "config.json")
    path = start / seen.FILE if (start / seen.FILE).is_file() else start / "reference.npz"
    earlier = seen.read_earlier(path)
    if about["training_data"] != films.fingerprint:
        try:
            earlier = seen.read(path).joined(earlier)
        except ArtifactError as error:
            raise ArtifactError(
                f"{start}: learned from other films and does not say which; run its train-gan once more, which ends at"
                " once, or start from a model that was exported since"
            ) from error
    attribution = sorted({*films.attribution, *about["attribution"]})
    return _Origin(films.phantom or bool(about["phantom"]), attribution, own.arrays(earlier))


def _fingerprint(config: GanConfig, films: str, start: gan.Start | None) -> str:
    """What a checkpoint belongs to; of `start_from` the weights count, since an address may come to mean others."""
    fields = {key: value for key, value in dataclasses.asdict(config).items() if key not in _NO_MATTER}
    begun = {} if start is None else {"start": [digests.sha256_file(path) for path in dataclasses.astuple(start)]}
    return digests.fingerprint({"config": {k: str(v) for k, v in fields.items()}, "films": films} | begun)


def _say(line: str) -> None:
    sys.stderr.write(f"train-gan: {line}\n")


@dataclasses.dataclass
class Journal:
    """Rows and grids of one training, kept beside its checkpoints and copied to where the pipeline wants them."""

    folder: Path
    log: Path
    snapshots: Path
    hear: Hear
    rows: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def resumed(self, nimg: int) -> None:
        """Forget what was noted after the checkpoint from which training goes on."""
        kept = self.folder / "log.csv"
        if kept.is_file():
            with kept.open(newline="", encoding="utf-8") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["nimg"]) <= nimg]
        self._write()
        for grid in sorted((self.folder / "snapshots").glob("grid_*.png")):
            self._publish(grid)

    def row(self, row: gan.Row) -> None:
        """Note a row; its wall_s becomes the total over every run so far."""
        before = float(self.rows[-1]["wall_s"]) if self.rows else 0.0
        noted = row | {"wall_s": before + row["wall_s"]}
        self.rows.append({column: f"{noted[column]:.6g}" if column in noted else "" for column in COLUMNS})
        self.rows[-1]["nimg"] = str(int(row["nimg"]))
        self._write()
        self.hear(self.rows[-1])

    def grid(self, nimg: int, images: NDArray[np.uint8]) -> None:
        """Save a square grid of uint8 [N, R, R] images."""
        path = self.folder / "snapshots" / f"grid_{nimg:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = int(len(images) ** 0.5)
        rows = [np.concatenate(list(images[i * side : (i + 1) * side]), axis=1) for i in range(side)]
        Image.fromarray(np.concatenate(rows)).save(path)
        self._publish(path)

    def _write(self) -> None:
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        for path in (self.folder / "log.csv", self.log):
            atomic.text(path, table.getvalue())

    def _publish(self, grid: Path) -> None:
        self.snapshots.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(grid, self.snapshots / grid.name)


def _chosen(rows: list[dict[str, str]]) -> int:
    """The nimg of the weights that are kept: the nearest to the val films, or the last where none was measured."""
    measured = [row for row in rows if row["val_distance"]]
    kept = min(measured, key=lambda row: float(row["val_distance"])) if measured else rows[-1]
    return int(kept["nimg"])


def _write(
    out: Path,
    config: GanConfig,
    ema: Generator,
    discriminator: Any,
    films: film_dataset.Dataset,
    origin: _Origin,
    journal: Journal,
) -> dict[str, Any]:
    channels = {side: n for side, n in config.channels.items() if side <= config.resolution}
    network = ema.network_config(channels)
    metadata = {"training_data": films.fingerprint, "phantom": str(origin.phantom)}
    safetensors_files.save(out / "generator.safetensors", ema, {"kind": "generator"} | metadata)
    safetensors_files.save(out / "discriminator.safetensors", discriminator, {"kind": "discriminator"} | metadata)
    np.savez(out / seen.FILE, **origin.seen)
    json_files.write_json(
        out / "config.json",
        {
            "network": network,
            "resolution": config.resolution,
            "training_data": films.fingerprint,
            "fingerprint": journal.folder.name,
            "phantom": origin.phantom,
            "attribution": origin.attribution,
            "parameters": dataclasses.asdict(config),
        },
    )
    last = journal.rows[-1]
    metrics = {
        "nimg": int(last["nimg"]),
        "wall_s": float(last["wall_s"]),
        "images_per_s": int(last["nimg"]) / max(float(last["wall_s"]), 1e-9),
        "chosen_nimg": _chosen(journal.rows),
        "n_films": len(films.indices(config.resolution, SPLITS)),
        "n_parameters_generator": sum(p.numel() for p in ema.parameters()),
        "n_parameters_discriminator": sum(p.numel() for p in discriminator.parameters()),
    }
    json_files.write_json(out / "metrics.json", metrics)
    return metrics
