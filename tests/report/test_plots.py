"""Figures: ink from the page, ids of their own, the same bytes each time."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from synthcxr.report import plots

SHARE = {"real": 0.2, "real_interval": [0.1, 0.3], "synthetic": 0.25, "synthetic_interval": [0.2, 0.3]}


def gan_log(n: int) -> pd.DataFrame:
    """A log of n rows that doubles its resolution half way."""
    at = np.arange(1, n + 1)
    side = np.where(at <= n / 2, 4, 8)
    return pd.DataFrame({"nimg": at * 1000, "resolution": side, "loss_d": 1.0, "loss_g": at / n, "images_per_s": 50.0})


EPOCHS = pd.DataFrame({"epoch": [1, 2, 3], "val_auroc_mean": [0.5, 0.6, 0.7]})
LEVELS = [{"level": at, "value": 2.0 + at, "interval": [1.5 + at, 3.0 + at]} for at in (0, 0.25, 0.5)]
CURVES = {kind: {"levels": LEVELS} for kind in ("swirl", "gaussian blur", "salt and pepper")}
RANKS = {name: {"value": 0.6, "interval": [0.5, 0.7]} for name in ("mean", "Pleural_Thickening")}
TOGETHER = np.full((2, 2), 0.1)
FIGURES = {
    "label_shares": lambda: plots.label_shares({"Mass": SHARE, "Pleural_Thickening": SHARE | {"real_interval": None}}),
    "gan_losses": lambda: plots.gan_losses(gan_log(1000)),
    "gan_speed": lambda: plots.gan_speed(gan_log(20)),
    "cooccurrence": lambda: plots.cooccurrence(("Mass", "Pleural_Thickening"), TOGETHER, TOGETHER / 2),
    "disturbances": lambda: plots.disturbances({"judge": CURVES, "efficientnet-lite0": CURVES}),
    "utility": lambda: plots.utility({"real only": RANKS, "synthetic only": RANKS}),
    "auroc": lambda: plots.auroc({"classifier": EPOCHS, "judge": EPOCHS}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_takes_its_ink_from_the_page(name: str) -> None:
    """Well-formed SVG whose text is text, whose ink is currentColor, and no background of its own."""
    svg = FIGURES[name]()
    ET.fromstring(svg)
    assert svg.startswith("<svg")
    assert "<text" in svg
    assert "currentColor" in svg
    assert not re.search(r"#(000000|ffffff)\b", svg, re.IGNORECASE)


@pytest.mark.slow
def test_figures_share_a_page() -> None:
    """No id stands in two figures, so that none clips another; and each is the same text when drawn again."""
    ids = re.findall(r' id="([^"]+)"', "".join(draw() for draw in FIGURES.values()))
    assert len(ids) == len(set(ids)) > 0
    assert all(draw() == draw() for draw in FIGURES.values())


def test_long_logs_are_thinned() -> None:
    """A log of a hundred thousand rows makes a figure of the size of one of a few hundred."""
    assert len(plots.gan_losses(gan_log(100_000))) < 2 * len(plots.gan_losses(gan_log(400)))


def test_a_log_of_one_row() -> None:
    """Training that was stopped after its first report still draws."""
    assert "images / s" in plots.gan_speed(gan_log(1))


def test_names_of_resolutions_do_not_lie_on_each_other() -> None:
    """Where the first sizes pass in a moment only those are named that there is room for."""
    log = gan_log(100)
    log["resolution"] = [8] * 2 + [16] * 2 + [32] * 36 + [64] * 60
    svg = plots.gan_speed(log)
    assert ("8 px" in svg, "16 px" in svg, "64 px" in svg) == (True, False, True)


def test_findings_read_as_words() -> None:
    """Underscores of the NIH names are blanks for a reader."""
    assert "Pleural Thickening" in FIGURES["label_shares"]()


def test_a_figure_of_its_own_brings_its_page() -> None:
    """As a file the figure is dark on white, and still well-formed."""
    svg = plots.standalone(FIGURES["disturbances"]())
    assert "background:#fff" in ET.fromstring(svg).attrib["style"]


def test_nothing_together_still_draws() -> None:
    """Films without any pair of findings give an empty figure and no warning."""
    assert "synthetic images" in plots.cooccurrence(("Mass", "Edema"), np.zeros((2, 2)), np.zeros((2, 2)))
