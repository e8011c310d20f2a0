from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.evidence_files import make_label_ratio, make_metrics, make_validity

from synthcxr.errors import DataError
from synthcxr.registry import client, run_metrics, tracking_uri
from synthcxr.registry.run_metrics import MetricPoint


def test_flattening_names_every_leaf() -> None:
    """Nested mappings and lists become dotted names; only finite numbers become metrics."""
    tree = {"a": {"b": [1, {"c": 2.5}]}, "d": True, "e": None, "f": "x", "g": {}, "No Finding": 3, "p/1%": 4}
    assert dict(run_metrics.flatten(tree))["a.b.1.c"] == 2.5
    assert run_metrics.flatten_params(tree) == {
        "a.b.0": "1",
        "a.b.1.c": "2.5",
        "d": "true",
        "e": "",
        "f": "x",
        "g": "{}",
        "No Finding": "3",
        "p/1_": "4",
    }
    points = {point.name: point.value for point in run_metrics.flatten_metrics(tree | {"h": float("nan")}, "m")}
    assert points == {"m.a.b.0": 1.0, "m.a.b.1.c": 2.5, "m.No Finding": 3.0, "m.p/1_": 4.0}


def build_label_metrics() -> dict[str, Any]:
    """metrics.json with label validity, specificity, co-findings, variety and weights."""
    companions = [
        {"finding": "Mass", "synthetic": 0.7, "real": 0.2},
        {"finding": "Edema", "synthetic": 0.5, "real": None},
    ]
    row = {"synthetic": 6.6, "n_synthetic": 60, "real": 2.2, "real_by_classifier": 3.1, "n_real": 40}
    return dict(
        make_metrics(
            labels={
                "validity": make_validity(Effusion=make_label_ratio(0.9, 0.6, 1.2), Hernia=make_label_ratio(None)),
                "specificity": make_validity(Pleural_Thickening=make_label_ratio(-0.4, -0.7, -0.1)),
            },
            cofindings={"status": "computed", "synthetic": 4.5, "real": 1.5}
            | {"Effusion": row | {"companions": companions}},
            variety={"status": "computed", "near_duplicates": 0.3, "near_duplicates_interval": [0.2, 0.4]},
            weights={"status": "computed", "effective_size": 2.0, "effective_share": 0.02, "n": 100},
        )
    )


def test_the_metrics_of_labels_are_logged_by_finding() -> None:
    """Validity, specificity, co-findings, variety and effective sample size; nothing for a finding without a value."""
    points = {point.name: point.value for point in run_metrics.flatten_metrics(build_label_metrics())}
    expected = {
        "labels.validity.Effusion.value": 0.9,
        "labels.validity.Effusion.interval.0": 0.6,
        "labels.validity.Effusion.interval.1": 1.2,
        "labels.validity.mean": 0.5,
        "labels.specificity.Pleural_Thickening.value": -0.4,
        "cofindings.synthetic": 4.5,
        "cofindings.Effusion.real_by_classifier": 3.1,
        "cofindings.Effusion.companions.Mass.synthetic": 0.7,
        "cofindings.Effusion.companions.Mass.real": 0.2,
        "cofindings.Effusion.companions.Edema.synthetic": 0.5,
        "variety.near_duplicates": 0.3,
        "weights.effective_size": 2.0,
        "weights.effective_share": 0.02,
    }
    assert {name: points.get(name) for name in expected} == expected
    assert not {"labels.validity.Hernia.value", "cofindings.Effusion.companions.Edema.real"} & points.keys()
    assert not [name for name in points if name.endswith((".gated", ".exaggerates", ".status"))]


def test_the_metrics_of_labels_reach_mlflow(registry: Path) -> None:
    """MLflow accepts every name, and a run has the values."""
    mlflow_client = client.Registry.open(tracking_uri.embedded_uri()).client
    run_id = mlflow_client.create_run(mlflow_client.create_experiment("e")).info.run_id
    points = run_metrics.flatten_metrics(build_label_metrics())
    run_metrics.log_points(mlflow_client, run_id, points)
    assert mlflow_client.get_run(run_id).data.metrics == {point.name: point.value for point in points}


def test_training_table_becomes_metric_histories(tmp_path: Path) -> None:
    """Each column of a training table is a history with nimg or epoch as step; empty cells and NaN are skipped."""
    path = tmp_path / "train_gan.csv"
    path.write_text("nimg,loss_d,loss_g\n1000,1.5,\n2000,nan,0.5\n")
    assert run_metrics.read_curve(path) == [
        MetricPoint("train_gan/loss_d", 1.5, 1000),
        MetricPoint("train_gan/loss_g", 0.5, 2000),
    ]


@pytest.mark.parametrize(("text", "line"), [("a,b\n1,2\n", "nimg, epoch"), ("nimg,a\n1,x\n", "not a number")])
def test_invalid_training_table_is_named(tmp_path: Path, text: str, line: str) -> None:
    """A table without a step column, or with text in a cell, is refused by name."""
    path = tmp_path / "train_gan.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=f"train_gan.csv: .*{line}"):
        run_metrics.read_curve(path)


def test_more_values_than_one_batch_are_logged(registry: Path) -> None:
    """MLflow accepts 100 parameters and 1,000 metrics in one call; more are logged in several."""
    mlflow_client = client.Registry.open(tracking_uri.embedded_uri()).client
    run_id = mlflow_client.create_run(mlflow_client.create_experiment("e")).info.run_id
    n_params, n_points = run_metrics.PARAMS_PER_BATCH + 1, run_metrics.METRICS_PER_BATCH + 1
    run_metrics.log_params(mlflow_client, run_id, {f"p{index}": "1" for index in range(n_params)})
    run_metrics.log_points(mlflow_client, run_id, [MetricPoint(f"m{index}", 1.0) for index in range(n_points)])
    data = mlflow_client.get_run(run_id).data
    assert (len(data.params), len(data.metrics)) == (n_params, n_points)
