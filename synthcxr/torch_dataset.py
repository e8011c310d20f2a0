"""A synthetic dataset as a map-style `torch.utils.data.Dataset`, whatever its image format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import data

from synthcxr.data import image_reader, images
from synthcxr.data.findings import FINDINGS, parse_finding_labels
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS, read_metadata


class GeneratedDataset(data.Dataset[tuple[Any, torch.Tensor]]):
    """Images float32 [1, R, R] in [-1, 1], and labels float32 [14] in NIH order, 1 for a finding that is present.

    With `soft`, the labels are the classifier's probabilities. `transform` is applied to the image tensor. `table` is
    metadata.csv; its column `weight` can be used for a `WeightedRandomSampler`. Loader workers can share the dataset.
    """

    def __init__(
        self, dataset: str | Path, *, soft: bool = False, transform: Callable[[torch.Tensor], Any] | None = None
    ) -> None:
        self.table = read_metadata(Path(dataset))
        self.transform = transform
        self._reader = image_reader.ImageReader(Path(dataset))
        self._file_names = self.table["file_name"].tolist()
        if soft:
            labels = self.table[list(PROBABILITY_COLUMNS)].to_numpy(np.float32)
        else:
            multi_hot = [parse_finding_labels(text) for text in self.table["Finding Labels"]]
            labels = np.array(multi_hot, dtype=np.float32).reshape(-1, len(FINDINGS))
        self.labels = torch.from_numpy(labels.copy())

    def __len__(self) -> int:
        return len(self._file_names)

    def __getitem__(self, index: int) -> tuple[Any, torch.Tensor]:
        name = self._file_names[index]
        pixels = image_reader.decode_pixels(self._reader.read(name), name=f"{self._reader.dataset}: {name}")
        image = torch.from_numpy(images.to_float(pixels[np.newaxis])[0])
        return (image if self.transform is None else self.transform(image)), self.labels[index]
