"""`generate --reject-memorised`, with a generator that returns copies of its training films."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.default_request import DEFAULT_REQUEST

from synthcxr.checks import synthetic
from synthcxr.data import images, pyramid
from synthcxr.data.film_dataset import open_film_dataset
from synthcxr.data.findings import FINDINGS
from synthcxr.data.synthetic_dataset import read_image_records, read_metadata
from synthcxr.errors import DataError, GateError
from synthcxr.evaluation.memorisation import attacks
from synthcxr.evaluation.memorisation.copy_filter import prepare_copy_filter
from synthcxr.model_files import onnx_metadata
from synthcxr.model_files.onnx_metadata import ModelMetadata
from synthcxr.readers import phantom
from synthcxr.stages import generate
from synthcxr.storage import json_files

if TYPE_CHECKING:
    from conftest import Trained

SIDE, N_COPIES, N_NEW = 16, 8, 24
CONFIG = dataclasses.replace(DEFAULT_REQUEST, n=40, method="auto", max_draws=400, batch=8)


def make_new_images(n: int) -> np.ndarray:
    """Phantoms of another seed, uint8 [n, 16, 16], which are not among the training films."""
    films = phantom.read_films(n_films=n, resolution=SIDE, seed=77)
    return np.stack([pyramid.build_pyramid(film.read(), SIDE)[0] for film in films])


def write_generator(path: Path, pixels: np.ndarray, training_data: str) -> None:
    """Write a generator.onnx that returns the image at the position of the latent's largest value."""
    table = numpy_helper.from_array(images.to_float(pixels), "table")
    nodes = [
        helper.make_node("ArgMax", ["z"], ["position"], axis=1, keepdims=0),
        helper.make_node("Gather", ["table", "position"], ["image"], axis=0),
    ]
    shapes = [("z", [len(pixels)]), ("image", [1, SIDE, SIDE])]
    infos = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])] for name, shape in shapes]
    graph = helper.make_graph(nodes, "generator", *infos, [table])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    metadata = ModelMetadata(
        kind="generator",
        resolution=SIDE,
        latent=len(pixels),
        findings=FINDINGS,
        thresholds={},
        network={},
        training_data=training_data,
        phantom=True,
        licence="Apache-2.0",
    )
    onnx_metadata.stamp(model, metadata)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def model(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of its images are copies of training films: two each exact, shifted, with other contrast and noisy."""
    films = open_film_dataset(trained.data)
    training_pixels, _ = films.images(SIDE, ("train",))
    planted = attacks.plant_copies(training_pixels[10 : 10 + N_COPIES], np.random.default_rng(2))
    copies = [planted[kind][2 * k + i] for k, kind in enumerate(attacks.PLANTED_COPIES) for i in range(2)]
    folder = tmp_path_factory.mktemp("model")
    pixels = np.concatenate([copies, make_new_images(N_NEW)])
    write_generator(folder / "generator.onnx", pixels, films.fingerprint)
    (folder / "classifier.onnx").symlink_to(trained.onnx / "classifier.onnx")
    return folder


def generate_dataset(
    model: Path, out: Path, films: Path | None, *, append: bool = False, **changes: int
) -> generate.GenerateReport:
    """Generate with the copy filter of `films`, or without a filter for None."""
    build_copy_filter = prepare_copy_filter(films) if films else None
    config = dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
    return generate.run(
        config, model=model, out=out, model_name="stand-in", append=append, build_copy_filter=build_copy_filter
    )


def count_copies(out: Path) -> int:
    """The number of images that are copies: the largest value of their latent is at one of the first positions."""
    return int((np.load(out / "latents.npy").argmax(axis=1) < N_COPIES).sum())


def test_copies_are_rejected(model: Path, trained: Trained, tmp_path: Path) -> None:
    """A dataset without the filter contains copies; with it there is none, and each image has its distance."""
    unfiltered, filtered = tmp_path / "unfiltered", tmp_path / "filtered"
    generate_dataset(model, unfiltered, None)
    generate_dataset(model, filtered, trained.data)
    assert count_copies(unfiltered) > 0
    assert count_copies(filtered) == 0
    threshold = prepare_copy_filter(trained.data)(onnx_metadata.read(model / "generator.onnx")).threshold
    assert (read_metadata(filtered)["train_distance"] >= threshold).all()
    assert "train_distance" not in read_metadata(unfiltered)
    assert json_files.read_json(filtered / "run.json")["counts"]["draws"] > CONFIG.n
    fields = json_files.read_json(filtered / "croissant.json")["recordSet"][0]["field"]
    assert "train_distance" in {field["name"] for field in fields}
    assert synthetic.check_dataset(filtered, images=True, reference=None, max_label_kl=None).passed


def test_appended_dataset_equals_one_run(model: Path, trained: Trained, tmp_path: Path) -> None:
    """The filter rejects the same candidates wherever a run starts."""
    generate_dataset(model, tmp_path / "direct", trained.data)
    generate_dataset(model, tmp_path / "extended", trained.data, n=25)
    generate_dataset(model, tmp_path / "extended", trained.data, append=True)
    for name in ("metadata.csv", "latents.npy"):
        assert (tmp_path / "direct" / name).read_bytes() == (tmp_path / "extended" / name).read_bytes()
    assert read_image_records(tmp_path / "direct")[0].train_distance is not None


def test_filter_is_part_of_the_request(model: Path, trained: Trained, tmp_path: Path) -> None:
    """A dataset that was generated without the filter is not accepted as one with the filter."""
    generate_dataset(model, tmp_path / "x", None)
    with pytest.raises(DataError, match="films of the copy filter none, not "):
        generate_dataset(model, tmp_path / "x", trained.data)


def test_generator_of_copies_runs_out_of_candidates(trained: Trained, tmp_path: Path) -> None:
    """If every candidate is a copy, no image is accepted, and the error states the number of candidates."""
    films = open_film_dataset(trained.data)
    training_pixels, _ = films.images(SIDE, ("train",))
    write_generator(tmp_path / "generator.onnx", training_pixels[:8], films.fingerprint)
    (tmp_path / "classifier.onnx").symlink_to(trained.onnx / "classifier.onnx")
    with pytest.raises(GateError, match=r"only 0 of 40 images of 16 px \(64 candidates drawn"):
        generate_dataset(tmp_path, tmp_path / "x", trained.data, max_draws=64)


def test_films_of_another_model_are_refused(trained: Trained, tmp_path: Path) -> None:
    """The filter needs the films that the model was trained on."""
    write_generator(tmp_path / "generator.onnx", make_new_images(4), "0" * 16)
    (tmp_path / "classifier.onnx").symlink_to(trained.onnx / "classifier.onnx")
    with pytest.raises(DataError, match="the model was trained on 0000000000000000"):
        generate_dataset(tmp_path, tmp_path / "x", trained.data)
    assert not (tmp_path / "x").exists()
