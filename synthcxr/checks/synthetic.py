"""Checks of a synthetic dataset: its manifest, its files and the distribution of its labels."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthcxr.checks import runner
from synthcxr.checks.check_result import CheckLine, CheckResult
from synthcxr.checks.expectation import (
    Check,
    expect_above,
    expect_in,
    expect_kl_divergence,
    expect_match,
    expect_n_rows,
    expect_true,
    expect_unique,
)
from synthcxr.data import image_formats, image_reader
from synthcxr.data.findings import FINDINGS, LABEL_SEPARATOR, NO_FINDING
from synthcxr.data.run_schema import RunJson
from synthcxr.data.synthetic_dataset import (
    PROBABILITY_COLUMNS,
    RUN_FILE,
    read_run,
    read_unchecked_columns,
    read_unchecked_metadata,
)
from synthcxr.errors import DataError
from synthcxr.storage import digests, numpy_files
from synthcxr.storage.numpy_files import ArrayType
from synthcxr.storage.progress import track

if TYPE_CHECKING:
    import pandas as pd

    from synthcxr.checks.gx_runner import DataDocs

SMOOTHING = 1e-3
LABEL_COLUMN, _FINDINGS_COLUMN = "file_name", "Finding Labels"
_KNOWN = "|".join(FINDINGS)
_VOCABULARY = rf"^(?:{NO_FINDING}|(?:{_KNOWN})(?:\|(?:{_KNOWN}))*)$"
_Columns = Mapping[str, Sequence[Any]]
_NO_NUMBER = -1.0
"""Stands for a cell that is no number and fails, because great-expectations skips nulls."""
_REQUEST_MET, _PROBABILITIES_VALID, _FILE_INTACT, _SIDE, _LATENT = "request met", "probable", "file", "side", "latent"


def check_dataset(
    dataset: Path,
    *,
    images: bool,
    reference: Mapping[str, float] | None,
    max_label_kl: float | None,
    excluded_findings: Collection[str] = (),
    docs: DataDocs | None = None,
    is_direct: bool = False,
) -> CheckResult:
    """Check the dataset in a folder. A failed line names images by their file name.

    great-expectations runs the checks, unless `is_direct`; the lines are the same, and the library takes seconds to
    import.

    With `images` every image is read: it must exist, match its sha256 and be a grey square of the size in run.json.
    `reference` gives the weights (shares or counts) of "No Finding" and the findings among real films. The KL
    divergence of the labels from it must be at most `max_label_kl` nats; an image counts once for each of its
    findings, without `excluded_findings`. `docs` gets the pages "synthetic" and "synthetic labels".
    """
    columns, run_json = read_unchecked_columns(dataset, no_number=_NO_NUMBER), read_run(dataset)
    image_formats.require_format(dataset, run_json)
    n, side = _read_counts(dataset, run_json)
    computed = _compute_columns(dataset, columns, run_json, images=images)
    checks = list_checks(n, side if images else None)
    names = {LABEL_COLUMN, _FINDINGS_COLUMN} | {check.expectation.kwargs.get("column") for check in checks}
    table = {name: values for name, values in (*columns.items(), *computed.items()) if name in names}
    del columns, computed  # the columns that no check names would be most of the memory of the following
    run = functools.partial(runner.run_checks, label=LABEL_COLUMN, docs=docs, is_direct=is_direct)
    result = run(table, checks, name="synthetic")
    if reference is None or max_label_kl is None or not table[LABEL_COLUMN]:
        return result
    shares = smooth_shares(reference, excluded_findings)
    rows, check = _build_label_check(table, shares, max_label_kl)
    label_result = run(rows, [check], name="synthetic labels")
    return CheckResult.from_lines((*result.lines, *label_result.lines))


def confirm_no_leakage(n_test: int) -> CheckLine:
    """The line of a dataset whose models were found not to have seen any of `n_test` films."""
    sentence = "the models were not trained on any test film or any patient of one"
    return CheckLine("no leakage", True, sentence, observed=f"0 of {n_test:,} films", bound="at most 0")


def build_table(dataset: Path) -> pd.DataFrame:
    """Read metadata.csv and every image, and add the computed columns that the checks use."""
    import pandas as pd

    table, run_json = read_unchecked_metadata(dataset, no_number=_NO_NUMBER), read_run(dataset)
    _read_counts(dataset, run_json)
    computed = _compute_columns(dataset, table, run_json, images=True)
    return table.assign(**{name: pd.Series(values, table.index) for name, values in computed.items()})


def list_checks(n: int, side: int | None) -> list[Check]:
    """List the checks of a table of `n` images and, if `side` in px is given, of their files."""
    return [*_row_checks(n), *_vocabulary_checks(), *([] if side is None else _file_checks(side))]


def _read_counts(dataset: Path, run: RunJson) -> tuple[int, int]:
    """The number of images and their side in px, from run.json."""
    try:
        return run["counts"]["found"], run["model"]["resolution"]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{dataset / RUN_FILE}: not written by this version of synthcxr; generate the dataset again"
        ) from error


def _compute_columns(
    dataset: Path, columns: _Columns | pd.DataFrame, run: RunJson, *, images: bool
) -> dict[str, Sequence[Any]]:
    """The columns of the checks that metadata.csv does not hold."""
    n_latents = _count_latents(dataset)
    probabilities = np.array([columns[name] for name in PROBABILITY_COLUMNS])
    are_valid = np.logical_and.reduce((probabilities >= 0) & (probabilities <= 1), axis=0)
    computed: dict[str, Sequence[Any]] = {
        _REQUEST_MET: _match_requests(columns, run),
        _LATENT: [row < n_latents for row in range(len(columns[LABEL_COLUMN]))],
        _PROBABILITIES_VALID: are_valid.tolist(),
    }
    if images:
        files = list(_inspect_files(dataset, columns))
        computed[_FILE_INTACT], computed[_SIDE] = [intact for intact, _ in files], [side for _, side in files]
    return computed


def smooth_shares(reference: Mapping[str, float], excluded_findings: Collection[str] = ()) -> dict[str, float]:
    """Turn weights into shares that sum to 1, with 0.1 % spread evenly so that no bin is empty."""
    names = [name for name in (NO_FINDING, *FINDINGS) if name not in excluded_findings]
    weights = np.array([reference.get(name, 0.0) for name in names], dtype=np.float64)
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        raise DataError("the reference of the labels has no weights, or weights that are negative or not finite")
    shares = (1 - SMOOTHING) * weights / weights.sum() + SMOOTHING / len(names)
    return dict(zip(names, shares.tolist(), strict=True))


def _build_label_check(
    table: _Columns, shares: Mapping[str, float], max_label_kl: float
) -> tuple[dict[str, list[str]], Check]:
    """The findings of all images, one row each, and the check of their distribution."""
    rows: dict[str, list[str]] = {LABEL_COLUMN: [], "finding": []}
    for name, labels in zip(table[LABEL_COLUMN], table[_FINDINGS_COLUMN], strict=True):
        findings = [finding for finding in labels.split(LABEL_SEPARATOR) if finding in shares]
        rows["finding"] += findings
        rows[LABEL_COLUMN] += [name] * len(findings)
    expectation = expect_kl_divergence("finding", shares, threshold=max_label_kl, tail_weight_holdout=SMOOTHING)
    sentence = f"the KL divergence of the labels from those of the real films is at most {max_label_kl:g} nats"
    return rows, Check("label divergence", sentence, expectation)


def _row_checks(n: int) -> list[Check]:
    return [
        Check("rows", f"there are {n:,} images", expect_n_rows(n)),
        Check("file names", "no two images have the same file name", expect_unique("file_name")),
        Check("candidates", "no two images have the same candidate index", expect_unique("index")),
        Check("latents", "every image has a latent", expect_true(_LATENT)),
        Check("requests", "every image has the requested findings", expect_true(_REQUEST_MET)),
    ]


def _vocabulary_checks() -> list[Check]:
    known = expect_match(_FINDINGS_COLUMN, _VOCABULARY)
    digest = expect_match("sha256", "^[0-9a-f]{64}$")
    weight = expect_above("weight", 0)
    return [
        Check("vocabulary", "every label is one of the 14 findings, or No Finding alone", known),
        Check("digests", "every image has a sha256", digest),
        Check("weight", "every weight is above 0", weight),
        Check("probabilities", "every probability is between 0 and 1", expect_true(_PROBABILITIES_VALID)),
    ]


def _file_checks(side: int) -> list[Check]:
    sides = expect_in(_SIDE, [side])
    return [
        Check("files", "every image file exists and matches its sha256", expect_true(_FILE_INTACT)),
        Check("sizes", f"every image is a grey square of {side} px", sides),
    ]


def _match_requests(table: _Columns | pd.DataFrame, run: RunJson) -> list[bool]:
    """Whether each image has every finding that its row requests and none that the run excludes."""
    excluded = set(run["request"].get("without", ()))
    matches = []
    for request_text, label_text in zip(table["requested"], table[_FINDINGS_COLUMN], strict=True):
        requested, labels = set(filter(None, request_text.split("|"))), set(label_text.split("|"))
        matches.append(requested <= labels and not excluded & labels)
    return matches


def _count_latents(dataset: Path) -> int:
    try:
        return len(numpy_files.read_npy(dataset / "latents.npy", ArrayType("f", (None, None)), memory_map=True))
    except DataError:
        return 0


def _inspect_files(dataset: Path, table: _Columns | pd.DataFrame) -> Iterator[tuple[bool, int]]:
    """Yield for each image whether its bytes match its sha256, and its side in px (0 if it is not a grey square)."""
    files = image_reader.read(dataset, table["file_name"])
    names = track(list(table["file_name"]), f"checking {dataset.name}", unit="images")
    for name, data, sha256 in zip(names, files, table["sha256"], strict=True):
        side = 0 if data is None else _measure_side(data, name)
        yield data is not None and digests.sha256_bytes(data) == sha256, side


def _measure_side(data: bytes, name: str) -> int:
    try:
        height, width = image_reader.decode_pixels(data, name=name).shape
    except DataError:
        return 0
    return height if height == width else 0
