"""Tests whether each extractor's Fréchet distance grows when real films are disturbed; writes a table and a figure."""

from __future__ import annotations

import csv
import dataclasses
import io
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthcxr.config.schema import Device
from synthcxr.data import random_streams
from synthcxr.data.film_dataset import FilmDataset, open_film_dataset
from synthcxr.data.images import Float32, UInt8
from synthcxr.data.leakage import require_unseen
from synthcxr.data.minimum_films import MIN_FILMS_FOR_DISTANCE
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation import disturbance
from synthcxr.evaluation.disturbance import DISTURBANCES
from synthcxr.evaluation.features import cache, extractors
from synthcxr.evaluation.features.engine import Outputs
from synthcxr.evaluation.features.extractors import JUDGE, Extractor, compute_features
from synthcxr.evaluation.metrics import monotonicity
from synthcxr.evaluation.metrics.monotonicity import DisturbanceCurve
from synthcxr.model_files.model_folder import JUDGE_FILE
from synthcxr.report import plots
from synthcxr.storage import atomic, digests, json_files, output_lock
from synthcxr.storage.progress import track
from synthcxr.synthesis.runtime.onnx_session import Session

JSON, CSV, FIGURE = "disturb.json", "disturb.csv", "disturb.svg"
SPLITS = ("train",)  # no extractor was trained on these films, and the test films stay unused
BATCH = 64
_COLUMNS = ("extractor", "disturbance", "level", "distance", "low", "high", "rise", "rise_low", "rise_high")


@output_lock.fills_folder()
def run(
    *,
    films: Path,
    models: Path,
    out: Path,
    names: Sequence[str],
    resolution: int | None,
    n: int,
    n_bootstrap: int,
    seed: int,
    device: Device,
    features_cache: Path = cache.DEFAULT_FOLDER,
) -> dict[str, Any]:
    """Write disturb.json, disturb.csv and disturb.svg to `out`, and return the content of disturb.json with the time.

    Compares unchanged films of half of the train patients, at most `n`, with as many disturbed films of the other
    half. Without `resolution`, the films have the resolution of the judge in `models`. Raises DataError for too few
    films, or for films that the judge has seen.
    """
    started = time.perf_counter()
    if min(n, n_bootstrap) < 1:
        raise ConfigError(f"--n and --n-bootstrap must be at least 1; got {n} and {n_bootstrap}")
    extractors.require_known(names, source="--extractor")
    unavailable, film_dataset = extractors.find_unavailable(names), open_film_dataset(films)
    available = [name for name in names if name not in unavailable]
    opened, film_resolution = _open_extractors(available, film_dataset, models, device, resolution)
    halves = _split_in_halves(film_dataset, film_resolution, n=n, seed=seed)

    curves, entries = {}, {}
    for name, extractor in opened.items():
        measurement = _Measurement(film_dataset, film_resolution, halves, extractor, seed, features_cache)
        curves[name] = measurement.measure_curves(n_bootstrap)
        entries[name] = dataclasses.asdict(extractor.provenance) | _curves_as_dict(curves[name])
    result = {
        "films": {
            "fingerprint": film_dataset.fingerprint,
            "phantom": film_dataset.phantom,
            "resolution": film_resolution,
            "split": SPLITS[0],
        },
        "n": {"reference": len(halves[0]), "disturbed": len(halves[1]), "n_bootstrap": n_bootstrap, "seed": seed},
        "rules": {name: rule.rule for name, rule in DISTURBANCES.items()},
        "extractors": entries | {name: {"status": f"not computed: {advice}"} for name, advice in unavailable.items()},
    }
    with atomic.fill_folder(out) as partial:
        _write(partial, result, curves)
    return result | {"wall_s": time.perf_counter() - started}


def format_lines(result: Mapping[str, Any]) -> list[str]:
    """One line for each extractor: whether its distance grows at every level of every disturbance, or where not."""
    lines = []
    for name, entry in result["extractors"].items():
        if "passed" not in entry:
            lines.append(f"{name}: {entry['status']}")
            continue
        exceptions = [
            f"{kind}: {curve['grows']}" for kind, curve in entry["disturbances"].items() if curve["grows"] != "yes"
        ]
        verdict = "grows at every step" if entry["passed"] else "does not grow at every step"
        lines.append(f"{name}: {verdict}" + (f" ({'; '.join(exceptions)})" if exceptions else ""))
    return lines


@dataclasses.dataclass(frozen=True)
class _Measurement:
    """The measurement of one extractor; `halves` are positions of the unchanged and of the disturbed films."""

    films: FilmDataset
    resolution: int
    halves: tuple[NDArray[np.int64], NDArray[np.int64]]
    extractor: Extractor
    seed: int
    cache_folder: Path

    def measure_curves(self, n_bootstrap: int) -> dict[str, DisturbanceCurve]:
        """The curve of each disturbance."""
        pixels, rows = self.films.memmap(self.resolution), self.films.rows(self.resolution)
        reference, untouched = (np.asarray(pixels[positions]) for positions in self.halves)
        reference_patients, disturbed_patients = (self.films.patients(rows[positions]) for positions in self.halves)
        disturbed: dict[str, dict[float, Float32]] = {name: {} for name in DISTURBANCES}
        steps = [(name, level) for name, rule in DISTURBANCES.items() for level in rule.levels[1:]]
        title = f"{self.extractor.provenance.extractor}: features of disturbed films"
        for name, level in track(steps, title, unit="levels"):
            disturbed[name][level] = self._load_features(untouched, name, level)
        return monotonicity.measure_curves(
            reference=self._load_features(reference),
            untouched=self._load_features(untouched),
            disturbed=disturbed,
            reference_patients=reference_patients,
            disturbed_patients=disturbed_patients,
            n_bootstrap=n_bootstrap,
            rng=random_streams.open_stream(self.seed, zlib.crc32(b"resamples")),
        )

    def _load_features(self, pixels: UInt8, name: str | None = None, level: float = 0.0) -> Float32:
        """Features [n, d] of films, after the disturbance `name` if there is one; cached on disk."""
        key = {
            "extractor": dataclasses.astuple(self.extractor.provenance),
            "device": self.extractor.device,
            "films": digests.sha256_bytes(pixels.tobytes()),
            "disturbance": None if name is None else [name, DISTURBANCES[name].rule, level, self.seed],
        }

        def compute() -> Outputs:
            images = pixels if name is None else _disturb_films(pixels, name, level, self.seed)
            batches = (images[start : start + BATCH] for start in range(0, len(images), BATCH))
            return {"features": compute_features(self.extractor, batches, len(images))["features"]}

        return cache.load_or_compute(self.cache_folder, key, compute)["features"]


def _disturb_films(pixels: UInt8, name: str, level: float, seed: int) -> UInt8:
    """Disturb every film with a random stream of its own, the same at every level."""
    first_stream = zlib.crc32(name.encode()) << 32
    return np.stack(
        [
            disturbance.disturb_image(name, film, level, random_streams.open_stream(seed, first_stream + index))
            for index, film in enumerate(pixels)
        ]
    )


def _open_extractors(
    names: Sequence[str], films: FilmDataset, models: Path, device: Device, resolution: int | None
) -> tuple[dict[str, Extractor], int]:
    """The extractors, and the resolution of the films to give to them."""
    opened, film_resolution = {}, resolution or films.resolution
    for name in names:
        if name != JUDGE:
            opened[name] = extractors.open_extractor(name, device)
            continue
        path = models / JUDGE_FILE
        judge = Session.open(path, kind="judge", device=device)
        film_resolution = judge.metadata.resolution
        if resolution not in (None, film_resolution):
            raise ConfigError(f"--resolution {resolution}: {path} needs {film_resolution} px; leave out --resolution")
        require_unseen(films, SPLITS, training_data={judge.metadata.training_data}, models=models, subject=path)
        opened[name] = extractors.extractor_from_model(judge)
    return opened, film_resolution


def _split_in_halves(
    films: FilmDataset, resolution: int, *, n: int, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in `films.memmap(resolution)` of two sets of equally many films that share no patient."""
    positions = films.indices(resolution, SPLITS)
    patients = films.patients(films.rows(resolution)[positions])
    order = random_streams.open_stream(seed, zlib.crc32(b"halves")).permutation(sorted(set(patients)))
    is_in_first = np.isin(patients, order[: len(order) // 2])
    size = min(n, int(is_in_first.sum()), int((~is_in_first).sum()))
    if size < MIN_FILMS_FOR_DISTANCE:
        raise DataError(
            f"{films.path}: {size} films on each side are too few, at least {MIN_FILMS_FOR_DISTANCE} are necessary;"
            " pack more train films"
        )
    return positions[is_in_first][:size], positions[~is_in_first][:size]


def _curves_as_dict(curves: Mapping[str, DisturbanceCurve]) -> dict[str, Any]:
    return {
        "disturbances": {name: dataclasses.asdict(curve) | {"grows": curve.grows} for name, curve in curves.items()},
        "passed": all(curve.grows != "no" for curve in curves.values()),
    }


def _write(
    out: Path, result: Mapping[str, Any], curves_by_extractor: Mapping[str, Mapping[str, DisturbanceCurve]]
) -> None:
    json_files.write_json(out / JSON, result)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for name, curves in curves_by_extractor.items():
        for kind, curve in curves.items():
            for point in curve.levels:
                figures = (point.value, *point.interval, point.rise, *(point.rise_interval or (None, None)))
                cells = ("" if figure is None else f"{figure:.6g}" for figure in figures)
                writer.writerow((name, kind, f"{point.level:g}", *cells))
    atomic.write_text(out / CSV, table.getvalue())
    if curves_by_extractor:
        disturbances = {name: result["extractors"][name]["disturbances"] for name in curves_by_extractor}
        atomic.write_text(out / FIGURE, plots.make_standalone(plots.draw_disturbances(disturbances)))
