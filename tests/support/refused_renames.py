"""Renames that the system refuses, as for a mount point or a folder without permission."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def refuse_renames_to(target: Path, code: int = errno.EBUSY) -> Iterator[None]:
    """Let every rename to `target` fail with the system's error `code` during the block."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("rename", "replace"):
            original = getattr(Path, name)

            def fail(source: Path, path: Path, original: object = original) -> Path:
                if path == target:
                    raise OSError(code, os.strerror(code), str(source), None, str(path))
                return original(source, path)  # type: ignore[operator, no-any-return]

            patch.setattr(Path, name, fail)
        yield
