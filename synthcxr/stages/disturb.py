"""Whether each extractor's distance is honest: real films disturbed in six ways, a table, a figure and a verdict."""

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
from synthcxr.data import film_dataset as datasets
from synthcxr.data import random_streams
from synthcxr.data.film_dataset import Dataset
from synthcxr.data.images import UInt8
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation import disturbance, unseen
from synthcxr.evaluation.disturbance import DISTURBANCES
from synthcxr.evaluation.features import cache, efficientnet_lite0, extractors
from synthcxr.evaluation.features.efficientnet_lite0 import Extractor
from synthcxr.evaluation.features.extractors import JUDGE
from synthcxr.evaluation.metrics import monotonicity
from synthcxr.evaluation.metrics.frechet import MIN_FILMS
from synthcxr.evaluation.metrics.monotonicity import Curve
from synthcxr.report import plots
from synthcxr.storage import atomic, digests, json_files
from synthcxr.synthesis.runtime.onnx_session import Session

JSON, CSV, FIGURE = "disturb.json", "disturb.csv", "disturb.svg"
SPLIT = ("train",)  # no extractor learned from these films, and test patients are not looked at
BATCH = 64
_COLUMNS = ("extractor", "disturbance", "level", "distance", "low", "high", "rise", "rise_low", "rise_high")


def run(
    *,
    data: Path,
    models: Path,
    out: Path,
    names: Sequence[str],
    resolution: int | None,
    n: int,
    n_bootstrap: int,
    seed: int,
    device: Device,
    features_cache: Path = cache.FOLDER,
) -> dict[str, Any]:
    """Write disturb.json, disturb.csv and disturb.svg to `out` and return what the first holds.

    Half of the train patients' films stay as they are, at most `n` of them, and as many of the others are disturbed.
    `resolution` None is that of the judge in `models`. DataError for too few films, or films that the judge saw.
    """
    started = time.perf_counter()
    if min(n, n_bootstrap) < 1:
        raise ConfigError(f"--n and --n-bootstrap must be at least 1, are {n} and {n_bootstrap}")
    extractors.require_known(names)
    absent, films = extractors.missing(names), datasets.open_dataset(data)
    opened, side = _open([name for name in names if name not in absent], films, models, device, resolution)
    halves = _halves(films, side, n=n, seed=seed)
    found, about = {}, {}
    for name, extractor in opened.items():
        job = _Job(films, side, halves, extractor, seed, features_cache)
        found[name] = job.curves(n_bootstrap)
        about[name] = dataclasses.asdict(extractor.provenance)
    result = {
        "films": {"fingerprint": films.fingerprint, "phantom": films.phantom, "resolution": side, "split": SPLIT[0]},
        "n": {"reference": len(halves[0]), "disturbed": len(halves[1]), "n_bootstrap": n_bootstrap, "seed": seed},
        "rules": {name: held.rule for name, held in DISTURBANCES.items()},
        "extractors": {name: about[name] | _as_dict(curves) for name, curves in found.items()}
        | {name: {"status": f"not computed: {what}"} for name, what in absent.items()},
    }
    _write(out, result, found)
    return result | {"wall_s": time.perf_counter() - started}


def lines(result: Mapping[str, Any]) -> list[str]:
    """A line for each extractor: whether its distance grows at every step of every disturbance, and where not."""
    said = []
    for name, held in result["extractors"].items():
        if "passed" not in held:
            said.append(f"{name}: {held['status']}")
            continue
        other = {kind: curve["grows"] for kind, curve in held["disturbances"].items() if curve["grows"] != "yes"}
        where = f" ({'; '.join(f'{kind}: {grows}' for kind, grows in other.items())})" if other else ""
        said.append(f"{name}: {'grows at every step' if held['passed'] else 'does not grow at every step'}{where}")
    return said


@dataclasses.dataclass(frozen=True)
class _Job:
    """One extractor's measurement: films at one side, the rows of both halves, and where features are kept."""

    films: Dataset
    side: int
    halves: tuple[NDArray[np.int64], NDArray[np.int64]]
    extractor: Extractor
    seed: int
    cache: Path

    def curves(self, n_bootstrap: int) -> dict[str, Curve]:
        """The curve of each disturbance."""
        pixels, rows = self.films.memmap(self.side), self.films.rows(self.side)
        kept, changed = (np.asarray(pixels[at]) for at in self.halves)
        patients = [self.films.patients(rows[at]) for at in self.halves]
        levels = {
            name: {level: self._features(changed, name, level) for level in held.levels[1:]}
            for name, held in DISTURBANCES.items()
        }
        return monotonicity.curves(
            reference=self._features(kept),
            untouched=self._features(changed),
            disturbed=levels,
            reference_patients=patients[0],
            disturbed_patients=patients[1],
            n_bootstrap=n_bootstrap,
            rng=random_streams.stream(self.seed, zlib.crc32(b"resamples")),
        )

    def _features(self, squares: UInt8, name: str | None = None, level: float = 0.0) -> efficientnet_lite0.Float32:
        """Features [n, d] of films, disturbed where a disturbance is named, kept for the next run."""
        key = {
            "extractor": dataclasses.astuple(self.extractor.provenance),
            "device": self.extractor.device,
            "films": digests.sha256_bytes(squares.tobytes()),
            "disturbance": None if name is None else [name, DISTURBANCES[name].rule, level, self.seed],
        }

        def compute() -> efficientnet_lite0.Outputs:
            held = squares if name is None else _disturbed(squares, name, level, self.seed)
            batches = (held[start : start + BATCH] for start in range(0, len(held), BATCH))
            return {"features": efficientnet_lite0.extract(self.extractor.run, batches)["features"]}

        return cache.cached(self.cache, key, compute)["features"]


def _disturbed(squares: UInt8, name: str, level: float, seed: int) -> UInt8:
    kind = zlib.crc32(name.encode())
    streams = (random_streams.stream(seed, (kind << 32) + at) for at in range(len(squares)))
    return np.stack([disturbance.disturbed(name, film, level, rng) for film, rng in zip(squares, streams, strict=True)])


def _open(
    names: Sequence[str], films: Dataset, models: Path, device: Device, resolution: int | None
) -> tuple[dict[str, Extractor], int]:
    """The extractors, and the side at which they are to see films."""
    opened, side = {}, resolution or films.resolution
    for name in names:
        if name != JUDGE:
            opened[name] = extractors.open_extractor(name, device)
            continue
        judge = Session.open(models / "judge.onnx", kind="judge", device=device)
        side = judge.contract.resolution
        if resolution not in (None, side):
            raise ConfigError(f"--resolution {resolution}: {models / 'judge.onnx'} sees {side} px; leave it out")
        learned_from = {judge.contract.training_data}
        unseen.require(films, SPLIT, learned_from=learned_from, models=models, subject=models / "judge.onnx")
        opened[name] = extractors.labeller(judge)
    return opened, side


def _halves(films: Dataset, side: int, *, n: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in `films.memmap(side)` of two sets of equally many films that share no patient."""
    at = films.indices(side, SPLIT)
    patients = films.patients(films.rows(side)[at])
    order = random_streams.stream(seed, zlib.crc32(b"halves")).permutation(sorted(set(patients)))
    first = np.isin(patients, order[: len(order) // 2])
    size = min(n, int(first.sum()), int((~first).sum()))
    if size < MIN_FILMS:
        raise DataError(f"{films.path}: {size} films a side are too few, {MIN_FILMS} are needed; pack more train films")
    return at[first][:size], at[~first][:size]


def _as_dict(curves: Mapping[str, Curve]) -> dict[str, Any]:
    held = {name: dataclasses.asdict(curve) | {"grows": curve.grows} for name, curve in curves.items()}
    return {"disturbances": held, "passed": all(curve.grows != "no" for curve in curves.values())}


def _write(out: Path, result: Mapping[str, Any], found: Mapping[str, Mapping[str, Curve]]) -> None:
    json_files.write_json(out / JSON, result)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for name, curves in found.items():
        for kind, curve in curves.items():
            for at in curve.levels:
                rises = (at.rise, *(at.rise_interval or (None, None)))
                cells = (at.value, *at.interval, *rises)
                row = ("" if cell is None else f"{cell:.6g}" for cell in cells)
                writer.writerow((name, kind, f"{at.level:g}", *row))
    atomic.text(out / CSV, table.getvalue())
    if found:
        computed = {name: held["disturbances"] for name, held in result["extractors"].items() if name in found}
        atomic.text(out / FIGURE, plots.standalone(plots.disturbances(computed)))
