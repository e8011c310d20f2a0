"""Writes the log and the image grids of a GAN training beside its checkpoints, and copies them to the results."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from synthcxr.errors import ArtifactError
from synthcxr.storage import atomic, csv_files
from synthcxr.training.log_callbacks import LogRow, RowCallback

COLUMNS = (
    "nimg",
    "resolution",
    "alpha",
    "lr",
    "loss_d",
    "loss_g",
    "penalty",
    "real_logit",
    "synthetic_logit",
    "feature_loss_d",
    "feature_loss_g",
    "val_distance",
    "images_per_s",
    "wall_s",
)

_WHOLE_NUMBER = re.compile("[0-9]{1,18}")


@dataclasses.dataclass
class TrainingLogWriter:
    """The rows and grids of one training. The originals are in `folder`, with the checkpoints.

    `log` (a CSV file) and `snapshots` (a folder) are copies: DVC deletes them before each run. `on_row` receives every
    row as the CSV file holds it.
    """

    folder: Path
    log: Path
    snapshots: Path
    on_row: RowCallback
    rows: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def resume(self, nimg: int) -> None:
        """Read the log of the stopped run, drop its rows after the checkpoint at `nimg`, and restore the copies.

        ArtifactError for a damaged log.
        """
        log = self.folder / "log.csv"
        if log.is_file():
            self.rows = [row for row in _read_rows(log) if int(row["nimg"]) <= nimg]
        self._write_log()
        for grid in sorted((self.folder / "snapshots").glob("grid_*.png")):
            self._copy_grid(grid)

    def add_row(self, row: LogRow) -> None:
        """Write a row; its wall_s becomes the total of all runs of this training."""
        earlier_s = float(self.rows[-1]["wall_s"]) if self.rows else 0.0
        values = row | {"wall_s": earlier_s + row["wall_s"]}
        self.rows.append({column: f"{values[column]:.6g}" if column in values else "" for column in COLUMNS})
        self.rows[-1]["nimg"] = str(int(row["nimg"]))
        self._write_log()
        self.on_row(self.rows[-1])

    def add_grid(self, nimg: int, images: NDArray[np.uint8]) -> Path:
        """Save images uint8 [N, R, R] as a square grid, and return the file in `snapshots`."""
        path = self.folder / "snapshots" / f"grid_{nimg:09d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        side = int(len(images) ** 0.5)
        rows = [np.concatenate(list(images[i * side : (i + 1) * side]), axis=1) for i in range(side)]
        with atomic.open_file(path) as file:
            Image.fromarray(np.concatenate(rows)).save(file, format="PNG")
        return self._copy_grid(path)

    def select_nimg(self) -> int:
        """Return the nimg of the kept generator: that with the smallest val distance, or the last if none has one."""
        measured = [row for row in self.rows if row["val_distance"]]
        best = min(measured, key=lambda row: float(row["val_distance"])) if measured else self.rows[-1]
        return int(best["nimg"])

    def _write_log(self) -> None:
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        for path in (self.folder / "log.csv", self.log):
            atomic.write_text(path, table.getvalue())

    def _copy_grid(self, grid: Path) -> Path:
        self.snapshots.mkdir(parents=True, exist_ok=True)
        with atomic.open_file(self.snapshots / grid.name) as file:
            file.write(grid.read_bytes())
        return self.snapshots / grid.name


def _read_rows(log: Path) -> list[dict[str, str]]:
    """Read the rows of a log that `add_row` wrote."""
    advice = "delete the folder that contains it, and train again"
    rows = csv_files.read_rows(log, COLUMNS, error=ArtifactError, advice=advice)
    for row in rows:
        measured = [row["wall_s"], *filter(None, [row["val_distance"]])]
        if _WHOLE_NUMBER.fullmatch(row["nimg"]) is None or not all(map(_is_finite, measured)):
            raise ArtifactError(f"{log}: a row contains a value that is not a number; {advice}")
    return rows


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
