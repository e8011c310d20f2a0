"""The tables of the section "labels"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthcxr.data.findings import FINDINGS
from synthcxr.evaluation.metrics import label_cooccurrence
from synthcxr.evaluation.sections import labels


def test_the_cooccurrence_table_has_one_row_for_each_pair(tmp_path: Path) -> None:
    """105 rows (14 single findings and 91 pairs) hold the shares of films and of images."""
    rng = np.random.default_rng(1)
    real, synthetic = rng.random((2, 300, len(FINDINGS))) < 0.2
    comparison = label_cooccurrence.compare_cooccurrence(
        real=real, synthetic=synthetic, judged=np.ones(len(FINDINGS), dtype=bool)
    )
    labels.write_cooccurrence(tmp_path / "curves" / "cooccurrence.csv", comparison)
    table = pd.read_csv(tmp_path / "curves" / "cooccurrence.csv")
    assert len(table) == 105
    row = table[(table["finding"] == FINDINGS[0]) & (table["with"] == FINDINGS[1])].iloc[0]
    expected = comparison.real[0, 1], comparison.synthetic[0, 1]
    assert (row["real"], row["synthetic"]) == pytest.approx(expected, rel=1e-5)
