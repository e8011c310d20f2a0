"""Which commands make the same dataset, which a longer one, and which another."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from synthcxr.errors import DataError
from synthcxr.writers import generation_request
from synthcxr.writers.generation_request import Request

HELD = Request(
    n=100,
    seed=1,
    labels=("Edema",),
    max_draws=500,
    batch=32,
    format="png",
    models={"generator": "aa", "classifier": "bb"},
    pins={"provider": "CPUExecutionProvider", "numpy": "2.4"},
    threads=2,
)
WHOLE, SHORT, GROWING = (100, 300, False), (60, 500, False), (40, 128, True)


@pytest.mark.parametrize(
    ("state", "changes", "append", "answer"),
    [
        (WHOLE, {}, False, "same"),
        (WHOLE, {"max_draws": 9000}, False, "same"),
        (WHOLE, {"max_draws": 300}, False, "same"),
        (WHOLE, {"pins": {"provider": "CUDAExecutionProvider", "numpy": "2.5"}}, False, "same"),
        (WHOLE, {"n": 200}, True, "longer"),
        (WHOLE, {"n": 200, "format": "webdataset"}, True, "longer"),
        (WHOLE, {}, True, "same"),
        (SHORT, {}, False, "same"),
        (SHORT, {"max_draws": 501}, False, "longer"),
        (GROWING, {}, False, "same"),
        (GROWING, {"max_draws": 600}, False, "longer"),
        (GROWING, {"n": 200}, True, "longer"),
    ],
)
def test_its_own(state: tuple[int, int, bool], changes: dict, append: bool, answer: str) -> None:
    """The same command, a larger max_draws of a short set, and --append are recognised."""
    found, draws, growing = state
    wanted = dataclasses.replace(HELD, **changes)
    compared = generation_request.compare(wanted, HELD, found=found, draws=draws, growing=growing, append=append)
    assert (compared.answer, compared.why) == (answer, "")


@pytest.mark.parametrize(
    ("state", "changes", "append", "why"),
    [
        (WHOLE, {"seed": 2}, True, "seed 1, not 2"),
        (WHOLE, {"labels": ()}, False, "labels Edema, not none"),
        (WHOLE, {"batch": 8}, False, "batch 32, not 8"),
        (WHOLE, {"models": {"generator": "cc", "classifier": "bb"}}, False, "another generator"),
        (WHOLE, {"n": 99}, True, "n 100, not 99"),
        (WHOLE, {"n": 200}, False, "--append makes it 200"),
        (WHOLE, {"max_draws": 299}, False, "max_draws at least 300, not 299"),
        (WHOLE, {"format": "webdataset"}, True, "format png, not webdataset"),
        (WHOLE, {"n": 200, "pins": {"provider": "CUDAExecutionProvider"}}, True, "was made with provider CPU"),
        (SHORT, {"max_draws": 499}, False, "max_draws at least 500"),
        (GROWING, {"pins": {"provider": "CPUExecutionProvider", "numpy": "2.5"}}, False, "numpy 2.4, not 2.5"),
        (GROWING, {"n": 200, "format": "webdataset"}, True, "format png"),
        (GROWING, {"threads": 4}, False, "threads 2, not 4"),
    ],
)
def test_another_one(state: tuple[int, int, bool], changes: dict, append: bool, why: str) -> None:
    """Anything else is another command, and the answer says in which value."""
    found, draws, growing = state
    wanted = dataclasses.replace(HELD, **changes)
    compared = generation_request.compare(wanted, HELD, found=found, draws=draws, growing=growing, append=append)
    assert compared.answer == "other" and why in compared.why


def test_round_trip() -> None:
    """request.json gives the request back; one of another shape is an error that names the folder."""
    assert generation_request.of_dict(HELD.as_dict(), Path("x")) == HELD
    for broken in ({}, HELD.as_dict() | {"colour": "grey"}):
        with pytest.raises(DataError, match="x: not written by this version"):
            generation_request.of_dict(broken, Path("x"))
    with pytest.raises(DataError, match="x: not written by this version"):
        generation_request.of_run({"request": {}}, Path("x"))
