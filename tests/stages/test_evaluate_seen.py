"""Evaluate refuses test films that the models have seen under another split, on a project that was really trained."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from synthcxr.data import film_dataset, leakage
from synthcxr.errors import ArtifactError, DataError
from synthcxr.stages import evaluate, generate, prepare
from synthcxr.storage import json_files

if TYPE_CHECKING:
    from conftest import Trained


@pytest.fixture(scope="module")
def synthetic(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthetic") / "x"
    generate.run(trained.config.generate, model=trained.onnx, out=out, model_name="trained")
    return out


def films(trained: Trained, out: Path, *, seed: int, phantoms: int) -> Path:
    """Phantoms of a seed, split by a seed."""
    source = dict(trained.config.prepare.sources[0]) | {"seed": phantoms}
    config = dataclasses.replace(trained.config.prepare, sources=(source,), seed=seed)
    prepare.run(config, out=out, report=lambda line: None)
    return out


def judge(trained: Trained, data: Path, synthetic: Path, out: Path, models: Path | None = None) -> dict[str, Any]:
    config = dataclasses.replace(trained.config.evaluate, n_bootstrap=2, gates=())
    folder = models or trained.onnx
    evaluate.run(config, data=data, models=folder, dataset=synthetic, out=out, features_cache=out / "c")
    return dict(json_files.read_json(out / "metrics.json"))


def test_another_split_of_the_training_films_is_refused(trained: Trained, synthetic: Path, tmp_path: Path) -> None:
    """The same films split by another seed: an error that counts them, before anything is written."""
    data = films(trained, tmp_path / "cxr", seed=2, phantoms=1)
    before, now = (
        film_dataset.open_dataset(path).films.set_index("image_index")["split"] for path in (trained.data, data)
    )
    n_seen = int((before[now.index[now == "test"]] != "test").sum())
    assert n_seen > 0
    with pytest.raises(DataError, match=f"the models have seen {n_seen} of its test films .*another split"):
        judge(trained, data, synthetic, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_truly_other_films_are_allowed_and_said_so(trained: Trained, synthetic: Path, tmp_path: Path) -> None:
    """Phantoms of another seed were never seen: they are judged on, and no copy is looked for among them."""
    data = films(trained, tmp_path / "cxr", seed=1, phantoms=2)
    metrics = judge(trained, data, synthetic, tmp_path / "out")
    assert "the models learned from other films, and none of these is among them" in metrics["protocol"]["films"]
    assert metrics["distance"]["judge"]["status"] == "computed"
    said = "not applicable (the generator learned from other films than these)"
    assert metrics["privacy"] == {name: {"status": said} for name in ("pixels", "judge")} | {"status": said}


def test_the_films_as_they_were_packed_are_allowed(trained: Trained, synthetic: Path, tmp_path: Path) -> None:
    """The test split of the very dataset that the models learned from the other splits of."""
    metrics = judge(trained, trained.data, synthetic, tmp_path / "out")
    assert "nothing was trained on them or chosen by them" in metrics["protocol"]["films"]


def test_films_of_the_model_gone_on_from_are_refused(trained: Trained, synthetic: Path, tmp_path: Path) -> None:
    """Test films of one's own dataset that an earlier model had learned from were seen, whatever the split says now."""
    own = film_dataset.open_dataset(trained.data)
    models = shutil.copytree(trained.onnx, tmp_path / "models")
    with np.load(models / "reference.npz") as held:
        arrays = dict(held) | leakage.of(own, leakage.LEARNED).arrays(earlier=leakage.of(own, ("test",)))
    np.savez(models / "reference.npz", **arrays)
    with pytest.raises(DataError, match="another split of films that they learned from"):
        judge(trained, trained.data, synthetic, tmp_path / "out", models)


def test_where_nobody_knows_nothing_is_judged(trained: Trained, synthetic: Path, tmp_path: Path) -> None:
    """Other films, and models that do not say what they saw, or did not make the images: one line each."""
    data = films(trained, tmp_path / "cxr", seed=1, phantoms=2)
    models = shutil.copytree(trained.onnx, tmp_path / "models")
    (models / "reference.npz").unlink()
    with pytest.raises(ArtifactError, match=r"reference.npz: no such file"):
        judge(trained, data, synthetic, tmp_path / "out", models)
    strange = shutil.copytree(synthetic, tmp_path / "strange")
    run = json_files.read_json(strange / "run.json")
    json_files.write_json(strange / "run.json", run | {"model": run["model"] | {"training_data": "f" * 16}})
    with pytest.raises(DataError, match="comes of films ffffffffffffffff, of which .* knows nothing"):
        judge(trained, data, strange, tmp_path / "out")
    assert not (tmp_path / "out").exists()
