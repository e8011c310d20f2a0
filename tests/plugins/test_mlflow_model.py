from __future__ import annotations

import io
import json
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image
from support.exported_models import write_conditional_models
from support.stub_models import LATENT, SIDE, write_stub_models

from synthcxr.data import images, random_streams
from synthcxr.data.condition import list_columns
from synthcxr.data.findings import FINDINGS, format_finding_labels
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS
from synthcxr.errors import ArtifactError
from synthcxr.model_files import model_folder
from synthcxr.plugins import mlflow_model
from synthcxr.plugins.call_deadline import TIMEOUT_VARIABLE
from synthcxr.plugins.mlflow_model import ClassifierModel, GeneratorModel, _load_pyfunc
from synthcxr.registry import publish, signature
from synthcxr.storage import digests


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stub_models(tmp_path_factory.mktemp("models") / "onnx")


@pytest.fixture(scope="module")
def generator(models: Path) -> GeneratorModel:
    model = _load_pyfunc(str(models), {"device": "cpu"})
    assert isinstance(model, GeneratorModel)
    return model


@pytest.fixture(scope="module")
def judge(models: Path, tmp_path_factory: pytest.TempPathFactory) -> ClassifierModel:
    folder = publish.build_model_folder(
        tmp_path_factory.mktemp("judge"),
        index=model_folder.read_index(models),
        files={"judge.onnx": models / "judge.onnx"},
        card="# A card",
    )
    model = _load_pyfunc(str(folder))
    assert isinstance(model, ClassifierModel)
    return model


def test_request_returns_one_row_per_image(generator: GeneratorModel) -> None:
    """Each request returns its n images as PNG with findings, probabilities and digests, in candidate order."""
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
    present = table.loc[:, list(PROBABILITY_COLUMNS)].to_numpy() >= 0.5
    assert [format_finding_labels(row) for row in present.astype(float)] == list(table["Finding Labels"])


def test_label_and_seed_are_optional(generator: GeneratorModel) -> None:
    """Without label and seed, or with an empty label and seed, the images are unconditional and of seed 0."""
    without_columns = generator.predict(pd.DataFrame({"n": [2]}))
    empty_cells = generator.predict(pd.DataFrame({"label": [""], "n": [2], "seed": [np.nan]}))
    assert list(without_columns["seed"]) == [0, 0]
    pd.testing.assert_frame_equal(without_columns, empty_cells)


@pytest.mark.parametrize(
    ("row", "params", "line"),
    [
        ({"n": 1001}, None, "a call must request 1 to 1000 images, not 1001"),
        ({"n": 0}, None, "at least 1, is 0"),
        ({"n": 1.5}, None, "at least 1, is 1.5"),
        ({"n": 1.9}, None, "n must be a whole number of images, at least 1, is 1.9"),
        ({"n": "2"}, None, "n must be a whole number of images, at least 1, is '2'"),
        ({"n": True}, None, "n must be a whole number of images, at least 1, is True"),
        ({"n": None}, None, "n must be a whole number of images"),
        ({"n": 1e300}, None, "a call must request 1 to 1000 images"),
        ({"n": 10**400}, None, "a call must request 1 to 1000 images"),
        ({"n": 1, "label": 5}, None, 'label must be a text, "" for any finding, is 5'),
        ({"n": 1, "label": None}, None, 'label must be a text, "" for any finding, is None'),
        ({"n": 1, "label": ["Mass"]}, None, "label must be a text"),
        ({"n": 1, "seed": 1.5}, None, "seed must be a whole number from 0"),
        ({"n": 1, "seed": "x"}, None, "seed must be a whole number from 0"),
        ({"n": 1}, {"max_draws": 1.9}, "max_draws must be a whole number, is 1.9"),
        ({"n": 1}, {"threshold": "x"}, "threshold must be a number, is 'x'"),
        ({"n": 1, "seed": -1}, None, "seed must be a whole number from 0"),
        ({"n": 1, "label": "Cough"}, None, "unknown finding 'Cough'; known: No Finding, Atelectasis"),
        ({"n": 1, "label": "No Finding|Edema"}, None, "contradictory labels"),
        ({"n": 1}, {"max_draws": 1_000_000}, "max_draws must be 0"),
        ({"n": 1}, {"method": "guess"}, "method must be auto, conditional, reject or guided, is 'guess'"),
        ({"n": 1, "label": "Edema"}, {"method": "guided"}, "this model has no proposal"),
        ({"n": 1, "label": "Edema"}, {"threshold": 1.5}, "threshold must be a probability"),
    ],
)
def test_invalid_request_is_a_bad_request(
    generator: GeneratorModel, row: dict[str, object], params: dict[str, Any] | None, line: str
) -> None:
    """A mistake of the caller is MLflow's own error with status 400, so that a service returns the line."""
    with pytest.raises(MlflowException, match=line) as caught:
        generator.predict(pd.DataFrame([row]), params)
    assert caught.value.get_http_status_code() == 400


def test_limit_of_images_counts_all_requests(generator: GeneratorModel) -> None:
    """The sum of all requests in a call is limited, and a call without requests is refused."""
    with pytest.raises(MlflowException, match="1 to 1000 images, not 1200"):
        generator.predict(pd.DataFrame({"n": [400, 400, 400]}))
    with pytest.raises(MlflowException, match="1 to 1000 images, not 0"):
        generator.predict(pd.DataFrame({"n": []}))


def test_max_draws_ends_a_search(generator: GeneratorModel) -> None:
    """If max_draws candidates contain fewer images, fewer rows are returned, with a warning."""
    request = pd.DataFrame({"label": ["|".join(FINDINGS)], "n": [5], "seed": [0]})
    with pytest.warns(UserWarning, match="of 5 images among 64 candidates"):
        assert len(generator.predict(request, {"max_draws": 64})) < 5


def test_limit_of_candidates_counts_all_requests(generator: GeneratorModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """All requests of a call share one limit of candidates; the warning says how many requests it covered."""
    monkeypatch.setattr(mlflow_model, "MAX_DRAWS", 128)
    request = pd.DataFrame({"label": ["|".join(FINDINGS)] * 50, "n": [1] * 50, "seed": range(50)})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        generator.predict(request, {"max_draws": 64})
    assert "the call examined its 128 candidates in 2 of 50 requests" in str(caught[-1].message)
    assert sum("among 64 candidates" in str(warning.message) for warning in caught) == 2


def test_work_ends_when_the_call_has_timed_out(generator: GeneratorModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a scoring server, a call ends at the server's time limit, also while it waits for another call."""
    monkeypatch.setenv(TIMEOUT_VARIABLE, "0.3")
    endless = pd.DataFrame({"label": ["|".join(FINDINGS)] * 1000, "n": [1] * 1000, "seed": range(1000)})
    start_s = time.monotonic()
    with warnings.catch_warnings(), pytest.raises(MlflowException, match=TIMEOUT_VARIABLE) as caught:
        warnings.simplefilter("ignore")
        generator.predict(endless)
    assert caught.value.get_http_status_code() == 504
    with generator.lock, pytest.raises(MlflowException, match=TIMEOUT_VARIABLE):
        generator.predict(pd.DataFrame({"n": [1]}))
    assert time.monotonic() - start_s < 5
    assert len(generator.predict(pd.DataFrame({"n": [1]}))) == 1


def test_classifier_ends_when_the_call_has_timed_out(judge: ClassifierModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier checks the server's time limit before each block of images."""
    monkeypatch.setenv(TIMEOUT_VARIABLE, "0")
    with pytest.raises(MlflowException, match=TIMEOUT_VARIABLE):
        judge.predict(np.zeros((1, 1, SIDE, SIDE), np.uint8))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("row", [{"n": 1.9}, {"n": 1, "seed": 1.5}, {"n": 1, "label": 5}, {"n": 1, "label": None}])
def test_signature_does_not_change_values(models: Path, tmp_path: Path, row: dict[str, object]) -> None:
    """A scoring server passes each value as it was sent, so that a wrong one is status 400 and never rounded."""
    from mlflow import pyfunc
    from mlflow.pyfunc import scoring_server

    folder = tmp_path / "model"
    pyfunc.save_model(
        folder,
        loader_module=signature.LOADER,
        data_path=models,
        signature=signature.build_signature("generator", SIDE),
        pip_requirements=[],
    )
    model = pyfunc.load_model(str(folder))
    body = json.dumps({"dataframe_records": [row]})
    with pytest.raises(MlflowException, match="must be a") as caught:
        scoring_server.invocations(body, "application/json", model, model.metadata.get_input_schema())
    assert caught.value.get_http_status_code() == 400


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_conditional_generator_is_served_with_attributes(tmp_path: Path) -> None:
    """A missing cell accepts any; a wrong value, and one of a part that is not in the condition, are refused."""
    from mlflow import pyfunc

    pyfunc.save_model(
        tmp_path / "model",
        loader_module=signature.LOADER,
        data_path=write_conditional_models(tmp_path / "onnx", ("findings", "view", "age")),
        signature=signature.build_signature("generator", 16, list_columns(("findings", "view", "age"))),
        pip_requirements=[],
    )
    model = pyfunc.load_model(str(tmp_path / "model"))
    assert set(model.metadata.get_input_schema().input_names()) == {"label", "n", "seed", "view", "sex", "age"}
    request = {"label": ["Mass", ""], "n": [3, 2], "view": ["PA", None], "age": ["20-60", None]}
    table = model.predict(pd.DataFrame(request))
    assert list(table.columns) == model.metadata.get_output_schema().input_names()
    requested = table[table["request"] == 0]
    assert set(requested["view"]) == {"PA"} and requested["age"].astype(int).between(20, 60).all()
    assert requested["Condition Findings"].str.contains("Mass").all() and len(table) == 5
    with pytest.raises(MlflowException, match="view: 'LATERAL' is not one of PA, AP"):
        model.predict(pd.DataFrame({"n": [1], "view": ["lateral"]}))
    with pytest.raises(MlflowException, match="sex: the condition of this generator has no sex"):
        model.predict(pd.DataFrame({"n": [1], "sex": ["F"]}))


def test_classifier_returns_findings_and_probabilities(judge: ClassifierModel) -> None:
    """uint8 pixels and the same as floats in [-1, 1] give the same rows: findings, then 14 probabilities."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 1, SIDE, SIDE), dtype=np.uint8)
    table = judge.predict(pixels)
    assert list(table.columns) == ["Finding Labels", *PROBABILITY_COLUMNS]
    assert len(table) == 40
    pd.testing.assert_frame_equal(table, judge.predict(images.to_float(pixels[:, 0])))
    logits = judge.session.run(images.to_float(pixels[:, 0]))["logits"]
    np.testing.assert_allclose(table[PROBABILITY_COLUMNS[3]], 1 / (1 + np.exp(-logits[:, 3])), rtol=1e-5)


@pytest.mark.parametrize(
    ("array", "line"),
    [
        (np.zeros((1, 3, SIDE, SIDE), np.uint8), r"the shape \[N, 1, 8, 8\]"),
        (np.zeros((0, 1, SIDE, SIDE), np.uint8), r"the shape \[N, 1, 8, 8\]"),
        (np.zeros((1, 1, SIDE, SIDE), np.int64), "not int64"),
        (np.full((1, 1, SIDE, SIDE), 255.0), r"must be in \[-1, 1\]"),
        (np.full((1, 1, SIDE, SIDE), np.nan), r"must be in \[-1, 1\]"),
    ],
)
def test_array_that_is_no_image_is_a_bad_request(judge: ClassifierModel, array: object, line: str) -> None:
    """Other shapes, types and ranges are refused, never guessed and rescaled."""
    with pytest.raises(MlflowException, match=line):
        judge.predict(array)


def test_damaged_folder_does_not_load(tmp_path: Path) -> None:
    """Loading first verifies each file against model.json."""
    folder = write_stub_models(tmp_path / "onnx")
    (folder / "judge.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"judge.onnx: its sha256 differs"):
        _load_pyfunc(str(folder))


def test_cuda_without_a_gpu_is_an_error(models: Path) -> None:
    """A device named in model_config is used, or loading fails."""
    from synthcxr.synthesis.runtime.onnx_session import Session

    if Session.open(models / "judge.onnx").provider != "CPUExecutionProvider":
        pytest.skip("this machine has a GPU")
    with pytest.raises(ArtifactError, match="cannot use the GPU"):
        _load_pyfunc(str(models), {"device": "cuda"})
