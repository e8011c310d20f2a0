"""Soft labels: tables of probabilities, blended with the labels of the training films."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.data.soft_labels import read_soft_labels
from synthcxr.errors import DataError

INDICES = ["a.png", "b.png", "c.png", "d.png"]


def label(*values: float) -> np.ndarray:
    """Findings [n, 14]: `values` of the first finding, 0 for the others."""
    findings = np.zeros((len(values), 14), np.float32)
    findings[:, 0] = values
    return findings


def write(path: Path, *rows: str, column: str = f"prob_{FINDINGS[0]}") -> Path:
    """Write a table with the probabilities of the first finding."""
    path.write_text("\n".join([f"Image Index,{column}", *rows]) + "\n", encoding="utf-8")
    return path


def test_a_film_in_the_table_gets_the_mean_of_label_and_probability(tmp_path: Path) -> None:
    """The probabilities already have the mean of the labels, so nothing shifts; other films keep their labels."""
    soft_labels = read_soft_labels(write(tmp_path / "soft.csv", "a.png,0.9", "c.png,0.1"))
    blended = soft_labels.blend(label(1, 1, 0, 0), INDICES)
    assert blended[:, 0] == pytest.approx([0.95, 1, 0.05, 0], abs=1e-6)
    assert (blended[:, 1:] == 0).all()


def test_probabilities_are_shifted_to_the_prevalence(tmp_path: Path) -> None:
    """Probabilities of films with other shares keep their order, and their mean becomes that of the labels."""
    soft_labels = read_soft_labels(write(tmp_path / "soft.csv", "a.png,0.04", "b.png,0.03", "c.png,0.02", "d.png,0.01"))
    labels = label(1, 1, 0, 0)
    shifted = 2 * soft_labels.blend(labels, INDICES)[:, 0] - labels[:, 0]
    assert shifted.mean() == pytest.approx(0.5, abs=1e-6)
    assert (np.diff(shifted) < 0).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certain_probabilities_stay_finite(tmp_path: Path, value: float) -> None:
    """Probabilities of exactly 0 or 1 do not become infinite logits."""
    soft_labels = read_soft_labels(write(tmp_path / "soft.csv", f"a.png,{value}", f"b.png,{value}"))
    blended = soft_labels.blend(label(value, value), INDICES[:2])
    assert np.isfinite(blended).all()
    assert blended[:, 0] == pytest.approx([value] * 2, abs=0.2)


def test_probabilities_of_a_finding_without_a_positive_label_are_kept(tmp_path: Path) -> None:
    """Films without a positive label do not make the probabilities 0; the most suspicious film keeps the largest."""
    soft_labels = read_soft_labels(write(tmp_path / "soft.csv", "a.png,0.6", "b.png,0.1", "c.png,0.1"))
    blended = soft_labels.blend(label(0, 0, 0), INDICES[:3])[:, 0]
    assert 2 * blended.mean() == pytest.approx(1 / 5, abs=1e-6)
    assert blended[0] > 3 * blended[1] > 0


def test_columns_beside_the_probabilities_are_no_probabilities(tmp_path: Path) -> None:
    """Of a table that has labels and probabilities, only the probabilities are read."""
    path = tmp_path / "both.csv"
    path.write_text(f"Image Index,{FINDINGS[0]},{FINDINGS[1]},prob_{FINDINGS[0]}\na.png,1,1,0.25\n", encoding="utf-8")
    probabilities = read_soft_labels(path).probabilities
    assert probabilities[0, 0] == 0.25
    assert np.isnan(probabilities[0, 1:]).all()


def test_unknown_labels_and_empty_fields_stay_as_they_are(tmp_path: Path) -> None:
    """A label without a probability stays, and so does an unknown label."""
    soft_labels = read_soft_labels(write(tmp_path / "soft.csv", "a.png,", "b.png,0.5", "c.png,0.5"))
    blended = soft_labels.blend(label(1, np.nan, 1, 0), INDICES)
    assert blended[0, 0] == 1
    assert np.isnan(blended[1, 0])
    assert blended[3, 0] == 0


def test_columns_may_have_the_plain_names_of_findings_and_the_table_may_be_compressed(tmp_path: Path) -> None:
    """Both names of a column and a gzip file give the same table."""
    plain = write(tmp_path / "plain.csv", "a.png,0.25", column=FINDINGS[0])
    compressed = tmp_path / "soft.csv.gz"
    compressed.write_bytes(gzip.compress(write(tmp_path / "soft.csv", "a.png,0.25").read_bytes()))
    tables = [read_soft_labels(path).probabilities for path in (plain, compressed)]
    np.testing.assert_array_equal(*tables)
    assert tables[0][0, 0] == 0.25


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (("a.png,1.5",), r"soft\.csv: column prob_\w+: '1\.5' is not a probability between 0 and 1"),
        (("a.png,nan",), "'nan' is not a probability"),
        (("a.png,much",), "'much' is not a probability"),
        (("a.png,0.5", "a.png,0.5"), "lists a film twice in the column Image Index"),
        ((), "has no rows, or no column of a finding, such as"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, rows: tuple[str, ...], message: str) -> None:
    """The message names the file and the fault."""
    with pytest.raises(DataError, match=message):
        read_soft_labels(write(tmp_path / "soft.csv", *rows))


def test_a_table_of_other_films_is_refused(tmp_path: Path) -> None:
    """A table without a training film would change nothing without a word."""
    soft_labels = read_soft_labels(write(tmp_path / "soft.csv", "z.png,0.5"))
    with pytest.raises(DataError, match="none of the 4 training films is in the column Image Index"):
        soft_labels.blend(label(1, 1, 0, 0), INDICES)
