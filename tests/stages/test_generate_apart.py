"""generate --reject-memorised: a stand-in generator that remembers films, and the films that it learned from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support import default_request as asking

from synthcxr.checks import synthetic as suite
from synthcxr.data import film_dataset, images, pyramid, records
from synthcxr.data.findings import FINDINGS
from synthcxr.errors import DataError, GateError
from synthcxr.evaluation.memorisation import planted_copies
from synthcxr.evaluation.memorisation.copy_filter import keeper
from synthcxr.model_files import onnx_metadata as contracts
from synthcxr.model_files.onnx_metadata import Contract
from synthcxr.readers import phantom
from synthcxr.stages import generate
from synthcxr.storage import json_files

if TYPE_CHECKING:
    from conftest import Trained

SIDE, N_COPIED, N_NEW = 16, 8, 24
CONFIG = dataclasses.replace(asking.PLAIN, n=40, method="auto", max_draws=400, batch=8)


def strangers(n: int) -> np.ndarray:
    """Phantoms of another seed, uint8 [n, 16, 16]: nobody learned from them."""
    drawn = phantom.read(n_films=n, resolution=SIDE, seed=77)
    return np.stack([pyramid.pyramid(film.read(), SIDE)[0] for film in drawn])


def stand_in(path: Path, pictures: np.ndarray, training_data: str) -> None:
    """A generator.onnx that gives the picture whose number is that of the largest latent."""
    table = numpy_helper.from_array(images.to_float(pictures), "table")
    nodes = [
        helper.make_node("ArgMax", ["z"], ["which"], axis=1, keepdims=0),
        helper.make_node("Gather", ["table", "which"], ["image"], axis=0),
    ]
    ends = [("z", [len(pictures)]), ("image", [1, SIDE, SIDE])]
    infos = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape])] for name, shape in ends]
    model = helper.make_model(
        helper.make_graph(nodes, "generator", *infos, [table]), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 10
    held = Contract(
        kind="generator",
        resolution=SIDE,
        latent=len(pictures),
        findings=FINDINGS,
        thresholds={},
        network={},
        training_data=training_data,
        phantom=True,
        licence="Apache-2.0",
    )
    contracts.stamp(model, held)
    onnx.save(model, path)


@pytest.fixture(scope="module")
def model(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quarter of what it makes are copies of train films: two exact, two shifted, two of new contrast, two noisy."""
    films = film_dataset.open_dataset(trained.data)
    learned, _ = films.images(SIDE, ("train",))
    kinds = planted_copies.copies(learned[10 : 10 + N_COPIED], np.random.default_rng(2))
    copies = [kinds[kind][2 * k + i] for k, kind in enumerate(planted_copies.RULES) for i in range(2)]
    folder = tmp_path_factory.mktemp("model")
    stand_in(folder / "generator.onnx", np.concatenate([copies, strangers(N_NEW)]), films.fingerprint)
    (folder / "classifier.onnx").symlink_to(trained.onnx / "classifier.onnx")
    return folder


def make(model: Path, out: Path, films: Path | None, **changes: int) -> generate.GenerateReport:
    config = dataclasses.replace(CONFIG, **changes)
    apart = keeper(films) if films else None
    return generate.run(config, model=model, out=out, model_name="stand-in", command=["test"], apart=apart)


def copies_in(out: Path) -> int:
    """How many images show one of the copies: their latent is largest in one of the first places."""
    return int((np.load(out / "latents.npy").argmax(axis=1) < N_COPIED).sum())


def test_no_copy_is_left(model: Path, trained: Trained, tmp_path: Path) -> None:
    """A set made plainly holds copies; with the films at hand, none, and every image says how far it is."""
    make(model, tmp_path / "plain", None)
    make(model, tmp_path / "apart", trained.data)
    assert copies_in(tmp_path / "plain") > 0
    assert copies_in(tmp_path / "apart") == 0
    table = records.read_metadata(tmp_path / "apart")
    threshold = keeper(trained.data)(contracts.read(model / "generator.onnx")).threshold
    assert (table["train_distance"] >= threshold).all()
    assert "train_distance" not in records.read_metadata(tmp_path / "plain")
    assert json_files.read_json(tmp_path / "apart" / "run.json")["counts"]["draws"] > CONFIG.n
    fields = json_files.read_json(tmp_path / "apart" / "croissant.json")["recordSet"][0]["field"]
    assert "train_distance" in {field["name"] for field in fields}
    assert suite.check(tmp_path / "apart", images=True, reference=None, max_label_kl=None).passed


def test_a_longer_set_is_the_shorter_one_and_more(model: Path, trained: Trained, tmp_path: Path) -> None:
    """Rejection does not depend on where a run began: shards and files, made at once or appended, hold the same."""
    make(model, tmp_path / "once", trained.data)
    make(model, tmp_path / "grown", trained.data, n=25)
    config = CONFIG
    generate.run(config, model=model, out=tmp_path / "grown", model_name="x", append=True, apart=keeper(trained.data))
    names = ("metadata.csv", "latents.npy")
    assert [(tmp_path / "once" / n).read_bytes() == (tmp_path / "grown" / n).read_bytes() for n in names] == [True] * 2
    assert records.read_records(tmp_path / "once")[0].train_distance is not None


def test_with_and_without_are_different_commands(model: Path, trained: Trained, tmp_path: Path) -> None:
    """A dataset made without the films is not silently taken for one without copies, nor the other way round."""
    make(model, tmp_path / "x", None)
    with pytest.raises(DataError, match="kept apart from films none, not "):
        make(model, tmp_path / "x", trained.data)


def test_a_generator_of_copies_only_runs_out(trained: Trained, tmp_path: Path) -> None:
    """Where every candidate copies a film nothing is kept, and the draws that were looked at are said."""
    films = film_dataset.open_dataset(trained.data)
    learned, _ = films.images(SIDE, ("train",))
    stand_in(tmp_path / "generator.onnx", learned[:8], films.fingerprint)
    (tmp_path / "classifier.onnx").symlink_to(trained.onnx / "classifier.onnx")
    with pytest.raises(GateError, match="0 images of 16 px, of 40 asked for: 64 candidates drawn"):
        make(tmp_path, tmp_path / "x", trained.data, max_draws=64)


def test_other_films_are_refused(model: Path, trained: Trained, tmp_path: Path) -> None:
    """Films that the model did not learn from cannot show what it copied."""
    stand_in(tmp_path / "generator.onnx", strangers(4), "0" * 16)
    (tmp_path / "classifier.onnx").symlink_to(trained.onnx / "classifier.onnx")
    with pytest.raises(DataError, match="the model learned from 0000000000000000; give the packed films"):
        make(tmp_path, tmp_path / "x", trained.data)
    assert not (tmp_path / "x").exists()
