"""HTML pages in one file."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from synthcxr.project.html_templates import render_page

TEMPLATE = """{% extends "page.html" %}
{% block title %}{{ title }}{% endblock %}
{% block style %}
h1 { margin: 0; }
{% endblock %}
{% block body %}
<h1>{{ title }}</h1>
{{ figure }}
<p>{{ text | shout }}</p>
{% endblock %}
"""


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A page with a title, a style of its own and a figure."""
    path = tmp_path / "results.html"
    path.write_text(TEMPLATE)
    return path


def test_a_page_has_the_shared_frame_and_needs_no_other_file(template: Path) -> None:
    """The page has the shared style before its own, allows no script, and refers to no other file."""
    page = render_page(template, filters={"shout": str.upper}, title="Results", figure="", text="few")
    assert page.startswith('<!DOCTYPE html>\n<html lang="en">\n')
    assert page.endswith("</body>\n</html>")
    assert "<title>Results</title>" in page
    assert page.index("body { margin: 0 auto") < page.index("h1 { margin: 0; }\n</style>")
    assert "<p>FEW</p>" in page
    assert "default-src 'none'; style-src 'unsafe-inline'" in page
    assert not any(text in page for text in ("http://", "https://", "<script", "<link", "url("))


def test_values_are_escaped_except_markup(template: Path) -> None:
    """Text from files cannot add elements; our own SVG can."""
    page = render_page(
        template, filters={"shout": str.upper}, title="<b>", figure=Markup("<svg></svg>"), text="<script>"
    )
    assert "<h1>&lt;b&gt;</h1>" in page
    assert "<svg></svg>" in page
    assert "<script" not in page.lower()


def test_an_undefined_value_is_an_error(template: Path) -> None:
    """A misspelled or missing value is not rendered as nothing."""
    with pytest.raises(UndefinedError, match="'figure' is undefined"):
        render_page(template, filters={"shout": str.upper}, title="Results", text="few")
