"""Figures as SVG text that takes its ink from the page, so that it reads on light, dark and paper."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

REAL = "#3b82c4"
SYNTHETIC = "#d97706"
THIRD = "#4d8f6a"
_LINES = (SYNTHETIC, REAL, "#0f9d76", "#b0529e", "#8a7a2a", "#6b6fd4")
_MARKERS = ("o", "D", "s", "^", "v", "P")
_INK = "#010203"
_SERIES = ((REAL, "o"), (SYNTHETIC, "D"), (THIRD, "s"))
_WIDTH_IN = 4.4
_MAX_POINTS = 400
_LEAST_APART = 0.12
_GROUP_ID = re.compile(r' id="[\w.]+_\d+"')  # figure_1, line2d_3: the same in every figure, and nothing points at them
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": "#88888855",
    "legend.frameon": False,
}


@mpl.rc_context(_STYLE)
def label_shares(shares: Mapping[str, Mapping[str, Any]]) -> str:
    """Share of films with each finding, real and synthetic, with intervals; one row a finding, in the order given."""
    figure, axes = _figure(height_in=0.6 + 0.33 * len(shares))
    rows = np.arange(len(shares))
    for who, colour, marker, shift in (("real", REAL, "o", -0.14), ("synthetic", SYNTHETIC, "D", 0.14)):
        values = np.array([_percent(share[who]) for share in shares.values()])
        intervals = np.array([_interval(share, who) for share in shares.values()]).reshape(-1, 2)
        reach = np.clip(np.stack([values - intervals[:, 0], intervals[:, 1] - values]), 0.0, None)
        axes.errorbar(
            values, rows + shift, xerr=reach, fmt=marker, color=colour, markersize=4.5, elinewidth=1.6, label=who
        )
    axes.set_yticks(rows, [name.replace("_", " ") for name in shares])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("share of images, %")
    axes.grid(axis="x")
    _legend(figure)
    return _svg(figure, salt="label_shares")


@mpl.rc_context(_STYLE)
def gan_losses(log: pd.DataFrame) -> str:
    """Both losses over images shown; a line where the resolution grows."""
    figure, axes = _figure(height_in=2.9)
    for column, name, colour in (("loss_d", "discriminator", REAL), ("loss_g", "generator", SYNTHETIC)):
        axes.plot(*_thinned(log["nimg"], log[column]), color=colour, linewidth=1.4, label=name)
    _mark_resolutions(axes, log)
    axes.set_ylabel("loss")
    _legend(figure)
    return _svg(figure, salt="gan_losses")


@mpl.rc_context(_STYLE)
def gan_speed(log: pd.DataFrame) -> str:
    """Images shown per second over images shown."""
    figure, axes = _figure(height_in=2.9)
    axes.plot(*_thinned(log["nimg"], log["images_per_s"]), color=SYNTHETIC, linewidth=1.4)
    _mark_resolutions(axes, log)
    axes.set_ylabel("images / s")
    axes.set_ylim(bottom=0)
    return _svg(figure, salt="gan_speed")


@mpl.rc_context(_STYLE)
def auroc(logs: Mapping[str, pd.DataFrame]) -> str:
    """Mean AUROC on the val films after each epoch, one line a network."""
    figure, axes = _figure(height_in=2.9)
    for (name, log), colour, marker in zip(logs.items(), (REAL, SYNTHETIC), ("o", "D"), strict=False):
        axes.plot(log["epoch"], log["val_auroc_mean"], color=colour, marker=marker, markersize=3.5, label=name)
    axes.axhline(0.5, color="#888888", linewidth=1, linestyle=":")
    axes.annotate("chance", (1, 0.5), xycoords=("axes fraction", "data"), va="bottom", ha="right", fontsize=8)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean AUROC, val films")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure)
    return _svg(figure, salt="auroc")


@mpl.rc_context(_STYLE)
def cooccurrence(names: Sequence[str], real: NDArray[np.float64], synthetic: NDArray[np.float64]) -> str:
    """Shares [n, n] of films and of images with both of two findings, side by side; the diagonal is left empty."""
    figure = Figure(figsize=(2 * _WIDTH_IN, 4.9), layout="constrained", facecolor="none")
    panels = figure.subplots(1, 2, sharey=True)
    off = ~np.eye(len(names), dtype=bool)
    top = 100 * max(float(real[off].max(initial=0)), float(synthetic[off].max(initial=0)), 1e-9)
    words = [name.replace("_", " ") for name in names]
    for axes, title, held in zip(panels, ("real films", "synthetic images"), (real, synthetic), strict=True):
        shown = axes.imshow(np.where(off, 100 * held, np.nan), cmap="viridis", vmin=0, vmax=top)
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(len(names)), words, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), words, fontsize=8)
    figure.colorbar(shown, ax=panels, label="share with both, %", shrink=0.7)
    return _svg(figure, salt="cooccurrence")


@mpl.rc_context(_STYLE)
def disturbances(extractors: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """A panel for each disturbance: the distance over its level as a multiple of that of untouched films.

    `extractors` hold, by name and disturbance, `levels` with level, value and interval. Logarithmic: what is ten
    times as far in one extractor and three times in another fits one panel.
    """
    kinds = list(next(iter(extractors.values())))
    figure = Figure(figsize=(2 * _WIDTH_IN, 5.2), layout="constrained", facecolor="none")
    panels = figure.subplots(2, -(-len(kinds) // 2), sharey=True).flat
    for axes, kind in zip(panels, kinds, strict=False):
        for (name, curves), (colour, marker) in zip(extractors.items(), _SERIES, strict=False):
            held = curves[kind]["levels"]
            floor = held[0]["value"]
            values = np.array([at["value"] for at in held]) / floor
            edges = np.array([at["interval"] for at in held]) / floor
            reach = np.clip(np.stack([values - edges[:, 0], edges[:, 1] - values]), 0.0, None)
            level = [at["level"] for at in held]
            axes.errorbar(level, values, yerr=reach, color=colour, marker=marker, markersize=4.5, label=name)
        axes.set_title(kind, fontsize=10)
        axes.set_xticks(level, [f"{at:g}" for at in level])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_short))
        axes.grid(axis="y")
    figure.supylabel("distance, times that of untouched films")
    figure.supxlabel("level")
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=len(extractors))
    return _svg(figure, salt="disturbances")


@mpl.rc_context(_STYLE)
def utility(arms: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """AUROC with its interval, `value` and `interval` by training and finding; a row a finding, in the order given."""
    names = list(next(iter(arms.values())))
    figure, axes = _figure(height_in=1.0 + 0.5 * len(names))
    rows = np.arange(len(names))
    colours = (REAL, SYNTHETIC, *_LINES[2:])
    for at, (arm, ranks) in enumerate(arms.items()):
        values = np.array([ranks[name]["value"] for name in names])
        edges = np.array([ranks[name]["interval"] for name in names])
        reach = np.clip(np.stack([values - edges[:, 0], edges[:, 1] - values]), 0.0, None)
        shift = 0.18 * (at - (len(arms) - 1) / 2)
        axes.errorbar(values, rows + shift, xerr=reach, fmt=_MARKERS[at], color=colours[at], markersize=4.5, label=arm)
    axes.axvline(0.5, color="#888888", linewidth=1, linestyle=":")
    axes.set_yticks(rows, [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("AUROC on real test films (dotted: chance)")
    axes.grid(axis="x")
    _legend(figure)
    return _svg(figure, salt="utility")


def standalone(svg: str) -> str:
    """A figure as a file of its own: dark ink on white, whatever page shows it."""
    return svg.replace("<svg ", '<svg style="color:#1b1e23;background:#fff" ', 1)


@mpl.rc_context(_STYLE)
def reader_shares(shares: Mapping[str, Mapping[str, Any]]) -> str:
    """A share with its interval, `value`, `low` and `high`, one row a reader; a line at one half, which is chance."""
    figure, axes = _figure(height_in=0.8 + 0.33 * len(shares))
    rows = np.arange(len(shares))
    values = np.array([100 * share["value"] for share in shares.values()])
    reach = np.array([[share["value"] - share["low"], share["high"] - share["value"]] for share in shares.values()])
    axes.errorbar(
        values, rows, xerr=np.clip(100 * reach.T, 0, None), fmt="o", color=SYNTHETIC, markersize=5, elinewidth=1.6
    )
    axes.axvline(50, color="#888888", linewidth=1, linestyle=":")
    axes.annotate("chance", (50, 1.0), xycoords=("data", "axes fraction"), fontsize=8, ha="left")
    axes.set_yticks(rows, list(shares))
    axes.invert_yaxis()
    axes.set_xlim(0, 101)
    axes.set_xlabel("right, % of readings that took a side")
    axes.grid(axis="x")
    return _svg(figure, salt="reader_shares")


@mpl.rc_context(_STYLE)
def reader_roc(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Sensitivity to synthetic over false alarms on real, one line a reader, and the diagonal of chance."""
    figure, axes = _figure(height_in=3.9)
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":")
    for at, (name, curve) in enumerate(curves.items()):
        x, y = zip(*curve, strict=True)
        axes.plot(x, y, marker=_MARKERS[at % len(_MARKERS)], color=_LINES[at % len(_LINES)], markersize=4.5, label=name)
    axes.set_xlabel("real films called synthetic")
    axes.set_ylabel("synthetic images called synthetic")
    axes.set_aspect("equal")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    _legend(figure)
    return _svg(figure, salt="reader_roc")


def _figure(*, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained", facecolor="none")
    return figure, figure.add_subplot()


def _legend(figure: Figure) -> None:
    figure.legend(loc="outside upper right", ncols=2)


def _svg(figure: Figure, *, salt: str) -> str:
    """The figure as an <svg> element: the same text for the same figure, its ids its own."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = _GROUP_ID.sub("", svg[svg.index("<svg") :])
    return svg.replace(_INK, "currentColor").strip()


def _thinned(x: pd.Series[Any], y: pd.Series[Any]) -> tuple[Sequence[float], Sequence[float]]:
    """At most _MAX_POINTS points: means over runs of rows."""
    run = np.arange(len(x)) // max(1, -(-len(x) // _MAX_POINTS))
    return x.groupby(run).mean().tolist(), y.groupby(run).mean().tolist()


def _mark_resolutions(axes: Axes, log: pd.DataFrame) -> None:
    axes.set_xlabel("images shown")
    axes.xaxis.set_major_formatter(FuncFormatter(_short))
    span, named = float(log["nimg"].max()), -math.inf
    for resolution, start in log.groupby("resolution")["nimg"].min().items():
        axes.axvline(float(start), color="#888888", linewidth=0.8, linestyle=":")
        if start - named < _LEAST_APART * span:  # two names would lie on each other
            continue
        named = float(start)
        axes.annotate(f"{resolution} px", (float(start), 1.0), xycoords=("data", "axes fraction"), fontsize=8)


def _short(value: float, _position: int | None) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _percent(share: float | None) -> float:
    return float("nan") if share is None else 100 * share


def _interval(share: Mapping[str, Any], who: str) -> tuple[float, float]:
    low, high = share.get(f"{who}_interval") or (share[who], share[who])
    return _percent(low), _percent(high)
