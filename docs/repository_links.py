"""MkDocs hook: a link to a file outside docs/ becomes the path of that file, because the site does not contain it."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_LOG = logging.getLogger("mkdocs.hooks.repository_links")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Replace each link that leaves docs/ by its text and the path; warn if the file does not exist."""
    docs = Path(config["docs_dir"]).resolve()
    page_folder = (docs / page.file.src_uri).parent

    def replace(match: re.Match[str]) -> str:
        image, text, target, _anchor = match.groups()
        if image or "://" in target:
            return match[0]
        path = (page_folder / target).resolve()
        if path.is_relative_to(docs):
            return match[0]
        if not path.exists():
            _LOG.warning("%s: link to %s, which does not exist", page.file.src_uri, target)
        name = path.relative_to(docs.parent).as_posix()
        return f"`{name}`" if text.strip("`") in (name, path.name) else f"{text} (`{name}`)"

    return _LINK.sub(replace, markdown)
