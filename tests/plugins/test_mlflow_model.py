from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image
from support.stub_models import LATENT, SIDE, write_stub_models

from synthcxr.data import images, random_streams
from synthcxr.data.findings import FINDINGS, format_finding_labels
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.plugins import mlflow_model
from synthcxr.plugins.mlflow_model import _load_pyfunc
from synthcxr.registry import model_bundle
from synthcxr.storage import digests


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stub_models(tmp_path_factory.mktemp("models") / "onnx")


@pytest.fixture(scope="module")
def generator(models: Path) -> mlflow_model.Generator:
    loaded = _load_pyfunc(str(models), {"device": "cpu"})
    assert isinstance(loaded, mlflow_model.Generator)
    return loaded


@pytest.fixture(scope="module")
def judge(models: Path, tmp_path_factory: pytest.TempPathFactory) -> mlflow_model.Classifier:
    index = model_folder.read_index(models)
    parent = tmp_path_factory.mktemp("judge")
    folder = publish.build_model_folder(parent, index=index, files={"judge.onnx": models / "judge.onnx"}, card="# A card")
    loaded = _load_pyfunc(str(folder))
    assert isinstance(loaded, mlflow_model.Classifier)
    return loaded


def test_a_request_gives_a_row_an_image(generator: mlflow_model.Generator) -> None:
    """Each row asked gives its n images as PNG with findings, probabilities and digests, in candidate order."""
    table = generator.predict(pd.DataFrame({"label": ["", "Edema|Mass"], "n": [3, 2], "seed": [5, 7]}))
    assert list(table["request"]) == [0, 0, 0, 1, 1]
    assert list(table["seed"]) == [5, 5, 5, 7, 7]
    assert list(table["index"][:3]) == [0, 1, 2]
    assert table["index"][3] < table["index"][4]
    for row in table.itertuples():
        with Image.open(io.BytesIO(row.image)) as image:
            assert (image.mode, image.size) == ("L", (SIDE, SIDE))
        assert row.sha256 == digests.sha256_bytes(row.image)
        latent = random_streams.draw_latents(row.seed, row.index, 1, LATENT)
        assert row.latent_sha256 == digests.sha256_bytes(latent.tobytes())
    for text in table["Finding Labels"][3:]:
        assert {"Edema", "Mass"} <= set(text.split("|"))
    held = table.loc[:, list(PROBABILITY_COLUMNS)].to_numpy() >= 0.5
    assert [format_finding_labels(row) for row in held.astype(float)] == list(table["Finding Labels"])


def test_label_and_seed_may_be_absent(generator: mlflow_model.Generator) -> None:
    """Without label and seed, or with empty cells, images are unconditional and of seed 0."""
    plain = generator.predict(pd.DataFrame({"n": [2]}))
    empty = generator.predict(pd.DataFrame({"label": [None], "n": [2], "seed": [np.nan]}))
    assert list(plain["seed"]) == [0, 0]
    pd.testing.assert_frame_equal(plain, empty)


@pytest.mark.parametrize(
    ("row", "params", "line"),
    [
        ({"n": 1001}, None, "asked for 1001 images; a call gives 1 to 1000"),
        ({"n": 0}, None, "at least 1, not 0"),
        ({"n": 1.5}, None, "at least 1, not 1.5"),
        ({"n": 1, "seed": -1}, None, "seed is a whole number from 0"),
        ({"n": 1, "label": "Cough"}, None, "unknown finding 'Cough'; known: No Finding, Atelectasis"),
        ({"n": 1, "label": "No Finding|Edema"}, None, "contradictory labels"),
        ({"n": 1}, {"max_draws": 1_000_000}, "max_draws is 0"),
        ({"n": 1}, {"method": "guess"}, "method is one of auto, reject, guided"),
        ({"n": 1, "label": "Edema"}, {"method": "guided"}, "this model has no proposal"),
        ({"n": 1, "label": "Edema"}, {"threshold": 1.5}, "threshold is a probability"),
    ],
)
def test_a_request_that_cannot_be_met_is_a_bad_request(
    generator: mlflow_model.Generator, row: dict[str, object], params: dict[str, Any] | None, line: str
) -> None:
    """What the caller can mend is MLflow's own error with status 400, so that a service passes the line on."""
    with pytest.raises(MlflowException, match=line) as caught:
        generator.predict(pd.DataFrame([row]), params)
    assert caught.value.get_http_status_code() == 400


def test_the_limit_counts_all_rows(generator: mlflow_model.Generator) -> None:
    """Many small requests in one call are limited by their sum; no row at all is refused too."""
    with pytest.raises(MlflowException, match="asked for 1200 images"):
        generator.predict(pd.DataFrame({"n": [400, 400, 400]}))
    with pytest.raises(MlflowException, match="asked for 0 images"):
        generator.predict(pd.DataFrame({"n": []}))


def test_max_draws_ends_a_search(generator: mlflow_model.Generator) -> None:
    """Where max_draws candidates hold fewer, fewer rows come back, with a warning."""
    request = pd.DataFrame({"label": ["|".join(FINDINGS)], "n": [5], "seed": [0]})
    with pytest.warns(UserWarning, match="of 5 images in 64 tries"):
        assert len(generator.predict(request, {"max_draws": 64})) < 5


def test_pixels_give_probabilities(judge: mlflow_model.Classifier) -> None:
    """uint8 pixels and the same as floats in [-1, 1] give the same row each: findings, then 14 probabilities."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 1, SIDE, SIDE), dtype=np.uint8)
    table = judge.predict(pixels)
    assert list(table.columns) == ["Finding Labels", *PROBABILITY_COLUMNS]
    assert len(table) == 40
    pd.testing.assert_frame_equal(table, judge.predict(images.to_float(pixels[:, 0])))
    logits = judge.session.run(images.to_float(pixels[:, 0]))["logits"]
    np.testing.assert_allclose(table[PROBABILITY_COLUMNS[3]], 1 / (1 + np.exp(-logits[:, 3])), rtol=1e-5)


@pytest.mark.parametrize(
    ("held", "line"),
    [
        (np.zeros((1, 3, SIDE, SIDE), np.uint8), r"images are \[N, 1, 8, 8\]"),
        (np.zeros((0, 1, SIDE, SIDE), np.uint8), r"images are \[N, 1, 8, 8\]"),
        (np.zeros((1, 1, SIDE, SIDE), np.int64), "not int64"),
        (np.full((1, 1, SIDE, SIDE), 255.0), r"lie in \[-1, 1\]"),
        (np.full((1, 1, SIDE, SIDE), np.nan), r"lie in \[-1, 1\]"),
    ],
)
def test_what_is_no_image_is_a_bad_request(judge: mlflow_model.Classifier, held: object, line: str) -> None:
    """Other shapes, types and ranges are refused by what is wanted: never scaled by guess."""
    with pytest.raises(MlflowException, match=line):
        judge.predict(held)


def test_a_harmed_folder_does_not_load(tmp_path: Path) -> None:
    """Loading verifies each file against model.json first."""
    folder = write_stub_models(tmp_path / "onnx")
    (folder / "judge.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"judge.onnx: sha256 differs"):
        _load_pyfunc(str(folder))


def test_cuda_is_an_error_where_there_is_none(models: Path) -> None:
    """A device named in model_config is the device used, or an error."""
    from synthcxr.synthesis.runtime.onnx_session import Session

    if Session.open(models / "judge.onnx").provider != "CPUExecutionProvider":
        pytest.skip("this machine has a GPU")
    with pytest.raises(ArtifactError, match="cannot use the GPU"):
        _load_pyfunc(str(models), {"device": "cuda"})
