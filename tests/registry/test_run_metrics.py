from __future__ import annotations

from pathlib import Path

import pytest

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
