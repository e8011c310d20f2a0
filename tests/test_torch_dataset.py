"""A synthetic dataset in torch's DataLoader."""

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
REQUEST = {"n": N, "seed": 1, "labels": (), "without": (), "per_label": None, "mix": None, "method": "reject"}
REQUEST |= {"view": None, "sex": None, "age": None}
CONFIG = GenerateConfig(**REQUEST, with_judge=False, max_draws=N, batch=8, device="cpu")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one dataset in each image format, named by it."""
    root = tmp_path_factory.mktemp("datasets")
    model = write_stub_models(root / "onnx")
    for image_format in FORMATS:
        generate.run(CONFIG, model=model, out=root / image_format, model_name="stub", image_format=image_format)  # type: ignore[arg-type]
    return root


def test_every_format_gives_the_same_tensors(datasets: Path) -> None:
    """Images are in [-1, 1], and labels are 1 for the findings of metadata.csv."""
    first, *others = (list(GeneratedDataset(datasets / image_format)) for image_format in FORMATS)
    image, labels = first[3]
    assert image.dtype == labels.dtype == torch.float32
    assert image.shape == (1, SIDE, SIDE) and labels.shape == (14,) and -1 <= image.min() < image.max() <= 1
    table = read_metadata(datasets / "png")
    for index, (_, labels) in enumerate(first):
        names = set(table["Finding Labels"].iloc[index].split("|"))
        assert [name in names for name in FINDINGS] == labels.bool().tolist()
    for other in others:
        for pair, other_pair in zip(first, other, strict=True):
            assert all(torch.equal(tensor, other_tensor) for tensor, other_tensor in zip(pair, other_pair, strict=True))


def test_a_shuffling_loader_with_a_worker_keeps_labels_with_images(datasets: Path) -> None:
    """Batches of a worker process have the images in another order, each with its own labels."""
    dataset = GeneratedDataset(datasets / "webdataset", soft=True, transform=lambda image: image.sum())
    loader = DataLoader(dataset, batch_size=6, shuffle=True, num_workers=1, multiprocessing_context="fork")
    pairs = {(float(total), *values.tolist()) for batch in loader for total, values in zip(*batch, strict=True)}
    assert pairs == {(float(total), *values.tolist()) for total, values in dataset}
    np.testing.assert_allclose(dataset.labels, dataset.table[list(PROBABILITY_COLUMNS)], atol=1e-6)


def test_an_absent_image_is_an_error(datasets: Path, tmp_path: Path) -> None:
    """The error names the image; a folder without a dataset is an error too."""
    dataset = GeneratedDataset(datasets / "png")
    (datasets / "png" / dataset.table["file_name"].iloc[5]).unlink()
    with pytest.raises(DataError, match=r"00000005\.png is listed in metadata.csv but cannot be read"):
        dataset[5]
    with pytest.raises(DataError, match=r"no metadata\.csv; give the folder of a finished"):
        GeneratedDataset(tmp_path)
