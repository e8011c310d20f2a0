"""The extractors by name: which there are, what each lacks on this machine, and how to open it.

The judge is another matter: it is opened as a session, and a stage brings it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable

from synthcxr.config import Device
from synthcxr.evaluation import features, inception, inception_file
from synthcxr.evaluation.features import Extractor

JUDGE = "judge"
KNOWN = (JUDGE, features.LITE0, inception.NAME)
_OPEN: dict[str, Callable[[Device], Extractor]] = {
    features.LITE0: features.efficientnet_lite0,
    inception.NAME: inception.open_inception,
}


def open_extractor(name: str, device: Device) -> Extractor:
    """Any of KNOWN but the judge."""
    return _OPEN[name](device)


def missing(names: Iterable[str]) -> dict[str, str]:
    """Of these names, those that cannot be opened here, and what to do about each."""
    found = {name: _missing(name) for name in names}
    return {name: what for name, what in found.items() if what is not None}


def _missing(name: str) -> str | None:
    if name == features.LITE0:
        return features.missing()
    if name == inception.NAME:
        if importlib.util.find_spec("torch") is None:
            return "install it with `pip install 'synthcxr[train]'` (absent: torch)"
        return None if inception_file.find() else inception_file.missing()
    return None
