"""Plots as SVG text that takes its colour from the page, so they are legible on a light page, a dark one and paper."""

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
_COLOURS = (SYNTHETIC, REAL, "#0f9d76", "#b0529e", "#8a7a2a", "#6b6fd4")
_MARKERS = ("o", "D", "s", "^", "v", "P")
_INK = "#010203"
_SERIES_STYLES = ((REAL, "o"), (SYNTHETIC, "D"), (THIRD, "s"))
_WIDTH_IN = 4.4
_MAX_POINTS = 400
_MIN_LABEL_DISTANCE = 0.12  # as a share of the axis
_GROUP_ID = re.compile(r' id="[\w.]+_\d+"')  # ids such as line2d_3, which repeat in every plot and are not referred to
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
def draw_label_shares(shares: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw the share of real films and of synthetic images with each finding, with intervals; one row per finding."""
    figure, axes = _make_figure(height_in=0.6 + 0.33 * len(shares))
    rows = np.arange(len(shares))
    for side, colour, marker, shift in (("real", REAL, "o", -0.14), ("synthetic", SYNTHETIC, "D", 0.14)):
        values = np.array([_percent(share[side]) for share in shares.values()])
        intervals = np.array([_interval(share, side) for share in shares.values()]).reshape(-1, 2)
        errors = np.clip(np.stack([values - intervals[:, 0], intervals[:, 1] - values]), 0.0, None)
        axes.errorbar(
            values, rows + shift, xerr=errors, fmt=marker, color=colour, markersize=4.5, elinewidth=1.6, label=side
        )
    axes.set_yticks(rows, [name.replace("_", " ") for name in shares])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("share of images, %")
    axes.grid(axis="x")
    _add_legend(figure)
    return _to_svg(figure, salt="label_shares")


@mpl.rc_context(_STYLE)
def draw_gan_losses(log: pd.DataFrame) -> str:
    """Draw both losses over the images shown to the discriminator, with a line where the resolution grows."""
    figure, axes = _make_figure(height_in=2.9)
    for column, name, colour in (("loss_d", "discriminator", REAL), ("loss_g", "generator", SYNTHETIC)):
        axes.plot(*_thin(log["nimg"], log[column]), color=colour, linewidth=1.4, label=name)
    _mark_resolutions(axes, log)
    axes.set_ylabel("loss")
    _add_legend(figure)
    return _to_svg(figure, salt="gan_losses")


@mpl.rc_context(_STYLE)
def draw_gan_speed(log: pd.DataFrame) -> str:
    """Draw the images per second over the images shown to the discriminator."""
    figure, axes = _make_figure(height_in=2.9)
    axes.plot(*_thin(log["nimg"], log["images_per_s"]), color=SYNTHETIC, linewidth=1.4)
    _mark_resolutions(axes, log)
    axes.set_ylabel("images / s")
    axes.set_ylim(bottom=0)
    return _to_svg(figure, salt="gan_speed")


@mpl.rc_context(_STYLE)
def draw_val_auroc(logs: Mapping[str, pd.DataFrame]) -> str:
    """Draw the mean AUROC on the val films after each epoch, one line per network."""
    figure, axes = _make_figure(height_in=2.9)
    for (name, log), colour, marker in zip(logs.items(), (REAL, SYNTHETIC), ("o", "D"), strict=False):
        axes.plot(log["epoch"], log["val_auroc_mean"], color=colour, marker=marker, markersize=3.5, label=name)
    axes.axhline(0.5, color="#888888", linewidth=1, linestyle=":")
    axes.annotate("chance", (1, 0.5), xycoords=("axes fraction", "data"), va="bottom", ha="right", fontsize=8)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean AUROC, val films")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _add_legend(figure)
    return _to_svg(figure, salt="auroc")


@mpl.rc_context(_STYLE)
def draw_cooccurrence(names: Sequence[str], real: NDArray[np.float64], synthetic: NDArray[np.float64]) -> str:
    """Draw the shares [n, n] of films and of images with both of two findings, side by side; the diagonal is empty."""
    figure = Figure(figsize=(2 * _WIDTH_IN, 4.9), layout="constrained", facecolor="none")
    panels = figure.subplots(1, 2, sharey=True)
    is_pair = ~np.eye(len(names), dtype=bool)
    maximum = 100 * max(float(real[is_pair].max(initial=0)), float(synthetic[is_pair].max(initial=0)), 1e-9)
    labels = [name.replace("_", " ") for name in names]
    for axes, title, shares in zip(panels, ("real films", "synthetic images"), (real, synthetic), strict=True):
        colours = axes.imshow(np.where(is_pair, 100 * shares, np.nan), cmap="viridis", vmin=0, vmax=maximum)
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), labels, fontsize=8)
    figure.colorbar(colours, ax=panels, label="share with both, %", shrink=0.7)
    return _to_svg(figure, salt="cooccurrence")


@mpl.rc_context(_STYLE)
def draw_disturbances(extractors: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Draw a panel for each disturbance: the distance over its level, as a multiple of the distance at level 0.

    `extractors` has, by name and disturbance, `levels` with level, value and interval. The axis is logarithmic, because
    the distances of different extractors grow by very different factors.
    """
    kinds = list(next(iter(extractors.values())))
    figure = Figure(figsize=(2 * _WIDTH_IN, 5.2), layout="constrained", facecolor="none")
    panels = figure.subplots(2, -(-len(kinds) // 2), sharey=True).flat
    for axes, kind in zip(panels, kinds, strict=False):
        for (name, curves), (colour, marker) in zip(extractors.items(), _SERIES_STYLES, strict=False):
            points = curves[kind]["levels"]
            floor = points[0]["value"]
            values = np.array([point["value"] for point in points]) / floor
            intervals = np.array([point["interval"] for point in points]) / floor
            errors = np.clip(np.stack([values - intervals[:, 0], intervals[:, 1] - values]), 0.0, None)
            levels = [point["level"] for point in points]
            axes.errorbar(levels, values, yerr=errors, color=colour, marker=marker, markersize=4.5, label=name)
        axes.set_title(kind, fontsize=10)
        axes.set_xticks(levels, [f"{level:g}" for level in levels])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(_abbreviate))
        axes.grid(axis="y")
    figure.supylabel("distance / distance of undisturbed films")
    figure.supxlabel("level")
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=len(extractors))
    return _to_svg(figure, salt="disturbances")


@mpl.rc_context(_STYLE)
def draw_utility(arms: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Draw the AUROC with its interval, `value` and `interval` by arm and finding; one row per finding."""
    names = list(next(iter(arms.values())))
    figure, axes = _make_figure(height_in=1.0 + 0.5 * len(names))
    rows = np.arange(len(names))
    colours = (REAL, SYNTHETIC, *_COLOURS[2:])
    for index, (arm, estimates) in enumerate(arms.items()):
        values = np.array([estimates[name]["value"] for name in names])
        intervals = np.array([estimates[name]["interval"] for name in names])
        errors = np.clip(np.stack([values - intervals[:, 0], intervals[:, 1] - values]), 0.0, None)
        positions = rows + 0.18 * (index - (len(arms) - 1) / 2)
        marker, colour = _MARKERS[index], colours[index]
        axes.errorbar(values, positions, xerr=errors, fmt=marker, color=colour, markersize=4.5, label=arm)
    axes.axvline(0.5, color="#888888", linewidth=1, linestyle=":")
    axes.set_yticks(rows, [name.replace("_", " ") for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("AUROC on real test films (dotted: chance)")
    axes.grid(axis="x")
    _add_legend(figure)
    return _to_svg(figure, salt="utility")


@mpl.rc_context(_STYLE)
def draw_label_ratios(
    ratios: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any] | None]], *, is_small: bool = False
) -> str:
    """Draw validity and specificity, each with `value` and `interval`, one row per finding; lines at 0 and at 1.

    An interval that reaches beyond an edge of the plot ends in an arrow.
    """
    figure, axes = _make_figure(height_in=(0.5 + 0.24 * len(ratios)) if is_small else 0.9 + 0.33 * len(ratios))
    left, right = choose_ratio_limits([row for pair in ratios.values() for row in pair if row is not None])
    styles = (("validity", SYNTHETIC, "D", -0.14), ("specificity", REAL, "o", 0.14))
    for position, (name, colour, marker, shift) in enumerate(styles):
        drawn = [
            (index + shift, row)
            for index, pair in enumerate(ratios.values())
            if (row := pair[position]) is not None and row["value"] is not None
        ]
        values = np.array([row["value"] for _, row in drawn])
        intervals = np.array([row["interval"] or [row["value"]] * 2 for _, row in drawn]).reshape(-1, 2)
        errors = np.clip(np.stack([values - intervals[:, 0], intervals[:, 1] - values]), 0.0, None)
        y = np.array([row_y for row_y, _ in drawn])
        axes.errorbar(values, y, xerr=errors, fmt=marker, color=colour, markersize=4.5, elinewidth=1.6, label=name)
        for edge, arrow, is_beyond in ((left, "<", intervals[:, 0] < left), (right, ">", intervals[:, 1] > right)):
            axes.plot(np.full(is_beyond.sum(), edge), y[is_beyond], arrow, color=colour, markersize=6, clip_on=False)
    for line, style in ((0, ":"), (1, "--")):
        axes.axvline(line, color=_INK, linewidth=1.1, linestyle=style, zorder=1.5)
    axes.set_yticks(range(len(ratios)), [name.replace("_", " ") for name in ratios])
    axes.set_ylim(len(ratios) - 0.5, -0.5)
    axes.set_xlim(left, right)
    axes.grid(axis="x")
    _add_legend(figure)
    return _to_svg(figure, salt=f"label_ratios_{is_small}")


def make_standalone(svg: str) -> str:
    """Make a plot that can be a file of its own: dark on white."""
    return svg.replace("<svg ", '<svg style="color:#1b1e23;background:#fff" ', 1)


@mpl.rc_context(_STYLE)
def draw_reader_accuracy(shares: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw the shares `value`, with intervals `low` to `high`, one row per reader, and a line at chance, one half."""
    figure, axes = _make_figure(height_in=0.8 + 0.33 * len(shares))
    rows = np.arange(len(shares))
    values = np.array([100 * share["value"] for share in shares.values()])
    errors = np.array([[share["value"] - share["low"], share["high"] - share["value"]] for share in shares.values()])
    axes.errorbar(
        values, rows, xerr=np.clip(100 * errors.T, 0, None), fmt="o", color=SYNTHETIC, markersize=5, elinewidth=1.6
    )
    axes.axvline(50, color="#888888", linewidth=1, linestyle=":")
    axes.annotate("chance", (50, 1.0), xycoords=("data", "axes fraction"), fontsize=8, ha="left")
    axes.set_yticks(rows, list(shares))
    axes.invert_yaxis()
    axes.set_xlim(0, 101)
    axes.set_xlabel("correct, % of readings that are not unsure")
    axes.grid(axis="x")
    return _to_svg(figure, salt="reader_shares")


@mpl.rc_context(_STYLE)
def draw_reader_roc(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw the ROC curves of detecting synthetic images, one line per reader, and the diagonal of chance."""
    figure, axes = _make_figure(height_in=3.9)
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=1, linestyle=":")
    for index, (name, curve) in enumerate(curves.items()):
        x, y = zip(*curve, strict=True)
        marker, colour = _MARKERS[index % len(_MARKERS)], _COLOURS[index % len(_COLOURS)]
        axes.plot(x, y, marker=marker, color=colour, markersize=4.5, label=name)
    axes.set_xlabel("real films called synthetic")
    axes.set_ylabel("synthetic images called synthetic")
    axes.set_aspect("equal")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    _add_legend(figure)
    return _to_svg(figure, salt="reader_roc")


def choose_ratio_limits(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Limits that hold 0, 1 and every value; intervals only up to a width at which values stay apart."""
    values = [row["value"] for row in rows if row["value"] is not None]
    ends = [end for row in rows for end in row["interval"] or ()] + values
    left = min(-0.1, min(values) - 0.2, max(min(ends) - 0.1, -1.5))
    right = max(1.3, max(values) + 0.3, min(max(ends) + 0.1, 4.0))
    return left, right


def _make_figure(*, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained", facecolor="none")
    return figure, figure.add_subplot()


def _add_legend(figure: Figure) -> None:
    figure.legend(loc="outside upper right", ncols=2)


def _to_svg(figure: Figure, *, salt: str) -> str:
    """Return the figure as an <svg> element: the same text for the same figure, with ids that no other plot has."""
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = _GROUP_ID.sub("", svg[svg.index("<svg") :])
    return svg.replace(_INK, "currentColor").strip()


def _thin(x: pd.Series[Any], y: pd.Series[Any]) -> tuple[Sequence[float], Sequence[float]]:
    """Average runs of rows, so that at most _MAX_POINTS remain."""
    runs = np.arange(len(x)) // max(1, -(-len(x) // _MAX_POINTS))
    return x.groupby(runs).mean().tolist(), y.groupby(runs).mean().tolist()


def _mark_resolutions(axes: Axes, log: pd.DataFrame) -> None:
    axes.set_xlabel("images shown")
    axes.xaxis.set_major_formatter(FuncFormatter(_abbreviate))
    span, last_labelled = float(log["nimg"].max()), -math.inf
    for resolution, start in log.groupby("resolution")["nimg"].min().items():
        axes.axvline(float(start), color="#888888", linewidth=0.8, linestyle=":")
        if start - last_labelled < _MIN_LABEL_DISTANCE * span:  # the labels would overlap
            continue
        last_labelled = float(start)
        axes.annotate(f"{resolution} px", (float(start), 1.0), xycoords=("data", "axes fraction"), fontsize=8)


def _abbreviate(value: float, _position: int | None) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _percent(share: float | None) -> float:
    return float("nan") if share is None else 100 * share


def _interval(share: Mapping[str, Any], side: str) -> tuple[float, float]:
    low, high = share.get(f"{side}_interval") or (share[side], share[side])
    return _percent(low), _percent(high)
