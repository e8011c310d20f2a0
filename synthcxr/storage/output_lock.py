"""One writer for each output: a stage checks its output, locks it, and only then works.

The decorators hold the lock of the argument `out` while a stage runs. Files that synthcxr did not write are reported
first, then an output that cannot be written, and then another process that is writing.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from synthcxr.errors import ConfigError, DataError
from synthcxr.storage import atomic, output_path, write_errors
from synthcxr.storage.locks import LockedError, file_lock
from synthcxr.storage.overwrite_guard import refuse_foreign_files, remove_partial_files

LOCK_SUFFIX = ".locked-by-synthcxr"
_RANK_VARIABLE = "RANK"  # torchrun sets it in each process of a training; only rank 0 writes

P = ParamSpec("P")
R = TypeVar("R")


class Decorator(Protocol):
    """Returns a stage with the same parameters and result."""

    def __call__(self, run: Callable[P, R], /) -> Callable[P, R]: ...


def replaces_folder(refuse: Callable[[Path], None]) -> Decorator:
    """A stage that replaces the folder `out` as a whole; `refuse` raises an error for a folder with other content."""

    def check(out: Path) -> None:
        refuse(out)
        output_path.require_replaceable_folder(out)

    return _hold_lock("out", check)


def fills_folder(own_files: Collection[str] | None = None, *, argument: str = "out") -> Decorator:
    """A stage that writes files into a folder; with `own_files`, the folder must contain no others.

    The partial files that a killed process left of `own_files` are removed.
    """

    def check(out: Path) -> None:
        if own_files is not None:
            refuse_foreign_files(out, (*own_files, *atomic.STAGING_FOLDERS))
        output_path.require_writable_folder(out)

    def clean(out: Path) -> None:
        remove_partial_files(out, own_files or ())

    return _hold_lock(argument, check, clean)


def writes_file() -> Decorator:
    """A stage that writes the file `out`."""
    return _hold_lock("out", output_path.require_writable_file)


@contextlib.contextmanager
def lock_output(out: Path) -> Iterator[None]:
    """Hold the lock of the output `out`; DataError if another process holds it, ConfigError if `out` is not writable.

    The lock file is beside `out`, so that it also excludes other machines on a shared disk. It is in the folder for
    temporary files where the folder beside `out` is read-only or has no locks. It is removed at the end, and so are
    the folders that were created for it, if they are empty.
    """
    if os.environ.get(_RANK_VARIABLE, "0") not in {"", "0"}:
        yield
        return
    resolved = output_path.resolve_output(out)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(atomic.create_parents(resolved))
        except OSError as error:
            raise ConfigError(f"{out}: is not writable ({error.strerror}); choose another --out") from error
        try:
            try:
                stack.enter_context(file_lock(resolved.with_name(resolved.name + LOCK_SUFFIX)))
            except (OSError, NotImplementedError):
                stack.enter_context(file_lock(_temporary_lock_file(resolved)))
        except LockedError:
            raise DataError(f"{out}: another process is writing here; wait for it, or choose another --out") from None
        yield


def _temporary_lock_file(resolved: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(resolved)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"synthcxr-{digest}{LOCK_SUFFIX}"


def _hold_lock(
    argument: str, check: Callable[[Path], object], clean: Callable[[Path], None] = lambda _: None
) -> Decorator:
    """Check the path in the keyword `argument`, lock it, clean it, and name a path in the errors of a full disk."""

    def decorate(run: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(run)
        def run_locked(*args: P.args, **kwargs: P.kwargs) -> R:
            out = kwargs.get(argument)
            if not isinstance(out, Path):  # an optional output that is not requested
                return run(*args, **kwargs)
            check(out)
            with lock_output(out), write_errors.report_full_disk(out):
                clean(out)
                return run(*args, **kwargs)

        return run_locked

    return decorate
