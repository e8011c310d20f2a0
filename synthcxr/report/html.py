"""The report as one HTML file that needs nothing beside it: pictures within, no script, nothing fetched."""

from __future__ import annotations

import base64
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from synthcxr.data import images
from synthcxr.report.text import Row, Table, Verdict

if TYPE_CHECKING:
    from synthcxr.data.images import UInt8

TILE_PX = 192
_COMMAND = re.compile(r"`([^`]+)`")


@dataclasses.dataclass(frozen=True)
class Picture:
    """One image of a grid: its pixels as a data URI, what it shows in words, and the caption below."""

    source: str
    alt: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Plot:
    """A figure: SVG that takes its ink from the page, its description, and its title."""

    title: str
    svg: Markup
    alt: str


@dataclasses.dataclass(frozen=True)
class Grid:
    """Pictures under a heading with a sentence on how they were chosen; `columns` is 0 for as many as fit."""

    title: str
    note: str
    pictures: tuple[Picture, ...]
    columns: int = 0


@dataclasses.dataclass(frozen=True)
class Report:
    """Everything on the page, in the order of the page; `private` says why the file must not be shared, or is empty."""

    title: str
    private: str
    verdict: Verdict
    warnings: tuple[str, ...]
    summary: str
    grids: tuple[Grid, ...]
    label_plot: Plot | None
    label_table: Table
    label_notes: tuple[str, ...]
    together_plot: Plot | None
    by_finding: Table
    agreement: Table
    ranking: Table
    labeller_notes: tuple[str, ...]
    distances: Table
    distance_notes: tuple[str, ...]
    disturbed: Table
    disturbed_plot: Plot | None
    disturbed_notes: tuple[str, ...]
    utility: Table
    utility_plot: Plot | None
    utility_notes: tuple[str, ...]
    diversity: Table
    diversity_notes: tuple[str, ...]
    copies: Table
    copy_notes: tuple[str, ...]
    pairs: Table
    training: tuple[Plot, ...]
    checks: tuple[tuple[str, str, str], ...]
    provenance: tuple[Row, ...]
    protocol: tuple[str, ...]
    attribution: tuple[str, ...]


def picture(pixels: UInt8, *, alt: str, caption: str) -> Picture:
    """A picture of uint8 [H, W] pixels, reduced to TILE_PX where it is larger."""
    side = pixels.shape[0]
    while side > TILE_PX:
        side //= 2
    small = (
        pixels
        if side == pixels.shape[0]
        else images.quantise(images.resize(pixels.astype(np.float32) / np.float32(255), side))
    )
    data = base64.b64encode(images.encode_png(small)).decode("ascii")
    return Picture(source=f"data:image/png;base64,{data}", alt=alt, caption=caption)


def plot(svg: str, *, title: str, alt: str) -> Plot:
    """A figure of SVG that our own plots drew; it goes into the page as it is."""
    return Plot(title=title, svg=Markup(svg), alt=alt)


def render(report: Report) -> str:
    """The page. Whatever came from files is escaped; only our own SVG is not."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = _prose
    return environment.get_template("template.html").render(report=report)


def _prose(sentence: str) -> Markup:
    """A sentence whose commands stand between backticks, as a terminal shows it."""
    return Markup(_COMMAND.sub(r"<code>\1</code>", str(escape(sentence))))
