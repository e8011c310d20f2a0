"""Which requests give the same dataset as an existing one, which a longer one, and which another one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from synthcxr.errors import DataError
from synthcxr.writers.generation_request import (
    CANDIDATES_PER_PART,
    GenerationRequest,
    RequestMatch,
    RequestPart,
    match_requests,
)

EXISTING = GenerationRequest(
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
# Each state is the number of images, the number of candidates drawn, and whether the dataset is unfinished.
COMPLETE, SHORT, UNFINISHED = (100, 300, False), (60, 500, False), (40, 128, True)


def match(requested: GenerationRequest, state: tuple[int, int, bool], *, append: bool) -> RequestMatch:
    n_images, draws, unfinished = state
    return match_requests(requested, EXISTING, n_images=n_images, draws=draws, unfinished=unfinished, append=append)


@pytest.mark.parametrize(
    ("state", "changes", "append", "kind"),
    [
        (COMPLETE, {}, False, "same"),
        (COMPLETE, {"max_draws": 9000}, False, "same"),
        (COMPLETE, {"max_draws": 300}, False, "same"),
        (COMPLETE, {"pins": {"provider": "CUDAExecutionProvider", "numpy": "2.5"}}, False, "same"),
        (COMPLETE, {"n": 200}, True, "longer"),
        (COMPLETE, {"n": 200, "format": "webdataset"}, True, "longer"),
        (COMPLETE, {}, True, "same"),
        (SHORT, {}, False, "same"),
        (SHORT, {"max_draws": 501}, False, "longer"),
        (UNFINISHED, {}, False, "same"),
        (UNFINISHED, {"max_draws": 600}, False, "longer"),
        (UNFINISHED, {"n": 200}, True, "longer"),
    ],
)
def test_same_request_is_recognised(state: tuple[int, int, bool], changes: dict, append: bool, kind: str) -> None:
    """The same command, a larger max_draws for a dataset with too few images, and --append are recognised."""
    assert match(dataclasses.replace(EXISTING, **changes), state, append=append) == RequestMatch(kind)


@pytest.mark.parametrize(
    ("state", "changes", "append", "reason"),
    [
        (COMPLETE, {"seed": 2}, True, "seed 1, not 2"),
        (COMPLETE, {"labels": ()}, False, "labels Edema, not none"),
        (COMPLETE, {"batch": 8}, False, "batch 32, not 8"),
        (COMPLETE, {"models": {"generator": "cc", "classifier": "bb"}}, False, "another generator"),
        (COMPLETE, {"n": 99}, True, "n 100, not 99"),
        (COMPLETE, {"n": 200}, False, "--append to extend it to 200"),
        (COMPLETE, {"max_draws": 299}, False, "max_draws at least 300, not 299"),
        (COMPLETE, {"format": "webdataset"}, True, "format png, not webdataset"),
        (COMPLETE, {"n": 200, "pins": {"provider": "CUDAExecutionProvider"}}, True, "was generated with provider CPU"),
        (SHORT, {"max_draws": 499}, False, "max_draws at least 500"),
        (UNFINISHED, {"pins": {"provider": "CPUExecutionProvider", "numpy": "2.5"}}, False, "numpy 2.4, not 2.5"),
        (UNFINISHED, {"n": 200, "format": "webdataset"}, True, "format png"),
        (UNFINISHED, {"threads": 4}, False, "threads 2, not 4"),
    ],
)
def test_other_request_is_recognised(state: tuple[int, int, bool], changes: dict, append: bool, reason: str) -> None:
    """Anything else is another request, and the reason names the value that differs."""
    result = match(dataclasses.replace(EXISTING, **changes), state, append=append)
    assert result.kind == "other" and reason in result.reason


def test_candidates_and_images_are_counted_by_part() -> None:
    """The candidates of a part are counted from its first one, and the images of each part by their candidates."""
    parts = (RequestPart(("Edema",), (), 60), RequestPart(("Mass",), (), 30), RequestPart(("Hernia",), (), 10))
    several = dataclasses.replace(EXISTING, labels=(), parts=parts)
    assert [several.candidates_for(k) for k in range(3)] == [
        range(300),
        range(CANDIDATES_PER_PART, CANDIDATES_PER_PART + 150),
        range(2 * CANDIDATES_PER_PART, 2 * CANDIDATES_PER_PART + 50),
    ]
    stops = [32, 64, CANDIDATES_PER_PART + 32, 2 * CANDIDATES_PER_PART + 32, 2 * CANDIDATES_PER_PART + 50]
    assert (several.count_draws(stops), EXISTING.count_draws([32, 64]), several.count_draws([])) == (
        64 + 32 + 50,
        64,
        0,
    )
    assert several.count_found([0, 5, 2 * CANDIDATES_PER_PART]) == [2, 0, 1]
    assert EXISTING.count_found([0, 5, 40]) == [3]


def test_request_json_is_read_back() -> None:
    """request.json gives the request back; DataError for other content names the folder."""
    parts = (RequestPart(("Mass",), (), 40), RequestPart(("Edema",), ("Mass",), 60))
    request = dataclasses.replace(EXISTING, labels=(), parts=parts, copy_filter="f" * 16)
    assert request.as_dict()["apart"] == "f" * 16 and "copy_filter" not in request.as_dict()
    assert GenerationRequest.from_dict(request.as_dict(), Path("x")) == request
    for broken in ({}, EXISTING.as_dict() | {"colour": "grey"}):
        with pytest.raises(DataError, match="x: was not written by this version"):
            GenerationRequest.from_dict(broken, Path("x"))
    with pytest.raises(DataError, match="x: was not written by this version"):
        GenerationRequest.from_run({"request": {}}, Path("x"))


def test_parts_share_the_draws_and_have_their_own_candidates() -> None:
    """Each part may use its share of max_draws, rounded up, and a candidate's index names its part."""
    parts = (RequestPart(("Mass",), (), 1), RequestPart(("Edema",), (), 2))
    request = dataclasses.replace(EXISTING, n=3, labels=(), parts=parts)
    assert [request.max_draws_for(part) for part in parts] == [167, 334]
    assert (request.part_of(5), request.part_of(2**32)) == parts
    assert EXISTING.part_of(2**32) == RequestPart(("Edema",), (), 100)
