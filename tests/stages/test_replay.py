"""`synthcxr replay`: any image of a dataset again, with the same bytes, or one line that says what differs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support.default_request import DEFAULT_REQUEST
from support.exported_models import write_exported_models, write_guided_models

from synthcxr.data.synthetic_dataset import METADATA_FILE, read_metadata
from synthcxr.errors import ArtifactError, DataError
from synthcxr.stages import generate, replay

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_guided_models(tmp_path_factory.mktemp("models") / "onnx", rate=0.1)


@pytest.mark.parametrize(
    ("changes", "image_format"),
    [
        ({}, "png"),
        ({"labels": ("Mass", "Edema"), "per_label": 3}, "png"),
        ({"method": "optimise", "labels": ("Mass",)}, "png"),
        ({"method": "guided", "labels": ("Mass",)}, "png"),
        ({"method": "guided", "labels": ("Mass", "Edema"), "per_label": 3}, "dicom"),
        ({}, "dicom"),
    ],
    ids=["unconditional", "per label", "optimise", "guided", "guided per label as DICOM", "DICOM"],
)
def test_a_replayed_image_has_the_same_bytes(model: Path, tmp_path: Path, changes: dict, image_format: str) -> None:
    """The first and the last image are reproduced byte for byte, with every method and format."""
    if image_format == "dicom":
        pytest.importorskip("pydicom")
    dataset = tmp_path / "dataset"
    config = dataclasses.replace(DEFAULT_REQUEST, n=6, max_draws=2000, **changes)
    generate.run(config, model=model, out=dataset, model_name="exported", image_format=image_format)  # type: ignore[arg-type]
    table = read_metadata(dataset)
    for row in (table.iloc[0], table.iloc[-1]):
        replayed = tmp_path / "replayed.png"
        sha256 = replay.run(dataset=dataset, index=int(row["index"]), model=model, out=replayed)
        assert replayed.read_bytes() == (dataset / row["file_name"]).read_bytes()
        assert sha256 == row["sha256"]


def test_a_difference_is_one_line(model: Path, tmp_path: Path) -> None:
    """A missing image, another model, a missing dataset and other bytes are one line each; nothing is written."""
    dataset, out = tmp_path / "dataset", tmp_path / "replayed.png"
    config = dataclasses.replace(DEFAULT_REQUEST, n=4)
    generate.run(config, model=model, out=dataset, model_name="exported")
    with pytest.raises(DataError, match="has no image of candidate 99"):
        replay.run(dataset=dataset, index=99, model=model, out=out)
    other_model = write_exported_models(tmp_path / "other", rate=0.4)
    with pytest.raises(ArtifactError, match="has another labelling than the dataset"):
        replay.run(dataset=dataset, index=1, model=other_model, out=out)
    with pytest.raises(DataError, match=r"run\.json"):
        replay.run(dataset=tmp_path, index=1, model=model, out=out)
    metadata = dataset / METADATA_FILE
    sha256 = read_metadata(dataset)["sha256"].iloc[1]
    metadata.write_text(metadata.read_text().replace(sha256, "0" * 64))
    with pytest.raises(DataError, match="candidate 1 has other bytes on this machine .same models"):
        replay.run(dataset=dataset, index=1, model=model, out=out)
    assert not out.exists()
