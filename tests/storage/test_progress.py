"""Progress lines: their times and their text, with a clock that the test sets."""

from __future__ import annotations

import io
import os
import sys

import pytest

from synthcxr.storage.line_clock import LineClock
from synthcxr.storage.progress import ProgressLines, format_duration, open_progress, track


class Clock:
    """Seconds that only the test advances."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_time_left_follows_the_speed_of_the_last_half_minute() -> None:
    """A task that slows down from 20 to 1 images per second says so within 30 s, whatever its average is."""
    clock, stream = Clock(), io.StringIO()
    progress = ProgressLines("generate", total=2000, unit="images", stream=stream, clock=LineClock(clock))
    for second in range(120):
        clock.now_s += 1
        progress.update(20 if second < 60 else 1)
    lines = stream.getvalue().splitlines()
    assert lines[5] == "generate: 1,100 of 2,000 images, 20 images/s, 45 s left"
    assert lines[-1] == "generate: 1,255 of 2,000 images, 1 images/s, 12 min 25 s left"


def test_a_line_after_five_seconds_and_then_every_ten() -> None:
    """A line names the task, the count, the rate and the time left; updates within 10 s of a line write none."""
    clock, stream = Clock(), io.StringIO()
    progress = ProgressLines("generate", total=1000, unit="images", stream=stream, clock=LineClock(clock))
    for _ in range(50):
        clock.now_s += 0.5
        progress.update(10)
    assert stream.getvalue().splitlines() == [
        "generate: 100 of 1,000 images, 20 images/s, 45 s left",
        "generate: 300 of 1,000 images, 20 images/s, 35 s left",
        "generate: 500 of 1,000 images, 20 images/s, 25 s left",
    ]


def test_resumed_work_counts_only_its_own_rate() -> None:
    """Units that were done earlier count as done and not towards the rate; finished work writes no line."""
    clock, stream = Clock(), io.StringIO()
    with ProgressLines(
        "generate", total=300, unit="images", stream=stream, initial=200, clock=LineClock(clock)
    ) as progress:
        clock.now_s += 10
        progress.update(50)
        clock.now_s += 10
        progress.update(50)
    assert stream.getvalue() == "generate: 250 of 300 images, 5 images/s, 10 s left\n"


def test_short_work_writes_nothing() -> None:
    """Work that ends within 5 s writes no line."""
    clock, stream = Clock(), io.StringIO()
    with ProgressLines("sizes", total=3, unit="films", stream=stream, clock=LineClock(clock)) as progress:
        clock.now_s += 4.9
        progress.update()
        assert stream.getvalue() == ""
        clock.now_s += 0.2
        progress.update()
    assert stream.getvalue() == "sizes: 2 of 3 films, 0.392 films/s, 3 s left\n"


def test_short_tasks_of_a_command_are_not_silent() -> None:
    """The time without a line counts over the tasks of a command; a rate of less than half a second is not shown."""
    clock, stream = Clock(), io.StringIO()
    line_clock = LineClock(clock)
    with line_clock.time_command():
        for name in "abcd":
            progress = ProgressLines(name, total=3, unit="rows", stream=stream, clock=line_clock)
            progress.update()
            clock.now_s += 3
            progress.update()
        clock.now_s += 6
        ProgressLines("e", total=3, unit="rows", stream=stream, clock=line_clock).update()
    assert stream.getvalue().splitlines() == [
        "b: 2 of 3 rows, 0.667 rows/s, 2 s left",
        "d: 2 of 3 rows, 0.667 rows/s, 2 s left",
        "e: 1 of 3 rows",
    ]
    progress = ProgressLines("f", total=3, unit="rows", stream=stream, clock=line_clock)
    clock.now_s += 4
    progress.update()
    assert len(stream.getvalue().splitlines()) == 3, "outside of a command, the time of the task counts"


def test_a_terminal_without_columns_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bar would be empty there."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(terminal, "fileno", lambda: 2)
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((0, 0)))
    assert isinstance(open_progress("films", total=3, unit="films"), ProgressLines)


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal stderr shows a bar with the task and the unit; disabled progress writes nothing."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(track(range(3), "films", unit="films")) == [0, 1, 2]
    assert "films: 100%" in terminal.getvalue() and "3/3" in terminal.getvalue()
    silent = Terminal()
    monkeypatch.setattr(sys, "stderr", silent)
    with open_progress("films", total=3, unit="films", enabled=False) as progress:
        progress.update(3)
    assert silent.getvalue() == ""


def test_items_without_a_length_need_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks that are drawn one by one are counted against the number that is given."""
    clock, stream = Clock(), io.StringIO()
    progress = ProgressLines("baseline", total=4, unit="blocks", stream=stream, clock=LineClock(clock))
    clock.now_s += 10
    progress.update()
    assert stream.getvalue() == "baseline: 1 of 4 blocks, 0.1 blocks/s, 30 s left\n"
    assert list(track(iter("ab"), "baseline", unit="blocks", total=2)) == ["a", "b"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (725, "12 min 5 s"), (12_000, "3 h 20 min")]
)
def test_durations(seconds: float, text: str) -> None:
    """A duration is written in its two largest units."""
    assert format_duration(seconds) == text
