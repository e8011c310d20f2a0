"""The declaration of a film reader: how the films of one layout are recognised and read, and with which options."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from synthcxr.data.films import Film

COMMON_OPTIONS: Mapping[str, str] = {
    "path": "The folder of the films.",
    "source": "The name of these films in the manifest and in warnings.",
    "csv": "The table of labels, relative to `path`. By default it is searched for.",
    "uncertain_as": "What an uncertain finding (-1) means: `unknown`, `present` or `absent`.",
    "blank_as": "What an empty cell means: `unknown`, `present` or `absent`.",
    "image_column": "The column of the table that names the film. By default it is recognised.",
    "label_column": "The column of the table that has the findings. By default it is recognised.",
    "separator": "What separates several findings in one cell.",
    "map": "Names in the table and the findings that they mean, such as `{Enlarged heart: Cardiomegaly}`.",
    "others": "What a finding means that a label does not name: `absent` (default with a table) or `unknown`.",
    "view": "The view of all films, `PA` or `AP`, if the table does not name it.",
}
"""The options that several readers have, and what they set."""


@dataclasses.dataclass(frozen=True)
class Reader:
    """A film reader, which users choose by its `name` in `prepare.sources` and in `init --reader`.

    `films` says in a few words which films it reads. `read` is called with the options of an entry of
    `prepare.sources` and with `report`, which receives one line for each group of films that are left out. It returns
    the films, or raises DataError for films that cannot be read and ConfigError, beginning with the option, for a
    value that is not allowed. The annotations of its parameters are the types of the options: text, numbers, booleans,
    lists and mappings are checked. `options` says what each one sets. `matches` returns whether a folder has this
    layout; without it, `init` cannot read such films. `attribution` is the text with which the films must be cited.
    `salt_option` is the option that takes a file with a secret, which `init` creates.
    """

    name: str
    films: str
    read: Callable[..., Iterator[Film]]
    options: Mapping[str, str]
    matches: Callable[[Path], bool] | None = None
    attribution: str = ""
    salt_option: str | None = None

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The parameters of `read` that are options."""
        parameters = inspect.signature(self.read).parameters.items()
        variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        return {
            name: parameter for name, parameter in parameters if name != "report" and parameter.kind not in variable
        }

    @property
    def types(self) -> dict[str, Any]:
        """The annotated type of each option, where it can be found."""
        try:
            return typing.get_type_hints(self.read)
        except (NameError, TypeError):  # names that only type checkers import; a callable object
            return {}


def describe_options(*names: str, **others: str) -> dict[str, str]:
    """The help of common options by name, and of others."""
    return {name: COMMON_OPTIONS[name] for name in names} | others
