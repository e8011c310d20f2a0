"""A generated dataset through torch's own loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.stub_models import SIDE, write_stub_models
from torch.utils.data import DataLoader

from synthcxr.config.schema import GenerateConfig
from synthcxr.data.findings import FINDINGS
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS, read_metadata
from synthcxr.errors import DataError
from synthcxr.stages import generate
from synthcxr.torch_dataset import GeneratedDataset

FORMATS = ("png", "dicom", "webdataset")
N = 20
ASKED = {"n": N, "seed": 1, "labels": (), "without": (), "per_label": None, "mix": None, "method": "reject"}
CONFIG = GenerateConfig(**ASKED, with_judge=False, max_draws=N, batch=8, device="cpu")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    model = write_stub_models(root / "onnx")
    for image_format in FORMATS:
        generate.run(CONFIG, model=model, out=root / image_format, model_name="stand-in", image_format=image_format)  # type: ignore[arg-type]
    return root


def test_images_and_labels(made: Path) -> None:
    """Every format gives the same tensors: images in [-1, 1], a 1 for each finding of the table's row."""
    first, *others = (list(GeneratedDataset(made / image_format)) for image_format in FORMATS)
    image, shown = first[3]
    assert image.dtype == shown.dtype == torch.float32
    assert image.shape == (1, SIDE, SIDE) and shown.shape == (14,) and -1 <= image.min() < image.max() <= 1
    table = read_metadata(made / "png")
    for at, (_, values) in enumerate(first):
        names = set(table["Finding Labels"].iloc[at].split("|"))
        assert [name in names for name in FINDINGS] == values.bool().tolist()
    for other in others:
        for (one, own), (image, shown) in zip(first, other, strict=True):
            assert torch.equal(one, image) and torch.equal(own, shown)


def test_a_shuffled_loader_with_a_worker(made: Path) -> None:
    """Batches come out of a worker process in any order, each image with its own label."""
    held = GeneratedDataset(made / "webdataset", soft=True, transform=lambda image: image.sum())
    loader = DataLoader(held, batch_size=6, shuffle=True, num_workers=1, multiprocessing_context="fork")
    pairs = {(float(total), *values.tolist()) for batch in loader for total, values in zip(*batch, strict=True)}
    assert pairs == {(float(total), *values.tolist()) for total, values in held}
    np.testing.assert_allclose(held.labels, held.table[list(PROBABILITY_COLUMNS)], atol=1e-6)


def test_an_image_that_is_gone(made: Path, tmp_path: Path) -> None:
    """One line names it; a folder that holds no dataset is one line too."""
    held = GeneratedDataset(made / "png")
    (made / "png" / held.table["file_name"].iloc[5]).unlink()
    with pytest.raises(DataError, match=r"00000005\.png is listed in metadata.csv but cannot be read"):
        held[5]
    with pytest.raises(DataError, match=r"holds no metadata\.csv"):
        GeneratedDataset(tmp_path)
