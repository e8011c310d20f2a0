"""The door for torch: a generated dataset, of whatever format, as a map-style `torch.utils.data.Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import data

from synthcxr.data import findings, image_reader, images, records


class GeneratedDataset(data.Dataset[tuple[Any, torch.Tensor]]):
    """Images float32 [1, R, R] in [-1, 1] with labels float32 [14] in NIH order: 1 where the finding shows.

    `soft` gives the classifier's probabilities in their place. `transform` takes the image tensor. `table` is
    metadata.csv, whose column `weight` suits a `WeightedRandomSampler`. Workers may share it.
    """

    def __init__(
        self, dataset: str | Path, *, soft: bool = False, transform: Callable[[torch.Tensor], Any] | None = None
    ) -> None:
        self.table = records.read_metadata(Path(dataset))
        self.transform = transform
        self._images = image_reader.Images(Path(dataset))
        self._names = self.table["file_name"].tolist()
        shown = [findings.parse(names) for names in self.table["Finding Labels"]]
        hard = np.array(shown, dtype=np.float32).reshape(-1, len(findings.FINDINGS))
        held = self.table[list(records.PROBABILITY_COLUMNS)].to_numpy(np.float32) if soft else hard
        self.labels = torch.from_numpy(held.copy())

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, at: int) -> tuple[Any, torch.Tensor]:
        pixels = image_reader.pixels(self._images.read(self._names[at]))
        image = torch.from_numpy(images.to_float(pixels[np.newaxis])[0])
        return (image if self.transform is None else self.transform(image)), self.labels[at]
