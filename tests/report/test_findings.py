"""The section on findings."""

from __future__ import annotations

from typing import cast

from synthcxr.data.metrics_schema import Labels
from synthcxr.report import findings


def test_shares_are_ordered_from_common_to_rare() -> None:
    """No Finding is first, the others follow by their share in real films, and unknown shares are last."""
    real = {"Edema": 0.1, "Mass": None, "No Finding": 0.05, "Effusion": 0.3}
    labels = cast(Labels, {"shares": {name: {"real": share} for name, share in real.items()}})
    assert list(findings.order_shares(labels)) == ["No Finding", "Effusion", "Edema", "Mass"]
