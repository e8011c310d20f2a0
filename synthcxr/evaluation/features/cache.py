"""Arrays kept between runs in a folder that git ignores, by what they depend on; a broken file is made again."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from synthcxr.storage import atomic, digests

FOLDER = Path(".cache/synthcxr/features")

Number = TypeVar("Number", np.float32, np.float64)


def cached(
    folder: Path, key: Mapping[str, Any], compute: Callable[[], dict[str, NDArray[Number]]]
) -> dict[str, NDArray[Number]]:
    """What `compute` gives, from `folder` if it was computed under the same JSON-serialisable key before."""
    path = folder / f"{digests.fingerprint(key)}.npz"
    held = _read(path)
    if held is not None:
        return held
    outputs = compute()
    # A cache that cannot be written costs the next run time and this one nothing.
    with contextlib.suppress(OSError):
        _write(path, outputs)
    return outputs


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, outputs: Mapping[str, NDArray[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
    with atomic.file(path, shared=True) as file:
        np.savez(file, allow_pickle=False, **outputs)
