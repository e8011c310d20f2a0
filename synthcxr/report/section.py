"""The parts of the page: sections with notes, tables, plots and images. `template.html` renders every section alike."""

from __future__ import annotations

import dataclasses

from markupsafe import Markup

Row = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text with their column headings; the first cell of a row names it."""

    headings: Row
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Plot:
    """A figure as SVG that takes its text colour from the page, its title, and a description for who cannot see it.

    A wide plot has the width of the page; others stand beside the notes.
    """

    title: str
    svg: Markup
    alt: str
    is_wide: bool = False

    @classmethod
    def from_svg(cls, svg: str, *, title: str, alt: str, is_wide: bool = False) -> Plot:
        """A plot of SVG from `report.plots`. The page does not escape it."""
        return cls(title=title, svg=Markup(svg), alt=alt, is_wide=is_wide)


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """An image as a data URI, its description, and its caption."""

    source: str
    alt: str
    caption: str


@dataclasses.dataclass(frozen=True)
class Grid:
    """Images in rows of `columns`; 0 is as many as fit."""

    thumbnails: tuple[Thumbnail, ...]
    columns: int = 0


@dataclasses.dataclass(frozen=True)
class StatusLine:
    """A check or gate: its status ("passed", "failed" or "not applicable"), its sentence, and details."""

    status: str
    sentence: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and its content, in the order of the fields; a wide plot follows the table. Empty parts are left out.

    `conclusion` is one sentence. `facts` are pairs of a name and a value. `method` says how the figures were measured
    and is folded away. `is_folded` folds the whole section below its title and its conclusion; on paper it is then left
    out, unless `is_printed`. `anchor` is the id that links name.
    """

    title: str
    conclusion: str = ""
    introduction: str = ""
    status_lines: tuple[StatusLine, ...] = ()
    grid: Grid | None = None
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()
    table: Table | None = None
    facts: tuple[Row, ...] = ()
    subsections: tuple[Section, ...] = ()
    method: tuple[str, ...] = ()
    is_folded: bool = False
    is_printed: bool = False
    anchor: str = ""
