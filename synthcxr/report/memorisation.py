"""What the report says of copies: a row a space, and the closest pairs as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthcxr.report.text import NO_BREAK, PIXELS, Row, Table, features, interval, number, percent

_SPACES = ("Space", "Nearer than 99 in 100 held-out", "Nearer than all", "Median ratio", "Planted copies found",
           "Attack: AUROC", "Duplicates")  # fmt: skip
_PAIRS = ("Image", "Film (manifest row)", "Distance", "Held-out films nearer")


def table(privacy: Mapping[str, Any]) -> Table:
    """A row for each space that was examined."""
    return Table(_SPACES, tuple(_row(name, held) for name, held in _computed(privacy).items()))


def notes(privacy: Mapping[str, Any]) -> tuple[str, ...]:
    """How to read the table, and why a space is not in it."""
    computed = _computed(privacy)
    said = [
        f"{name}: {held['status']}."
        for name, held in privacy.items()
        if isinstance(held, Mapping) and held["status"] != "computed"
    ]
    if not computed:
        return tuple(dict.fromkeys(said)) or ("Whether images copy films was not examined.",)
    few = max((held["detectable"] or 1.0) for held in computed.values())
    return (
        "By chance 1 % of images are nearer, the ratio is 1, the attack scores 0.5 and 1 % are duplicates; more of the"
        " first, or an attack whose interval lies above 0.5, may be copying, and the closest pairs tell; more"
        " duplicates are a generator that repeats itself.",
        f"A set of this size shows copies where they are {percent(few)} of it or more; fewer may be there unseen. No"
        " number here is a proof of privacy.",
        *said,
    )


def pairs(privacy: Mapping[str, Any]) -> Table:
    """The closest pairs in pixels, as numbers."""
    held = _computed(privacy).get(PIXELS, {"pairs": ()})
    return Table(
        _PAIRS,
        tuple(
            (str(pair["image"]), str(pair["film"]), number(pair["distance"]), percent(pair["rank"]))
            for pair in held["pairs"]
        ),
    )


def _computed(privacy: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    spaces = {name: held for name, held in privacy.items() if isinstance(held, Mapping)}
    return {name: held for name, held in spaces.items() if held["status"] == "computed"}


def _row(name: str, held: Mapping[str, Any]) -> Row:
    attack, duplicates = held["attack"], held["duplicates"]
    return (
        "Pixels" if name == PIXELS else features(name),
        f"{percent(held['share'])} {interval(held['share_interval'], percent=True)}",
        f"{held['n_below_null']:,} of {held['n']:,}",
        f"{number(held['median_ratio'])} {interval(held['median_ratio_interval'])}",
        ", ".join(f"{kind}{NO_BREAK}{percent(found['share'])}" for kind, found in held["found"].items()),
        f"{number(attack['auroc'])} {interval(attack['interval'])}",
        f"{percent(duplicates['share'])} {interval(duplicates['share_interval'], percent=True)}",
    )
