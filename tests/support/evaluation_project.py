"""A project for tests of the evaluate stage: packed films, linear models in onnxruntime, and synthetic datasets."""

from __future__ import annotations

import dataclasses
import functools
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support.in_memory_film import InMemoryFilm
from support.run_json import build_run

from synthcxr.config.schema import EvaluateConfig, Gate
from synthcxr.data import image_reader, images
from synthcxr.data.film_dataset import build_film_dataset, open_film_dataset
from synthcxr.data.films import Film
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, UNKNOWN_FINDINGS, to_finding_names, to_multi_hot
from synthcxr.data.leakage import TrainingFilms
from synthcxr.data.synthetic_dataset import ImageRecord, read_metadata, to_metadata_row, write_metadata
from synthcxr.evaluation.features.engine import Engine
from synthcxr.evaluation.gates import Verdict
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import Kind, ModelMetadata
from synthcxr.stages import evaluate
from synthcxr.storage import digests, json_files
from synthcxr.synthesis.runtime.onnx_session import Session
from synthcxr.writers.formats.image_folder import PngFolder
from synthcxr.writers.formats.webdataset import TarShards

SIDE, N_FEATURES = 8, 6
THRESHOLD = 0.6
MODEL_TRAINING_DATA = "0" * 16
N_FILMS_BY_SPLIT = {"train": 70, "judge": 25, "val": 6, "test": 60}
CONFIG = EvaluateConfig(
    extractors=("judge",),
    n_bootstrap=20,
    max_label_kl=1.0,
    seed=1,
    device="cpu",
    gates=(
        Gate("checks.failed", max=0.0, min=None),
        Gate("distance.judge.relative", max=3.0, min=None),
        Gate("labels.total_variation", max=0.5, min=None),
    ),
)


@dataclasses.dataclass(frozen=True)
class EvaluationProject:
    """The folders of films, models, a synthetic dataset, and of results and caches (in `root`)."""

    films: Path
    models: Path
    synthetic: Path
    root: Path

    def evaluate(self, *, synthetic: Path | None = None, engine: Engine | None = None, **changes: Any) -> Verdict:
        """Run the stage with CONFIG, in which `changes` replace parameters, on `synthetic` or the project's set."""
        return evaluate.run(
            dataclasses.replace(CONFIG, **changes),
            films=self.films,
            models=self.models,
            dataset=synthetic or self.synthetic,
            out=self.root / "results",
            features_cache=self.root / "cache",
            engine=engine,
        )

    def read_json(self, name: str = "metrics.json") -> dict[str, Any]:
        """A JSON file of the results."""
        return dict(json.loads((self.root / "results" / name).read_text()))

    def judge_features_of_films(self, splits: tuple[str, ...]) -> np.ndarray:
        """The judge's features of films of these splits, directly from onnxruntime."""
        pixels, _ = open_film_dataset(self.films).images(SIDE, splits)
        return self.open_judge().run(images.to_float(pixels))["features"]

    def synthetic_pixels(self, n: int) -> np.ndarray:
        """The pixels of the first `n` images of the synthetic dataset."""
        names = read_metadata(self.synthetic)["file_name"][:n]
        return np.stack([images.decode_png(data) for data in image_reader.read_all(self.synthetic, names)])

    def open_judge(self) -> Session:
        """A session of the project's judge."""
        return Session.open(self.models / "judge.onnx", device="cpu")


def build_project(root: Path) -> EvaluationProject:
    """Build films, models, and a synthetic dataset whose images have the distribution of the films."""
    models = write_models(root / "models")
    films = pack_films(root / "films")
    return EvaluationProject(films, models, write_synthetic_dataset(root / "synthetic", models), root)


def draw_film(rng: np.random.Generator, *, brightness: float = 0.0) -> np.ndarray:
    """A film-like float32 [8, 8] in [0, 1]: two slopes of random strength, and noise."""
    ramp = np.linspace(-1, 1, SIDE)
    slopes = rng.normal(0, 0.12, 2)
    noise = rng.normal(0, 0.05, (SIDE, SIDE))
    unit = 0.5 + brightness + slopes[0] * ramp[:, None] + slopes[1] * ramp[None] + noise
    return np.clip(unit, 0, 1).astype(np.float32)


def pack_films(
    out: Path, *, n_test: int = N_FILMS_BY_SPLIT["test"], n_unlabelled_by_split: Mapping[str, int] | None = None
) -> Path:
    """Pack a dataset with two films per patient; nine of ten films have Effusion, the others No Finding.

    Then `n_unlabelled_by_split` further films follow.
    """
    rng, films, splits = np.random.default_rng(5), [], {}
    counts = [(split, "", n) for split, n in (N_FILMS_BY_SPLIT | {"test": n_test}).items()]
    counts += [(split, "_unlabelled", n) for split, n in (n_unlabelled_by_split or {}).items()]
    for split, kind, n in counts:
        for k in range(n):
            name, film = f"{split}{kind}{k:03d}.png", InMemoryFilm(draw_film(rng))
            findings = UNKNOWN_FINDINGS if kind else to_multi_hot(["Effusion"] if k % 10 else ["No Finding"])
            patient = f"{split}{kind}{k // 2}"
            films.append(Film(name, patient, "test", "PA", findings, film.read, film.read_size, f"memory:{name}"))
            splits[name] = split
    build_film_dataset(films, out=out, resolution=SIDE, splits=splits, on_bad="error")
    return out


@functools.cache
def packed_fingerprint() -> str:
    """The fingerprint of the dataset that `pack_films` packs."""
    with tempfile.TemporaryDirectory() as folder:
        return open_film_dataset(pack_films(Path(folder))).fingerprint


def write_models(folder: Path, *, weak: tuple[str, ...] = ()) -> Path:
    """Write a judge with `weak` findings, a classifier, and a reference.npz that lists no training film."""
    folder.mkdir(parents=True, exist_ok=True)
    write_labelling_model(folder / "judge.onnx", "judge", seed=1, weak=weak)
    write_labelling_model(folder / "classifier.onnx", "classifier", seed=2)
    no_digests = np.empty(0, np.uint64)
    np.savez(folder / "reference.npz", **TrainingFilms(MODEL_TRAINING_DATA, no_digests, no_digests).to_arrays())
    return folder


def write_labelling_model(path: Path, kind: Kind, *, seed: int, side: int = SIDE, weak: tuple[str, ...] = ()) -> None:
    """Write a model with features linear in the image and logits linear in the features."""
    rng = np.random.default_rng(seed)
    weights = {
        "f": rng.standard_normal((side * side, N_FEATURES)).astype(np.float32) / side,
        "l": 4 * rng.standard_normal((N_FEATURES, 14)).astype(np.float32),
    }
    write_linear_model(path, kind, weights, thresholds=dict.fromkeys(FINDINGS, THRESHOLD), side=side, weak=weak)


def write_linear_model(
    path: Path,
    kind: Kind,
    weights: dict[str, np.ndarray],
    *,
    thresholds: dict[str, float],
    side: int = SIDE,
    weak: tuple[str, ...] = (),
    training_data: str = MODEL_TRAINING_DATA,
) -> None:
    """Write a model from its weights: "f" [side * side, F] gives features, and "l" [F, 14] logits from these."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "f"], ["features"]),
        helper.make_node("MatMul", ["features", "l"], ["logits"]),
    ]
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]) for name, shape in shapes.items()]
        for shapes in ({"image": [1, side, side]}, {"logits": [14], "features": [weights["f"].shape[1]]})
    )
    initialisers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, kind, inputs, outputs, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    metadata = ModelMetadata(
        kind=kind,
        resolution=side,
        latent=0,
        findings=FINDINGS,
        thresholds=thresholds,
        network={},
        training_data=training_data,
        phantom=False,
        licence="Apache-2.0",
        weak=weak,
    )
    onnx_metadata.stamp(model, metadata)
    onnx.save(model, path)


def write_synthetic_dataset(
    out: Path,
    models: Path,
    *,
    n: int = 90,
    brightness: float = 0.0,
    requested: tuple[str, ...] = (),
    shards: bool = False,
    phantom: bool = False,
    replacements: dict[int, np.ndarray] | None = None,
    films: Path | None = None,
) -> Path:
    """Write a finished dataset, labelled by the classifier of `models`, of a generator trained on `films`.

    `films` None stands for those of `pack_films`. `replacements` maps positions to pixels uint8 [8, 8].
    """
    rng = np.random.default_rng(77)
    out.mkdir(parents=True)
    pixels = np.stack([images.quantise(draw_film(rng, brightness=brightness)) for _ in range(n)])
    for position, replacement in (replacements or {}).items():
        pixels[position] = replacement
    classifier = Session.open(models / "classifier.onnx", kind="classifier", device="cpu")
    probabilities = 1 / (1 + np.exp(-classifier.run(images.to_float(pixels))["logits"].astype(float)))
    store = (TarShards if shards else PngFolder)(out)
    records = []
    for k in range(n):
        png = images.encode_png(pixels[k])
        record = ImageRecord(
            file_name=store.file_name(k),
            index=k,
            seed=1,
            requested=LABEL_SEPARATOR.join(requested),
            findings=to_finding_names((probabilities[k] >= THRESHOLD).astype(float)),
            probabilities=tuple(probabilities[k].round(6)),
            weight=1.0,
            sha256=digests.sha256_bytes(png),
        )
        store.write(k, png, record)
        records.append(record)
    store.close()
    write_metadata(out / "metadata.csv", map(to_metadata_row, records))
    np.save(out / "latents.npy", np.zeros((n, 4), np.float32))
    model = {
        "digests": {"generator": "ab" * 32, "classifier": classifier.digest},
        "training_data": open_film_dataset(films).fingerprint if films else packed_fingerprint(),
        "phantom": phantom,
        "resolution": SIDE,
    }
    run = build_run(n, model=model, request={"labels": list(requested)}, format="webdataset" if shards else "png")
    json_files.write_json(out / "run.json", run)
    return out


def change_request(dataset: Path, **changes: Any) -> None:
    """Replace entries of the request in a dataset's run.json."""
    run = json_files.read_json(dataset / "run.json")
    json_files.write_json(dataset / "run.json", run | {"request": run["request"] | changes})
