from __future__ import annotations

import numpy as np

from synthcxr.data.findings import FINDINGS, to_multi_hot
from synthcxr.evaluation.metrics import cofindings


def test_companions_are_the_most_frequent_other_findings() -> None:
    """Of four images with Edema, all have Effusion and one has Mass: (2 + 2 + 2 + 3) / 4 findings."""
    sets = [["Edema", "Effusion"]] * 3 + [["Edema", "Effusion", "Mass"], ["Mass"], ["No Finding"]]
    row = cofindings.describe_cofindings(cofindings.count_pairs([to_multi_hot(names) for names in sets]), "Edema")
    assert (row.n, row.findings_per_image) == (4, 2.25)
    assert row.companions == ("Effusion", "Mass")
    assert (row.share_with["Effusion"], row.share_with["Mass"], row.share_with["Hernia"]) == (1.0, 0.25, 0.0)
    assert "Edema" not in row.share_with


def test_at_most_three_companions_and_unknown_labels_count_for_nothing() -> None:
    """All findings occur with Mass; unknown labels are no findings."""
    labels = np.ones((2, len(FINDINGS)))
    labels[1, FINDINGS.index("Hernia")] = np.nan
    row = cofindings.describe_cofindings(cofindings.count_pairs(labels), "Mass")
    assert row.companions == FINDINGS[:3]
    assert row.findings_per_image == 13.5


def test_a_finding_that_no_image_carries_has_no_companions() -> None:
    """There is nothing to average."""
    row = cofindings.describe_cofindings(cofindings.count_pairs(np.zeros((3, 14))), "Mass")
    assert (row.n, row.findings_per_image, row.companions) == (0, None, ())
