"""The value of an option that takes the name of a reader or format: a shipped one, or that of an installed package."""

from __future__ import annotations

from typing import Any

import click

from synthcxr.project.extensions import list_names


class ExtensionChoice(click.ParamType[str]):
    """A choice among the `shipped` names and those that installed packages add to a group.

    The shipped names are given, because importing their declarations takes long; a test compares them.
    """

    name = "name"

    def __init__(self, group: str, shipped: tuple[str, ...]) -> None:
        self.group, self.shipped = group, shipped

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return a known name; any other one is a usage error."""
        names = list_names(self.group, self.shipped)
        if value not in names:
            self.fail(f"{value!r} is not one of {', '.join(names)}.", param, ctx)
        return str(value)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """The names, as the help text shows them."""
        return f"[{'|'.join(list_names(self.group, self.shipped))}]"
