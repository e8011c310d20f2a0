"""`synthcxr replay`: any image of a dataset again, with the same bytes, or one line that says what differs."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from support.default_request import DEFAULT_REQUEST
from support.exported_models import write_conditional_models, write_exported_models, write_guided_models

from synthcxr.data.synthetic_dataset import METADATA_FILE, read_metadata
from synthcxr.errors import ArtifactError, DataError
from synthcxr.stages import generate, replay
from synthcxr.storage import digests, json_files
from synthcxr.synthesis.request.label_condition import LabelCondition
from synthcxr.synthesis.sampling.strategy import SamplingStrategy
from synthcxr.writers.formats.store import open_store

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


def test_another_model_is_named_before_it_is_opened(model: Path, tmp_path: Path) -> None:
    """A conditional model and one without a proposal, which the method of the dataset cannot use, are other models."""
    dataset, out = tmp_path / "dataset", tmp_path / "replayed.png"
    config = dataclasses.replace(DEFAULT_REQUEST, n=2, method="guided", labels=("Mass",), max_draws=2000)
    generate.run(config, model=model, out=dataset, model_name="exported")
    index = int(read_metadata(dataset)["index"].iloc[0])
    conditional = write_conditional_models(tmp_path / "conditional")
    with pytest.raises(ArtifactError, match="has another generator than the dataset, .*use --model to name"):
        replay.run(dataset=dataset, index=index, model=conditional, out=out)
    (undistilled := tmp_path / "undistilled").mkdir()
    for name in ("generator.onnx", "classifier.onnx"):
        (undistilled / name).write_bytes((model / name).read_bytes())
    with pytest.raises(ArtifactError, match=r"lacks the proposal\.onnx that the dataset was generated with"):
        replay.run(dataset=dataset, index=index, model=undistilled, out=out)
    assert not out.exists()


def test_a_guided_dataset_of_an_earlier_version_is_replayed_as_it_was(model: Path, tmp_path: Path) -> None:
    """run.json without a minimum of the effective share means no limit; with one, the images have other bytes."""
    limited, out = tmp_path / "limited", tmp_path / "replayed.png"
    config = dataclasses.replace(DEFAULT_REQUEST, n=4, method="guided", labels=("Mass",), max_draws=2000)
    generate.run(config, model=model, out=limited, model_name="exported")
    run = json_files.read_json(limited / "run.json")
    assert run["request"]["min_effective_share"] == 0.5 and 0 < run["counts"]["effective_size"] <= 4
    strategy = SamplingStrategy.open(
        model, method="guided", batch_size=config.batch, device="cpu", min_effective_share=0
    )
    (batch, *_) = (
        batch
        for batch in strategy.draw(LabelCondition(("Mass",)), seed=config.seed, start=0, stop=2000)
        if len(batch.indices)
    )
    (record, *_) = strategy.build_records(batch, seed=config.seed, requested=("Mass",))
    content = open_store("png", tmp_path, generator=run["model"]["digests"]["generator"]).encode(
        batch.pixels[0], record
    )
    earlier = shutil.copytree(limited, tmp_path / "earlier")
    del run["request"]["min_effective_share"]
    json_files.write_json(earlier / "run.json", run)
    metadata = read_metadata(limited)
    text = (earlier / METADATA_FILE).read_text().replace(metadata["sha256"].iloc[0], digests.sha256_bytes(content))
    first = int(metadata["index"].iloc[0])
    (earlier / METADATA_FILE).write_text(text.replace(f",{first},", f",{record.index},", 1))
    replay.run(dataset=earlier, index=record.index, model=model, out=out)
    assert out.read_bytes() == content
