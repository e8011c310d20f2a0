"""Extensions: the readers, formats, extractors and metrics that other packages add by entry points.

A package declares an extension in its pyproject.toml, in one of the groups below:

    [project.entry-points."synthcxr.readers"]
    toy = "toy_films:READER"

The object has the `name` of the entry point and the type of the declarations of its group. Nothing of a package is
imported before its extension is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from importlib.metadata import EntryPoint
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from synthcxr.errors import ExtensionError

READERS, WRITERS, EXTRACTORS, METRICS = (
    "synthcxr.readers",
    "synthcxr.writers",
    "synthcxr.extractors",
    "synthcxr.metrics",
)
GROUPS: Mapping[str, str] = {READERS: "reader", WRITERS: "format", EXTRACTORS: "extractor", METRICS: "metric"}
"""What an entry point of each group declares."""
STAGE_GROUPS: Mapping[str, tuple[str, ...]] = {
    "prepare": (READERS,),
    "generate": (WRITERS,),
    "evaluate": (WRITERS, EXTRACTORS, METRICS),
    "register": (WRITERS,),
    "report": (WRITERS,),
}
"""The groups whose extensions a stage of dvc.yaml may run."""


class Declaration(Protocol):
    """What every declaration has: the name by which users choose it."""

    @property
    def name(self) -> str: ...


D = TypeVar("D", bound=Declaration)


@dataclasses.dataclass(frozen=True)
class Extensions(Generic[D]):
    """The declarations of one group: those `shipped` with synthcxr, and those of installed packages."""

    group: str
    type: type[D]
    shipped: tuple[D, ...]

    def list_names(self) -> tuple[str, ...]:
        """The names, shipped ones first; imports no package."""
        return list_names(self.group, [declaration.name for declaration in self.shipped])

    def __contains__(self, name: object) -> bool:
        """Whether a declaration has this name; imports no package."""
        return name in self.list_names()

    def load(self, name: str) -> D:
        """Return the declaration of this name.

        Raises ExtensionError if there is none, or if a package's declaration cannot be used.
        """
        entry_points = find_entry_points(self.group)
        for declaration in self.shipped:
            if declaration.name == name:
                if name in entry_points:
                    raise _name_is_taken(entry_points[name], "synthcxr")
                return declaration
        if name not in entry_points:
            noun = GROUPS[self.group]
            raise ExtensionError(
                f"unknown {noun} {name!r}; known: {', '.join(self.list_names())}; install the package that adds it"
            )
        return load_declaration(entry_points[name], self.type)

    def package_version(self, name: str) -> dict[str, str]:
        """The version of the package that adds this name, by package; empty for a shipped name."""
        entry_point = find_entry_points(self.group).get(name)
        return (
            {} if entry_point is None or entry_point.dist is None else {entry_point.dist.name: entry_point.dist.version}
        )

    def load_usable(self) -> tuple[D, ...]:
        """Return the declarations that can be used, shipped ones first."""
        declarations = []
        for name in self.list_names():
            with contextlib.suppress(ExtensionError):
                declarations.append(self.load(name))
        return tuple(declarations)

    def load_all(self) -> tuple[D, ...]:
        """Return all declarations, shipped ones first. Raises ExtensionError like `load`."""
        return tuple(self.load(name) for name in self.list_names())


@functools.cache
def find_entry_points(group: str) -> Mapping[str, EntryPoint]:
    """The entry points of a group by name; ExtensionError if two packages use one name."""
    entry_points: dict[str, EntryPoint] = {}
    for entry_point in metadata.entry_points(group=group):
        other = entry_points.setdefault(entry_point.name, entry_point)
        if other.value != entry_point.value:
            raise _name_is_taken(entry_point, describe_package(other))
    return entry_points


def list_names(group: str, shipped: Sequence[str]) -> tuple[str, ...]:
    """The `shipped` names, then those that installed packages add to a group, sorted; imports no package."""
    return (*shipped, *sorted(find_entry_points(group).keys() - set(shipped)))


def load_declaration(entry_point: EntryPoint, declaration_type: type[D]) -> D:
    """Import the declaration of a package; ExtensionError names the package if it cannot be used."""
    subject = f"{GROUPS[entry_point.group]} {entry_point.name!r} of {describe_package(entry_point)}"
    try:
        declaration = entry_point.load()
    except Exception as error:  # noqa: BLE001  the code of a package may raise anything when it is imported
        reason = f"{type(error).__name__}: {error}"
        raise ExtensionError(f"{subject} cannot be imported: {reason}; upgrade or uninstall the package") from error
    if not isinstance(declaration, declaration_type) or declaration.name != entry_point.name:
        raise ExtensionError(
            f"{subject}: {entry_point.value} is not a {declaration_type.__name__} named {entry_point.name!r};"
            " upgrade or uninstall the package"
        )
    return declaration


def list_packages(stage: str) -> tuple[str, ...]:
    """The packages with their versions that extend a stage of dvc.yaml, sorted."""
    groups = STAGE_GROUPS.get(stage, ())
    return tuple(sorted({describe_package(point) for group in groups for point in find_entry_points(group).values()}))


def describe_package(entry_point: EntryPoint) -> str:
    """The package of an entry point and its version."""
    package = entry_point.dist
    return entry_point.module if package is None else f"{package.name} {package.version}"


def find_package_of(traceback: TracebackType | None) -> str | None:
    """The package of an extension whose code raised the error of this traceback, or None."""
    packages = {
        point.module.partition(".")[0]: describe_package(point)
        for group in GROUPS
        for point in metadata.entry_points(group=group)
    }
    modules = list(_walk_modules(traceback)) if packages else []
    return next((packages[module] for module in reversed(modules) if module in packages), None)


def _walk_modules(traceback: TracebackType | None) -> Iterator[str]:
    """The top-level module of each frame, the outermost first."""
    while traceback is not None:
        yield str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        traceback = traceback.tb_next


def _name_is_taken(entry_point: EntryPoint, owner: str) -> ExtensionError:
    noun = GROUPS[entry_point.group]
    return ExtensionError(
        f"{describe_package(entry_point)} adds the {noun} {entry_point.name!r}, a name that {owner} uses already;"
        f" uninstall {'the package' if owner == 'synthcxr' else 'one of them'}"
    )
