from __future__ import annotations

from pathlib import Path

from synthcxr.registry import run_metrics


def test_flattening_names_every_leaf() -> None:
    """Nested mappings and lists become dotted names; only finite numbers become metrics."""
    tree = {"a": {"b": [1, {"c": 2.5}]}, "d": True, "e": None, "f": "x", "g": {}, "No Finding": 3, "p/1%": 4}
    assert dict(run_metrics.flatten(tree))["a.b.1.c"] == 2.5
    assert run_metrics.params(tree) == {
        "a.b.0": "1",
        "a.b.1.c": "2.5",
        "d": "true",
        "e": "",
        "f": "x",
        "g": "{}",
        "No Finding": "3",
        "p/1_": "4",
    }
    points = {point.name: point.value for point in run_metrics.metrics(tree | {"h": float("nan")}, "m")}
    assert points == {"m.a.b.0": 1.0, "m.a.b.1.c": 2.5, "m.No Finding": 3.0, "m.p/1_": 4.0}


def test_a_curve_is_stepped_by_images_or_epochs(tmp_path: Path) -> None:
    """Each column of a training log is a history, its step nimg or epoch; empty cells and NaN are left out."""
    path = tmp_path / "train_gan.csv"
    path.write_text("nimg,loss_d,loss_g\n1000,1.5,\n2000,nan,0.5\n")
    assert run_metrics.curve(path) == [
        run_metrics.Point("train_gan/loss_d", 1.5, 1000),
        run_metrics.Point("train_gan/loss_g", 0.5, 2000),
    ]
