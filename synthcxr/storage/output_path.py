"""Refuse an output path that cannot be written or replaced, before any work is done for it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from synthcxr.errors import ConfigError, DataError

_MOUNTS_OF_LINUX = Path("/proc/self/mountinfo")
_MOUNT_POINT_FIELD = 4


def resolve_output(out: Path) -> Path:
    """Resolve links and dots; ConfigError for the root folder and for links that lead to themselves."""
    try:
        resolved = out.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links
        raise ConfigError(f"{out}: cannot be resolved ({error}); choose another --out") from error
    if not resolved.name:
        raise ConfigError(f"{out}: is the root folder; choose another --out")
    return resolved


def require_replaceable_folder(out: Path) -> Path:
    """Return the resolved `out`; ConfigError unless a new folder can be renamed to it.

    The current folder, a folder above it, and a mount point cannot be replaced.
    """
    resolved, current = resolve_output(out), Path.cwd()
    if resolved == current or resolved in current.parents:
        raise ConfigError(f"{out}: contains the current folder, so it cannot be replaced; choose another --out")
    if _is_mount_point(resolved):
        raise ConfigError(
            f"{out}: is a mount point, which cannot be replaced; choose a folder in it, such as --out {out / 'new'}"
        )
    _require_writable_parent(out, resolved)
    return resolved


def require_writable_folder(out: Path) -> None:
    """Raise ConfigError unless files can be written into it."""
    resolved = resolve_output(out)
    if not resolved.exists():
        _require_writable_parent(out, resolved)
    elif not resolved.is_dir():
        raise DataError(f"{out}: is a file; give another --out")
    elif not os.access(resolved, os.W_OK | os.X_OK):
        raise ConfigError(f"{out}: is not writable; choose another --out")


def require_writable_file(out: Path) -> None:
    """Raise ConfigError unless a file can be renamed to it."""
    resolved = resolve_output(out)
    if resolved.is_dir():
        raise ConfigError(f"{out}: is a folder; give the name of a file")
    if resolved.exists() and not resolved.is_file():
        raise ConfigError(f"{out}: is not a file that can be replaced; choose another --out")
    if out.is_symlink():
        _require_writable_parent(out, out.absolute())
    _require_writable_parent(out, resolved)


def _require_writable_parent(out: Path, resolved: Path) -> None:
    """Raise ConfigError if the nearest existing folder above `resolved` is not writable."""
    existing = next(folder for folder in resolved.parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"{out}: is not writable, because {existing} is not; choose another --out")


def _is_mount_point(folder: Path) -> bool:
    """Whether a file system is mounted at `folder`, also one of which the folder above is a part (`mount --bind`)."""
    if not folder.exists():
        return False
    if os.path.ismount(folder):
        return True
    try:
        lines = _MOUNTS_OF_LINUX.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    escaped = (line.split()[_MOUNT_POINT_FIELD] for line in lines)
    return str(folder) in {re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), path) for path in escaped}
