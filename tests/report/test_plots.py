"""Plots: they take their colour from the page, have unique ids, and are the same bytes each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthcxr.report import plots

SHARE: dict[str, Any] = {"real": 0.2, "real_interval": [0.1, 0.3], "synthetic": 0.25, "synthetic_interval": [0.2, 0.3]}


def make_gan_log(n: int) -> pd.DataFrame:
    """A log of n rows whose resolution doubles half way."""
    row = np.arange(1, n + 1)
    side = np.where(row <= n / 2, 4, 8)
    return pd.DataFrame(
        {"nimg": row * 1000, "resolution": side, "loss_d": 1.0, "loss_g": row / n, "images_per_s": 50.0}
    )


EPOCHS = pd.DataFrame({"epoch": [1, 2, 3], "val_auroc_mean": [0.5, 0.6, 0.7]})
LEVELS = [{"level": level, "value": 2.0 + level, "interval": [1.5 + level, 3.0 + level]} for level in (0, 0.25, 0.5)]
CURVES = {kind: {"levels": LEVELS} for kind in ("swirl", "gaussian blur", "salt and pepper")}
ESTIMATES = {name: {"value": 0.6, "interval": [0.5, 0.7]} for name in ("mean", "Pleural_Thickening")}
COOCCURRENCE = np.full((2, 2), 0.1)
FIGURES = {
    "label_shares": lambda: plots.draw_label_shares(
        {"Mass": SHARE, "Pleural_Thickening": SHARE | {"real_interval": None}}
    ),
    "gan_losses": lambda: plots.draw_gan_losses(make_gan_log(1000)),
    "gan_speed": lambda: plots.draw_gan_speed(make_gan_log(20)),
    "cooccurrence": lambda: plots.draw_cooccurrence(("Mass", "Pleural_Thickening"), COOCCURRENCE, COOCCURRENCE / 2),
    "disturbances": lambda: plots.draw_disturbances({"judge": CURVES, "efficientnet-lite0": CURVES}),
    "utility": lambda: plots.draw_utility({"real only": ESTIMATES, "synthetic only": ESTIMATES}),
    "auroc": lambda: plots.draw_val_auroc({"classifier": EPOCHS, "judge": EPOCHS}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_plot_takes_its_colour_from_the_page(name: str) -> None:
    """A plot is well-formed SVG with text as text, in currentColor, without a background."""
    svg = FIGURES[name]()
    ET.fromstring(svg)
    assert svg.startswith("<svg")
    assert "<text" in svg
    assert "currentColor" in svg
    assert not re.search(r"#(000000|ffffff)\b", svg, re.IGNORECASE)


@pytest.mark.slow
def test_plots_can_share_a_page() -> None:
    """No id is in two plots, so none clips another, and every plot is the same text when drawn again."""
    ids = re.findall(r' id="([^"]+)"', "".join(draw() for draw in FIGURES.values()))
    assert len(ids) == len(set(ids)) > 0
    assert all(draw() == draw() for draw in FIGURES.values())


def test_long_logs_are_thinned() -> None:
    """A log of 100,000 rows gives a plot of about the size of one of 400 rows."""
    assert len(plots.draw_gan_losses(make_gan_log(100_000))) < 2 * len(plots.draw_gan_losses(make_gan_log(400)))


def test_a_log_of_one_row_is_plotted() -> None:
    """A training that stopped after its first row has a plot."""
    assert "images / s" in plots.draw_gan_speed(make_gan_log(1))


def test_labels_of_resolutions_do_not_overlap() -> None:
    """Where resolutions follow each other closely, only those with room for a label have one."""
    log = make_gan_log(100)
    log["resolution"] = [8] * 2 + [16] * 2 + [32] * 36 + [64] * 60
    svg = plots.draw_gan_speed(log)
    assert ("8 px" in svg, "16 px" in svg, "64 px" in svg) == (True, False, True)


def test_findings_are_spelled_with_spaces() -> None:
    """Underscores of the NIH names become spaces."""
    assert "Pleural Thickening" in FIGURES["label_shares"]()


def test_a_standalone_plot_has_a_background() -> None:
    """As a file of its own a plot is dark on white, and well-formed."""
    svg = plots.make_standalone(FIGURES["disturbances"]())
    assert "background:#fff" in ET.fromstring(svg).attrib["style"]


def test_films_without_pairs_of_findings_are_plotted() -> None:
    """Films without any pair of findings give an empty plot and no warning."""
    assert "synthetic images" in plots.draw_cooccurrence(("Mass", "Edema"), np.zeros((2, 2)), np.zeros((2, 2)))


def test_an_interval_beyond_the_edge_of_the_plot_ends_in_an_arrow() -> None:
    """Every value is inside the plot; a wide interval is cut and has an arrow, a narrow one has none."""
    narrow, wide = ({"value": 5.0, "interval": [2.0, end]} for end in (5.1, 12.0))
    assert plots.choose_ratio_limits([narrow]) == plots.choose_ratio_limits([wide])
    assert 5.1 < plots.choose_ratio_limits([wide])[1] < 12.0
    n_shapes = {
        name: plots.draw_label_ratios({"Mass": (row, None)}).count("<use ")
        for name, row in (("narrow", narrow), ("wide", wide))
    }
    assert n_shapes["wide"] == n_shapes["narrow"] + 1


def test_one_is_inside_every_plot_of_ratios() -> None:
    """Also where all values are near 0 or far above 1."""
    for value in (-1.0, 0.0, 3.0):
        low, high = plots.choose_ratio_limits([{"value": value, "interval": [value, value]}])
        assert low < min(0.0, value) and high > max(1.0, value)
