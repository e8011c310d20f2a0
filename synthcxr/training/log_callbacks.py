"""The callbacks through which a training reports its progress."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LogRow = dict[str, float]
"""One row of the log of a GAN training, by column."""

RowCallback = Callable[[Mapping[str, str]], None]
"""Receives each row by column, as the CSV file holds it. It neither waits nor raises."""
StartLogging = Callable[[str, str, Mapping[str, Any]], RowCallback]
"""Takes the fingerprints of the films and of the training, and its parameters; returns the receiver of its rows."""


def ignore_rows(films: str, training: str, parameters: Mapping[str, Any]) -> RowCallback:
    """A `StartLogging` that drops every row."""
    return lambda row: None


@dataclasses.dataclass(frozen=True)
class ProgressCallbacks:
    """What receives the progress of a GAN training.

    `on_resume` receives the nimg at which the run starts, before any other call; `on_row` a row of the log; `on_grid`
    the nimg and a grid of synthetic images, uint8 [64, R, R]; `on_message` a line of text.
    """

    on_resume: Callable[[int], None]
    on_row: Callable[[LogRow], None]
    on_grid: Callable[[int, NDArray[np.uint8]], None]
    on_message: Callable[[str], None]


NO_CALLBACKS = ProgressCallbacks(
    on_resume=lambda nimg: None,
    on_row=lambda row: None,
    on_grid=lambda nimg, images: None,
    on_message=lambda line: None,
)
