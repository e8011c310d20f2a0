"""The declarations of the numbers that a gate may name."""

from __future__ import annotations

import re

import pytest
from support.documented_numbers import parse_names
from support.paths import REPOSITORY

from synthcxr.data.evidence.gate_metrics import GATE_METRICS, GateMetric, describe_paths, find_gate_metric
from synthcxr.data.findings import FINDINGS


def read_documented_paths() -> set[str]:
    """The paths in the first cells of the tables of docs/evaluate.md."""
    page = (REPOSITORY / "docs/evaluate.md").read_text(encoding="utf-8")
    return {path for cell in re.findall(r"^\| (`[^|]+) \|", page, flags=re.MULTILINE) for path in parse_names(cell)}


@pytest.mark.parametrize("metric", GATE_METRICS, ids=lambda metric: metric.path)
def test_a_declaration_is_complete(metric: GateMetric) -> None:
    """Its texts name what its path leaves open and nothing else, and docs/evaluate.md explains it."""
    placeholders = set(re.findall(r"<\w+>", metric.path))
    assert set(re.findall(r"<\w+>", metric.meaning)) == placeholders
    assert set(re.findall(r"<\w+>", metric.name)) == placeholders
    assert metric.path.replace("<label>", "<finding>") in read_documented_paths()


def test_every_path_leads_to_its_own_declaration() -> None:
    """No path is of two declarations, and an unknown path is of none."""
    paths = describe_paths(("judge", "efficientnet-lite0"), {"contrast": "standard deviation"})
    for path in paths:
        assert [metric for metric in GATE_METRICS if metric.pattern.fullmatch(path)] == [find_gate_metric(path)]
    assert paths["metrics.contrast.value"] == "standard deviation"
    assert sum(path.startswith("agreement.") for path in paths) == len(FINDINGS)
    assert find_gate_metric("distance.judge") is None


def test_the_inception_distance_is_called_fid() -> None:
    """In the other features it is not."""
    paths = describe_paths(("judge", "inception"), {})
    assert paths["distance.inception.value"].startswith("FID of")
    assert paths["distance.judge.value"].startswith("Fréchet distance of")
