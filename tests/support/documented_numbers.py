"""The names of numbers in the tables of docs/evaluate.md."""

from __future__ import annotations

import re
from collections.abc import Iterator


def parse_names(cell: str) -> Iterator[str]:
    """The dotted paths in the first cell of a row. Each name after the first replaces the end of the first."""
    first, *others = re.findall(r"`([^`]+)`", cell)
    yield first
    *section, _ = first.split(".")
    for other in others:
        prefix = section[: 1 if "." in other else None]
        yield ".".join((*prefix, other))
