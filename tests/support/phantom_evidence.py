"""A world of phantoms whose truth is known: films with three findings, linear models, and datasets good and bad."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from support.evaluation_project import SIDE, draw_film, write_linear_model
from support.in_memory_film import InMemoryFilm
from support.run_json import build_run

from synthcxr.config.schema import EvaluateConfig, Gate, ReportConfig
from synthcxr.data import images
from synthcxr.data.film_dataset import build_film_dataset, open_film_dataset
from synthcxr.data.films import Film
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, NO_FINDING
from synthcxr.data.images import UInt8
from synthcxr.data.leakage import TrainingFilms
from synthcxr.data.synthetic_dataset import ImageRecord, to_metadata_row, write_metadata
from synthcxr.evaluation.metrics import frechet
from synthcxr.stages import evaluate, report
from synthcxr.storage import digests, json_files
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.writers.formats.image_folder import PngFolder

Bool = NDArray[np.bool_]

SHOWN = ("Cardiomegaly", "Effusion", "Mass")
"""The findings that phantoms show, each as a brighter patch at a place of its own."""
PATCHES = ((slice(1, 4), slice(1, 4)), (slice(4, 7), slice(1, 4)), (slice(2, 5), slice(5, 8)))
STRENGTH, PREVALENCE = 0.045, 0.3
N_FILMS_BY_SPLIT = {"train": 200, "judge": 60, "val": 150, "test": 250}
N_IMAGES = 600
CONFIG = EvaluateConfig(
    extractors=("judge",),
    n_bootstrap=50,
    max_label_kl=1.0,
    seed=1,
    device="cpu",
    gates=(
        Gate("checks.failed", max=0.0, min=None),
        Gate("distance.judge.relative", max=10.0, min=None),  # the floor of so few films is small, the interval wide
        Gate("labels.total_variation", max=0.35, min=None),
        Gate("privacy.*.share_low", max=0.01, min=None),
        Gate("labels.validity.mean", max=None, min=0.5),
        Gate("labels.validity.*.value", max=None, min=0.0),
    ),
)


@dataclasses.dataclass(frozen=True)
class PhantomWorld:
    """Packed films and models; datasets and results are written below `root`."""

    root: Path
    films: Path
    models: Path

    @classmethod
    def build(cls, root: Path) -> PhantomWorld:
        """Pack films and write a judge, a classifier and a reference.npz."""
        world = cls(root, _pack_films(root / "films"), root / "models")
        world.models.mkdir()
        _write_models(world)
        return world

    def write_dataset(
        self,
        name: str,
        labels: Bool,
        *,
        strength: float = STRENGTH,
        requested: tuple[str, ...] = (),
        weights: NDArray[np.float64] | None = None,
        n_copies: int = 0,
    ) -> Path:
        """Write images that show `labels` [n, 3]; the first `n_copies` are copies of training films."""
        rng = np.random.default_rng(len(name))
        pixels = draw_phantoms(rng, labels, strength=strength)
        films, _ = open_film_dataset(self.films).images(SIDE, ("train",))
        pixels[:n_copies] = films[:n_copies]
        return _write_dataset(self, self.root / name, pixels, labels, requested=requested, weights=weights)

    def report(self, dataset: Path, *, has_films: bool = True, baseline: Path | None = None) -> str:
        """Evaluate a dataset and return its report."""
        results = self.root / f"{dataset.name} results"
        evaluate.run(
            CONFIG,
            films=self.films if has_films else None,
            models=self.models,
            dataset=dataset,
            out=results,
            features_cache=self.root / "cache",
            baseline=baseline,
        )
        out = results / "report.html"
        report.run(ReportConfig(dataset.name, 24), results=results, dataset=dataset, out=out, films=None)
        return out.read_text(encoding="utf-8")


def draw_labels(seed: int, n: int = N_IMAGES) -> Bool:
    """Independent findings [n, 3]."""
    return np.random.default_rng(seed).random((n, len(SHOWN))) < PREVALENCE


def draw_phantoms(rng: np.random.Generator, labels: Bool, *, strength: float = STRENGTH) -> UInt8:
    """Phantoms uint8 [n, SIDE, SIDE] that show `labels` [n, 3]."""
    phantoms = []
    for row in labels:
        unit = draw_film(rng)
        for present, patch in zip(row, PATCHES, strict=True):
            unit[patch] += strength * present
        phantoms.append(images.quantise(np.clip(unit, 0, 1)))
    return np.stack(phantoms)


def _name_findings(row: Bool) -> tuple[str, ...]:
    return tuple(name for name, present in zip(SHOWN, row, strict=True) if present) or (NO_FINDING,)


def _pack_films(out: Path) -> Path:
    rng, films, splits = np.random.default_rng(5), [], {}
    for split, n in N_FILMS_BY_SPLIT.items():
        labels = draw_labels(len(split), n)
        for k, pixels in enumerate(draw_phantoms(rng, labels)):
            name, film = f"{split}{k:03d}.png", InMemoryFilm((pixels / 255).astype(np.float32))
            findings = tuple(float(finding in _name_findings(labels[k])) for finding in FINDINGS)
            films.append(Film(name, name, "test", "PA", findings, film.read, film.read_size, f"memory:{name}"))
            splits[name] = split
    build_film_dataset(films, out=out, resolution=SIDE, splits=splits, on_bad="error")
    return out


def _write_models(world: PhantomWorld) -> None:
    """Models that measure each patch against its surroundings, with the thresholds that give PREVALENCE on films."""
    dataset = open_film_dataset(world.films)
    f = np.random.default_rng(2).standard_normal((SIDE * SIDE, 6)).astype(np.float32) / SIDE
    logits = np.zeros((6, len(FINDINGS)), np.float32)
    for column, (finding, patch) in enumerate(zip(SHOWN, PATCHES, strict=True)):
        template = np.full((SIDE, SIDE), -1 / (SIDE * SIDE - 9))
        template[patch] = 1 / 9
        f[:, column] = template.ravel()
        logits[column, FINDINGS.index(finding)] = 10
    val, _ = dataset.images(SIDE, ("val",))
    scores = images.to_float(val).reshape(len(val), -1) @ f @ logits
    quantiles = np.quantile(scores, 1 - PREVALENCE, axis=0)
    thresholds = {
        name: float(1 / (1 + np.exp(-quantiles[k]))) if name in SHOWN else 0.9 for k, name in enumerate(FINDINGS)
    }
    for kind, scale in (("judge", 1.0), ("classifier", 1.0 + 1e-6)):
        write_linear_model(
            world.models / f"{kind}.onnx",  # type: ignore[arg-type]
            kind,  # type: ignore[arg-type]
            {"f": f * np.float32(scale), "l": logits},
            thresholds=thresholds,
            training_data=dataset.fingerprint,
        )
    _write_reference(world)


def _write_reference(world: PhantomWorld) -> None:
    """The reference that a comparison without films needs."""
    dataset, judge = open_film_dataset(world.films), Session.open(world.models / "judge.onnx", device="cpu")
    (val, n_val), (train, _) = (
        (judge.run(images.to_float(pixels)), len(pixels))
        for pixels, _ in (dataset.images(SIDE, (split,)) for split in ("val", "train"))
    )
    positive = 1 / (1 + np.exp(-val["logits"])) >= [judge.metadata.thresholds[name] for name in FINDINGS]
    np.savez(
        world.models / "reference.npz",
        counts=np.concatenate([[float((~positive.any(axis=1)).sum())], positive.sum(axis=0)]),
        n_val=np.int64(n_val),
        judge_features=val["features"].astype(np.float16),
        floor_judge=np.float64(frechet.frechet_distance(real=val["features"], synthetic=train["features"][:n_val])),
        floor_n=np.int64(n_val),
        digest_judge=np.str_(judge.digest),
        **TrainingFilms.from_dataset(dataset, ("train", "judge", "val")).to_arrays(),
    )


def _write_dataset(
    world: PhantomWorld,
    out: Path,
    pixels: UInt8,
    labels: Bool,
    *,
    requested: tuple[str, ...],
    weights: NDArray[np.float64] | None,
) -> Path:
    out.mkdir()
    store, records = PngFolder(out), []
    for k, image in enumerate(pixels):
        png = images.encode_png(image)
        findings = _name_findings(labels[k])
        record = ImageRecord(
            file_name=store.file_name(k),
            index=k,
            seed=1,
            requested=LABEL_SEPARATOR.join(requested),
            findings=findings,
            probabilities=tuple(0.9 if name in findings else 0.1 for name in FINDINGS),
            weight=1.0 if weights is None else float(weights[k]),
            sha256=digests.sha256_bytes(png),
        )
        store.write(k, png, record)
        records.append(record)
    store.close()
    write_metadata(out / "metadata.csv", map(to_metadata_row, records))
    n = len(pixels)
    np.save(out / "latents.npy", np.zeros((n, 4), np.float32))
    classifier = Session.open(world.models / "classifier.onnx", device="cpu")
    model: dict[str, Any] = {"name": "models/onnx", "phantom": False, "resolution": SIDE, "attribution": []}
    model |= {"training_data": open_film_dataset(world.films).fingerprint}
    model |= {"digests": {"generator": "ab" * 32, "classifier": classifier.digest}}
    run = build_run(
        n,
        model=model,
        request={"labels": list(requested), "method": "guided" if requested else "reject"},
        command=["synthcxr", "generate"],
        versions={"synthcxr": "0.1.0"},
        git_revision="",
        date="2026-01-31",
        wall_s=1.0,
    )
    json_files.write_json(out / "run.json", run)
    return out
