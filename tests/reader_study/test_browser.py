"""The page in a real Chromium: sessions by keyboard and mouse, interruptions, two readers, accessibility."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser_reader import CHROMIUM, CHROMIUM_FLAGS, TIMEOUT_MS, VIEWPORTS, BrowserReader, sync_api
from support.small_study import StudyInputs, create_study
from support.study_server import ANSWER, StudyClient, StudyServer

from synthcxr.reader_study.answer import Answer, answer_from_json
from synthcxr.reader_study.answer_store import AnswerStore
from synthcxr.reader_study.design import Design
from synthcxr.reader_study.public_files import read_served_study
from synthcxr.stages import reader_study_analyse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium: apt-get install chromium"),
]

DESIGN = Design(n=16, readers=2, repeats=2, practice=2, pairs=2, findings=())
N_SCREENS = 2 + 16 + 2 + 2 + 2


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One headless Chromium."""
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS, timeout=120_000)
        yield chromium
        chromium.close()


@pytest.fixture
def study(inputs: StudyInputs, tmp_path: Path) -> Path:
    """A study without answers: 16 images, 2 repeats, 2 pairs, 2 practice images and 2 practice pairs."""
    create_study(inputs, tmp_path / "study", DESIGN)
    return tmp_path / "study"


@pytest.fixture
def server(study: Path) -> Iterator[StudyServer]:
    """A server of the study."""
    with StudyServer(study) as study_server:
        yield study_server


def read_answers(study: Path, reader: int = 1) -> list[Answer]:
    """The last answers of a reader, in order."""
    answers = AnswerStore(study / "answers.sqlite", read_served_study(study).study).read_all()
    return [answer_from_json(text) for number, _, text, _ in answers if number == reader]


def query_answers(study: Path, columns: str) -> list[Any]:
    """Columns of the table of answers."""
    with contextlib.closing(sqlite3.connect(study / "answers.sqlite")) as connection:
        return connection.execute(f"SELECT {columns} FROM answers").fetchall()


def test_a_session_by_keyboard(browser: Any, server: StudyServer, study: Path) -> None:
    """A whole session without a mouse; every answer is stored as it was typed, and the analysis is complete."""
    reader = BrowserReader(browser, server, 1)
    reader.log_in(N_SCREENS)
    for position in range(N_SCREENS):
        reader.wait_for_screen(position + 1, N_SCREENS)
        reader.answer_by_keyboard(1 + position % 5, "e" if position % 2 else "0", 1 + position % 4)
    reader.expect_visible("#done")
    answers = read_answers(study)
    assert [answer.confidence for answer in answers] == [1 + position % 5 for position in range(N_SCREENS)]
    singles = [(position, answer) for position, answer in enumerate(answers) if answer.quality is not None]
    assert len(singles) == N_SCREENS - 4
    assert all(answer.findings == (("Effusion",) if position % 2 else ()) for position, answer in singles)
    assert all(answer.quality == 1 + position % 4 for position, answer in singles)
    assert reader.errors == []
    analysis = reader_study_analyse.run(study, key=study / "key", out=study / "analysis", seed=0)
    assert analysis.result["readers"]["1"]["complete"]


def test_a_session_by_mouse(browser: Any, server: StudyServer, study: Path) -> None:
    """A whole session by clicks; dragging and the wheel change window, level, zoom and pan."""
    reader = BrowserReader(browser, server, 2, "desktop")
    page = reader.page
    page.fill("#code", reader.code)
    page.click("#enter button")
    reader.wait_for_screen(1, N_SCREENS)
    box = page.locator("#case canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert page.inner_text("#window").split() == ["100", "%", "W", "255", "L", "128"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 80, y - 60, steps=4)
    page.mouse.up()
    assert page.inner_text("#window").split() == ["100", "%", "W", "175", "L", "98"]
    page.mouse.wheel(0, -300)
    sync_api.expect(page.locator("#window")).not_to_contain_text("100 %", timeout=TIMEOUT_MS)
    page.mouse.down(button="right")
    page.mouse.move(x + 50, y, steps=4)
    page.mouse.up(button="right")
    page.click("[data-tool=invert]")
    sync_api.expect(page.locator("[data-tool=invert]")).to_have_attribute("aria-pressed", "true")
    page.click("[data-tool=reset]")
    assert page.inner_text("#window").split() == ["100", "%", "W", "255", "L", "128"]
    for position in range(N_SCREENS):
        reader.wait_for_screen(position + 1, N_SCREENS)
        reader.answer_by_mouse(5 - position % 5, "Mass" if position % 3 else "none", 4)
    reader.expect_visible("#done")
    expected = [5 - position % 5 for position in range(N_SCREENS)]
    assert [answer.confidence for answer in read_answers(study, 2)] == expected
    assert reader.errors == []


def test_incomplete_answers_are_not_saved(browser: Any, server: StudyServer, study: Path) -> None:
    """Enter marks what is missing and saves nothing; "No finding" and a finding exclude each other."""
    reader = BrowserReader(browser, server, 1)
    reader.log_in(N_SCREENS)
    reader.press("4", "Enter")
    sync_api.expect(reader.page.locator("#findings")).to_have_class("missing")
    assert read_answers(study) == []
    reader.press("0", "n", "m", "n")
    checked = reader.page.locator("input[name=finding]:checked")
    assert checked.evaluate_all("inputs => inputs.map(input => input.value)") == ["Mass"]
    reader.press("Shift+Digit5", "/")
    reader.page.keyboard.type("left 12e")
    reader.press("Escape", "Enter")
    reader.wait_for_screen(2, N_SCREENS)
    assert read_answers(study) == [Answer(4, 5, ("Mass",), "left 12e")]


def test_undo(browser: Any, server: StudyServer, study: Path) -> None:
    """Undo reverts the last input, then goes back to the previous image, whose answer can be changed."""
    reader = BrowserReader(browser, server, 1)
    reader.log_in(N_SCREENS)
    reader.answer_by_keyboard(2)
    reader.wait_for_screen(2, N_SCREENS)
    reader.press("5", "u")
    sync_api.expect(reader.page.locator("input[name=confidence]:checked")).to_have_count(0)
    reader.press("u")
    reader.expect_text("#progress", f"1 of {N_SCREENS}")
    reader.expect_checked("confidence", 2)
    reader.expect_checked("finding", "none")
    reader.press("1", "Enter")
    reader.wait_for_screen(2, N_SCREENS)
    assert [answer.confidence for answer in read_answers(study)] == [1]


def test_a_reload_loses_nothing(browser: Any, server: StudyServer, study: Path) -> None:
    """After a reload, unsaved input is still there and the reader is still logged in."""
    reader = BrowserReader(browser, server, 1)
    reader.log_in(N_SCREENS)
    reader.answer_by_keyboard(2)
    reader.wait_for_screen(2, N_SCREENS)
    reader.press("4", "x")
    reader.page.reload()
    reader.wait_for_screen(2, N_SCREENS)
    reader.expect_checked("confidence", 4)
    reader.expect_checked("finding", "Pneumothorax")
    reader.press("Shift+Digit2", "Enter")
    reader.wait_for_screen(3, N_SCREENS)
    assert read_answers(study)[1] == Answer(4, 2, ("Pneumothorax",), "")


def test_an_answer_survives_a_killed_server(browser: Any, server: StudyServer, study: Path) -> None:
    """An answer that the server did not receive is reported as unsaved, and saved once when the server is back."""
    reader = BrowserReader(browser, server, 1)
    reader.log_in(N_SCREENS)
    server.kill()
    reader.answer_by_keyboard(5)
    reader.expect_text("#notice", "Not saved yet")
    reader.expect_text("#progress", f"1 of {N_SCREENS}")
    server.start()
    reader.wait_for_screen(2, N_SCREENS)
    assert query_answers(study, "position, version") == [(0, 1)]


def test_two_tabs(browser: Any, server: StudyServer, study: Path) -> None:
    """The second tab to answer shows a notice and the first answer, and replaces it only on a second save."""
    reader = BrowserReader(browser, server, 1)
    reader.log_in(N_SCREENS)
    first_tab, second_tab = reader.page, reader.open_tab(server)
    reader.wait_for_screen(1, N_SCREENS, page=second_tab)
    reader.answer_by_keyboard(1)
    reader.wait_for_screen(2, N_SCREENS, page=first_tab)
    reader.page = second_tab
    reader.answer_by_keyboard(5)
    reader.expect_text("#notice", "another window")
    reader.expect_checked("confidence", 1)
    assert read_answers(study)[0].confidence == 1
    reader.press("4", "Enter")
    reader.wait_for_screen(2, N_SCREENS)
    assert read_answers(study)[0].confidence == 4


def test_two_readers_at_the_same_time(browser: Any, server: StudyServer, study: Path) -> None:
    """Two readers who alternate screen by screen get their own answers."""
    readers = [BrowserReader(browser, server, number) for number in (1, 2)]
    for reader in readers:
        reader.log_in(N_SCREENS)
    for position in range(6):
        for number, reader in enumerate(readers, start=1):
            reader.wait_for_screen(position + 1, N_SCREENS)
            reader.answer_by_keyboard(number)
    for number, reader in enumerate(readers, start=1):
        reader.wait_for_screen(7, N_SCREENS)
        assert [answer.confidence for answer in read_answers(study, number)] == [number] * 6


def test_a_pause_stops_the_clock(browser: Any, server: StudyServer, study: Path) -> None:
    """The seconds of a pause are not counted."""
    reader = BrowserReader(browser, server, 1)
    start = time.monotonic()
    reader.log_in(N_SCREENS)
    reader.press("b")
    reader.page.wait_for_timeout(3000)
    reader.expect_visible("#rest")
    paused_s = time.monotonic() - start
    reader.press("Enter")
    sync_api.expect(reader.page.locator("#rest")).to_be_hidden(timeout=TIMEOUT_MS)
    reader.answer_by_keyboard(3)
    reader.wait_for_screen(2, N_SCREENS)
    ((counted_s,),) = query_answers(study, "seconds")
    assert counted_s <= time.monotonic() - start - min(paused_s, 2.9)


def test_a_reader_continues_on_another_computer(browser: Any, server: StudyServer) -> None:
    """After logout the same code continues elsewhere with the next image; a wrong code is reported."""
    first = BrowserReader(browser, server, 1)
    first.log_in(N_SCREENS)
    first.answer_by_keyboard(2)
    first.wait_for_screen(2, N_SCREENS)
    first.page.click("#leave")
    first.expect_visible("#enter")
    second = BrowserReader(browser, server, 1, "phone")
    second.page.fill("#code", "aaaa-bbbb-cccc-dddd")
    second.press("Enter")
    second.expect_text("#enter-error", "unknown access code")
    second.page.fill("#code", second.code.upper())
    second.press("Enter")
    second.wait_for_screen(2, N_SCREENS)


@pytest.mark.parametrize("viewport", ["phone", "desktop", "tablet", "laptop"])
def test_every_viewport_is_usable_and_accessible(browser: Any, server: StudyServer, viewport: str) -> None:
    """The page never scrolls sideways, the image fills most of its space, and axe-core finds no violation.

    On a phone, touch targets are at least 44 px high.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    is_phone = viewport == "phone"
    reader = BrowserReader(browser, server, 1, viewport, has_touch=is_phone, is_mobile=is_phone, bypass_csp=True)
    page = reader.page
    width, height = VIEWPORTS[viewport]
    page.get_by_role("heading", name="Reader study").wait_for()  # the script shows the page
    assert find_violations(axe, page) == []
    reader.log_in(N_SCREENS)
    assert find_violations(axe, page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#case canvas").bounding_box()
    assert min(box["width"], box["height"]) >= min(width, height - 110) * (0.9 if is_phone else 0.6)
    if is_phone:
        options = page.locator(".option > span")
        heights = options.evaluate_all("elements => elements.map(element => element.getBoundingClientRect().height)")
        assert min(heights) >= 44
    reader.answer_by_keyboard(3)
    reader.wait_for_screen(2, N_SCREENS)
    reader.press("?")
    assert find_violations(axe, page) == []
    reader.press("Escape", "Enter")
    assert find_violations(axe, page) == []  # with missing fields marked
    client = StudyClient(server, server.codes[0])
    for position in range(N_SCREENS - 1):
        is_pair = client.request("GET", f"/api/cases/{position}").json["pair"]
        client.save(position, ANSWER | ({"quality": None, "findings": []} if is_pair else {}))
    page.reload()
    reader.wait_for_screen(N_SCREENS, N_SCREENS)
    assert page.locator("#case canvas").count() == 2
    assert find_violations(axe, page) == []


def find_violations(axe: Any, page: Any) -> list[str]:
    """The violations that axe-core finds, each with its element."""
    violations = axe.run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in violations for node in rule["nodes"]]


def test_teach_mode(browser: Any, study: Path) -> None:
    """A reader marks findings, sees the classifier's output and similar images, and continues."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    n_lessons = (DESIGN.n + DESIGN.practice) // 2
    with StudyServer(study, "--mode", "teach") as server:
        reader = BrowserReader(browser, server, 1, bypass_csp=True)
        page = reader.page
        reader.log_in(n_lessons)
        assert not page.locator("#confidence").is_visible()
        assert not page.locator("#lesson").is_visible()
        reader.press("n", "Enter")
        reader.expect_text("#lesson", "Classifier: ")
        assert page.locator("#lesson tr").count() == 14
        for image in page.locator("#lesson img").all():
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
        assert find_violations(axe, page) == []
        reader.press("Enter")
        reader.wait_for_screen(2, n_lessons)
        assert not page.locator("#lesson").is_visible()
        assert reader.errors == []
