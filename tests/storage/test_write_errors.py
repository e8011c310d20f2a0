"""Errors of a full disk name the path that could not be written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from synthcxr.errors import DataError
from synthcxr.storage import write_errors

CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@pytest.mark.parametrize("code", CODES)
def test_a_full_disk_is_one_line_with_the_path(code: int) -> None:
    """An error that names no path gets that of the output, and a line that says what to do."""
    message = r"^out: the (disk|file) .*(again|elsewhere)$"
    with pytest.raises(DataError, match=message), write_errors.report_full_disk(Path("out")):
        raise OSError(code, os.strerror(code))


@pytest.mark.parametrize("code", CODES)
def test_the_written_path_is_named(code: int) -> None:
    """The name in the error stays; of a copy or a rename, the target is named and not the source."""
    for names, written in ((("a",), "a"), (("source", None, "target"), "target")):
        with pytest.raises(OSError, match=str(code)) as caught, write_errors.name_path(Path("out")):
            raise OSError(code, os.strerror(code), *names)
        assert (caught.value.errno, caught.value.filename) == (code, written)


def test_a_folder_that_cannot_be_copied_is_one_line() -> None:
    """The error of a copied folder names the target of the first file, its source and the reason."""
    message = r"^to/x: cannot be copied from from/x \(No space left on device\)$"
    with pytest.raises(DataError, match=message), write_errors.report_full_disk(Path("out")):
        raise shutil.Error([("from/x", "to/x", "No space left on device")])


def test_other_errors_pass_unchanged() -> None:
    """An input that cannot be read is not said to be the output."""
    for error in (PermissionError(errno.EACCES, "denied"), OSError("truncated image"), KeyError("x")):
        with pytest.raises(type(error)) as caught, write_errors.report_full_disk(Path("out")):
            raise error
        assert caught.value is error
