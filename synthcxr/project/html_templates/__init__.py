"""HTML pages that need no other file: the Jinja environment, and the frame of the report and of a study's results.

A template starts with `{% extends "page.html" %}` and fills the blocks `title`, `style` and `body`; the block
`image_policy` may allow images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FRAME_FOLDER = Path(__file__).parent


def render_page(template: Path, *, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """Render a template file with `values`. All values are escaped except `markupsafe.Markup`.

    An undefined value is an error. `filters` are functions that the template may apply.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, _FRAME_FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters or {})
    return environment.get_template(template.name).render(**values)
