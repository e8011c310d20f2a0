"""What must hold of a synthetic dataset: its manifest, its files and, against real films, its labels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthcxr.checks import gx_runner
from synthcxr.checks.check_result import CheckResult
from synthcxr.checks.gx_runner import Docs, Expected, expectations
from synthcxr.data import image_reader
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, NO_FINDING
from synthcxr.data.synthetic_dataset import PROBABILITY_COLUMNS, RUN_FILE, read_metadata
from synthcxr.errors import DataError
from synthcxr.storage import digests, json_files

SMOOTHING = 1e-3
LABEL = "file_name"
_KNOWN = "|".join(FINDINGS)
_VOCABULARY = rf"^(?:{NO_FINDING}|(?:{_KNOWN})(?:\|(?:{_KNOWN}))*)$"
_REQUEST_MET, _PROBABLE, _WHOLE, _SIDE, _LATENT = "request met", "probable", "file", "side", "latent"


def check(
    dataset: Path,
    *,
    images: bool,
    reference: Mapping[str, float] | None,
    max_label_kl: float | None,
    not_judged: Collection[str] = (),
    docs: Docs | None = None,
) -> CheckResult:
    """Check the dataset in a folder; every failing line names images by their file name.

    `images` reads every image too: there, with its sha256, a grey square of the run's size. `reference` gives the
    weights (shares or counts) of "No Finding" and the findings among real films; the labels' divergence from it,
    each image counted once for each of its findings but those `not_judged`, is then bounded by `max_label_kl` nats.
    `docs` get a page, "synthetic", and one for the labels, "synthetic labels".
    """
    held, n, side = _table(dataset, images=images)
    found = gx_runner.run(held, expected(n, side if images else None), label=LABEL, name="synthetic", docs=docs)
    if reference is None or max_label_kl is None or held.empty:
        return found
    judged = _label_check(held, smoothed(reference, not_judged), max_label_kl, docs)
    return CheckResult.of((*found.lines, *judged.lines))


def table(dataset: Path) -> pd.DataFrame:
    """metadata.csv as it is checked, every image read, with a column for each thing that no cell says by itself."""
    return _table(dataset, images=True)[0]


def expected(n: int, side: int | None) -> list[Expected]:
    """All that is asked of a table of `n` images, and of their files where `side`, in px, is given."""
    return [*_rows(n), *_vocabulary(), *([] if side is None else _files(side))]


def _table(dataset: Path, *, images: bool) -> tuple[pd.DataFrame, int, int]:
    held, run = _read_table(dataset), json_files.read_json(dataset / RUN_FILE)
    held[_REQUEST_MET] = _requests_met(held, run)
    held[_LATENT] = np.arange(len(held)) < _n_latents(dataset)
    held[_PROBABLE] = held[list(PROBABILITY_COLUMNS)].apply(lambda p: p.between(0, 1)).all(axis=1)
    try:
        n, side = run["counts"]["found"], run["model"]["resolution"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{dataset / RUN_FILE}: not written by this version of synthcxr") from error
    if images:
        looked_at = pd.DataFrame(_look(dataset, held), columns=[_WHOLE, _SIDE], index=held.index)
        held = pd.concat([held, looked_at], axis=1)
    return held, n, side


def smoothed(reference: Mapping[str, float], not_judged: Collection[str] = ()) -> dict[str, float]:
    """Weights of what is judged as shares that sum to 1, a thousandth of it spread evenly: no bin is empty."""
    names = [name for name in (NO_FINDING, *FINDINGS) if name not in not_judged]
    weights = np.array([reference.get(name, 0.0) for name in names], dtype=np.float64)
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise DataError("the reference of the labels has no weights, or some below 0 or not finite")
    shares = (1 - SMOOTHING) * weights / weights.sum() + SMOOTHING / len(names)
    return dict(zip(names, shares.tolist(), strict=True))


def _label_check(
    table: pd.DataFrame, shares: Mapping[str, float], max_label_kl: float, docs: Docs | None
) -> CheckResult:
    rows = table.loc[:, ["file_name"]].assign(finding=table["Finding Labels"].str.split(LABEL_SEPARATOR))
    expectation = expectations.ExpectColumnKLDivergenceToBeLessThan(
        column="finding",
        partition_object={"values": list(shares), "weights": list(shares.values())},
        threshold=max_label_kl,
        tail_weight_holdout=SMOOTHING,
    )
    exploded = rows.explode("finding")
    exploded = exploded[exploded["finding"].isin(list(shares))].reset_index(drop=True)
    sentence = f"the labels' divergence from those of the real films is at most {max_label_kl:g} nats"
    line = Expected("label divergence", sentence, expectation)
    return gx_runner.run(exploded, [line], label="file_name", name="synthetic labels", docs=docs)


def _read_table(dataset: Path) -> pd.DataFrame:
    """metadata.csv with what should be a number as one; nulls become values that fail, for the library skips them."""
    table = read_metadata(dataset)
    for column in (*PROBABILITY_COLUMNS, "weight"):
        table[column] = pd.to_numeric(table[column], errors="coerce").fillna(-1.0)
    return table


def _rows(n: int) -> list[Expected]:
    return [
        Expected("rows", f"there are {n:,} images", expectations.ExpectTableRowCountToEqual(value=n)),
        Expected("file names", "no two images share a file", _unique("file_name")),
        Expected("candidates", "no two images are the same candidate", _unique("index")),
        Expected("latents", "every image has its latent", _true(_LATENT)),
        Expected("requests", "every image shows the findings asked for", _true(_REQUEST_MET)),
    ]


def _vocabulary() -> list[Expected]:
    known = expectations.ExpectColumnValuesToMatchRegex(column="Finding Labels", regex=_VOCABULARY)
    digest = expectations.ExpectColumnValuesToMatchRegex(column="sha256", regex="^[0-9a-f]{64}$")
    weight = expectations.ExpectColumnValuesToBeBetween(column="weight", min_value=0, strict_min=True)
    return [
        Expected("vocabulary", "every label is one of the 14 findings, or No Finding alone", known),
        Expected("digests", "every image has a sha256", digest),
        Expected("weight", "every weight is above 0", weight),
        Expected("probabilities", "every probability is between 0 and 1", _true(_PROBABLE)),
    ]


def _files(side: int) -> list[Expected]:
    sides = expectations.ExpectColumnValuesToBeInSet(column=_SIDE, value_set=[side])
    return [
        Expected("files", "every image is there, with the bytes of its sha256", _true(_WHOLE)),
        Expected("sizes", f"every image is a grey square of {side} px", sides),
    ]


def _unique(column: str) -> expectations.Expectation:
    return expectations.ExpectColumnValuesToBeUnique(column=column)


def _true(column: str) -> expectations.Expectation:
    return expectations.ExpectColumnValuesToBeInSet(column=column, value_set=[True])


def _requests_met(table: pd.DataFrame, run: Any) -> list[bool]:
    """Whether each image shows every finding that its row asks for, and none that the run leaves out."""
    request = run.get("request", {}) if isinstance(run, dict) else {}
    barred = set(request.get("without", ()))
    pairs = ((set(filter(None, asked.split("|"))), set(shown.split("|"))) for asked, shown in _asked_and_shown(table))
    return [asked <= shown and not barred & shown for asked, shown in pairs]


def _asked_and_shown(table: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(table["requested"], table["Finding Labels"], strict=True)


def _n_latents(dataset: Path) -> int:
    try:
        return len(np.load(dataset / "latents.npy", mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, TypeError):
        return 0


def _look(dataset: Path, table: pd.DataFrame) -> Iterator[tuple[bool, int]]:
    """Of each image, whether its bytes are those of its sha256, and its side in px (0: no grey square)."""
    for data, sha256 in zip(image_reader.read(dataset, table["file_name"]), table["sha256"], strict=True):
        yield data is not None and digests.sha256_bytes(data) == sha256, 0 if data is None else _side(data)


def _side(data: bytes) -> int:
    try:
        height, width = image_reader.decode_pixels(data).shape
    except DataError:
        return 0
    return height if height == width else 0
