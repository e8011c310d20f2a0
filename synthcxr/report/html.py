"""The report as one HTML file. It contains its images, has no script, and loads nothing."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from markupsafe import Markup, escape

from synthcxr.data.evidence.label_quality import VALIDITY_FACT
from synthcxr.data.evidence.sharing import LOOK_AT_PAIRS
from synthcxr.data.evidence.summary import EvidenceSummary
from synthcxr.data.number_format import NO_BREAK_SPACE
from synthcxr.project.html_templates import render_page
from synthcxr.report.memorisation import PAIRS_ANCHOR
from synthcxr.report.section import Plot, Section

_TEMPLATE = Path(__file__).with_name("template.html")
_CI = "95 % CI".replace(" ", NO_BREAK_SPACE)
_PERCENT = re.compile(r"(\d) %")
_COMMAND = re.compile(r"`([^`]+)`")


@dataclasses.dataclass(frozen=True)
class Report:
    """The content of the page, in the order of the page.

    `privacy_notice` says which real films the page shows; it is empty if the page shows none. `chart` is the small
    chart of the answer about quality. `dataset_digest` is the sha256 of metadata.csv, for the line to sign.
    """

    title: str
    privacy_notice: str
    summary: EvidenceSummary
    dataset_digest: str
    chart: Plot | None
    sections: tuple[Section, ...]


def render_report(report: Report) -> str:
    """Render the page. All text is escaped; only our own SVG is not."""
    return render_page(
        _TEMPLATE, filters={"prose": _format_prose, "css_string": _escape_css}, report=report, chart_fact=VALIDITY_FACT
    )


def _format_prose(text: str) -> Markup:
    """Escape a text, mark commands as code, link the closest pairs, and keep "95 % CI" on one line."""
    html = _COMMAND.sub(r"<code>\1</code>", str(escape(text)))
    html = html.replace(LOOK_AT_PAIRS, f'<a href="#{PAIRS_ANCHOR}">{LOOK_AT_PAIRS}</a>')
    html = _PERCENT.sub(rf"\1{NO_BREAK_SPACE}%", html)
    return Markup(html.replace("95\u00a0% CI", _CI))


def _escape_css(text: str) -> Markup:
    """The content of a string in CSS: every character that is not a letter, a digit or a space as its code."""
    return Markup("".join(c if c.isalnum() or c == " " else f"\\{ord(c):x} " for c in text))
