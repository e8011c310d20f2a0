"""Formats of images: which are known, and what is said about a dataset in another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from synthcxr.data import image_formats
from synthcxr.data.run_schema import RunJson
from synthcxr.errors import DataError
from synthcxr.writers.formats.store import FORMATS

VERSIONS = {"numpy": "1.0", "python": "3.11.7", "films-of-nobody": "2.1"}


def make_run(**fields: Any) -> RunJson:
    return cast(RunJson, fields)


def test_the_shipped_formats_are_those_that_the_writers_declare() -> None:
    """Both lists name the same formats."""
    assert FORMATS.list_names() == image_formats.SHIPPED_FORMATS
    for name in image_formats.SHIPPED_FORMATS:
        image_formats.require_format(Path("chests"), make_run(format=name, versions=VERSIONS))
    image_formats.require_format(Path("chests"), make_run())


def test_a_missing_package_is_named() -> None:
    """The error names the packages in run.json that are not installed."""
    with pytest.raises(DataError) as error_info:
        image_formats.require_format(Path("chests"), make_run(format="scan", versions=VERSIONS))
    assert str(error_info.value) == (
        "chests: its images are in the format 'scan' of a package that is not installed; install films-of-nobody 2.1"
    )
    with pytest.raises(DataError, match="install the package that wrote them"):
        image_formats.require_format(Path("chests"), make_run(format="scan", versions={"numpy": "1.0"}))
