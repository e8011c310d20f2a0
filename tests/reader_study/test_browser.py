"""The page in a real Chromium: whole sessions by keyboard, mouse and finger, interruptions, two readers, axe-core."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.small_study import Inputs, make
from support.study_server import ANSWER, Client, StudyServer

from synthcxr.reader_study import answer, public_files
from synthcxr.reader_study.answer_store import Answers
from synthcxr.reader_study.design import Design
from synthcxr.stages import reader_study_analyse

sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium: apt-get install chromium"),
]

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
DESIGN = Design(n=16, readers=2, repeats=2, practice=2, pairs=2, findings=())
N = 2 + 16 + 2 + 2 + 2
WAIT_MS = 60_000
SIZES = {"phone": (390, 844), "tablet": (820, 1180), "laptop": (1280, 720), "desktop": (1600, 1000)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium without any window."""
    with sync_api.sync_playwright() as playwright:
        held = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=120_000)
        yield held
        held.close()


@pytest.fixture
def study(inputs: Inputs, tmp_path: Path) -> Path:
    """A study that nobody has read: 16 images, 2 repeats, 2 pairs, 2 practice images and pairs."""
    make(inputs, tmp_path / "study", DESIGN)
    return tmp_path / "study"


@pytest.fixture
def server(study: Path) -> Iterator[StudyServer]:
    """The study, served."""
    with StudyServer(study) as running:
        yield running


class Reader:
    """Someone at the page, in a browser of his own, empty and without a past."""

    def __init__(self, browser: Any, server: StudyServer, number: int, size: str = "laptop", **context: Any) -> None:
        width, height = SIZES[size]
        self.errors: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": height}, **context)
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.another(server)
        self.code = server.codes[number - 1]

    def another(self, server: StudyServer) -> Any:
        """One more tab."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(server.url)
        return page

    def enter(self) -> None:
        self.page.fill("#code", self.code)
        self.page.keyboard.press("Enter")
        self.on(self.page, 1)

    def on(self, page: Any, at: int, n: int = N) -> None:
        """Wait until the page shows this screen, ready."""
        sync_api.expect(page.locator("#progress")).to_have_text(f"{at} of {n}", timeout=WAIT_MS)
        sync_api.expect(page.locator("#case canvas").first).to_be_visible(timeout=WAIT_MS)
        sync_api.expect(page.locator("#save")).to_be_enabled(timeout=WAIT_MS)
        sync_api.expect(page.locator("#status")).to_have_text("", timeout=WAIT_MS)

    def by_keyboard(self, confidence: int, findings: str = "0", quality: int = 3) -> None:
        """Answer with keys alone."""
        self.page.keyboard.press(str(confidence))
        if self.page.locator("#findings").is_visible():
            self.page.keyboard.press(findings)
            self.page.keyboard.press(f"Shift+Digit{quality}")
        self.page.keyboard.press("Enter")

    def by_mouse(self, confidence: int, finding: str = "none", quality: int = 3) -> None:
        """Answer with clicks alone."""
        for name, value in (("confidence", confidence), ("finding", finding), ("quality", quality)):
            option = self.page.locator(f".option:has(input[name={name}][value='{value}'])")
            if option.is_visible():
                option.click()
        self.page.click("#save")


def kept(study: Path, reader: int = 1) -> list[answer.Answer]:
    """The answers that stand, in order."""
    held = Answers(study / "answers.sqlite", public_files.read(study).study)
    return [answer.of_json(text) for who, _, text, _ in held.everything() if who == reader]


def test_a_session_by_keyboard(browser: Any, server: StudyServer, study: Path) -> None:
    """From the code to the thanks without touching the mouse; every answer is kept as it was keyed, and analysed."""
    reader = Reader(browser, server, 1)
    reader.enter()
    for at in range(N):
        reader.on(reader.page, at + 1)
        reader.by_keyboard(1 + at % 5, "e" if at % 2 else "0", 1 + at % 4)
    sync_api.expect(reader.page.locator("#done")).to_be_visible(timeout=WAIT_MS)
    answers = kept(study)
    assert [held.confidence for held in answers] == [1 + at % 5 for at in range(N)]
    singles = [(at, held) for at, held in enumerate(answers) if held.quality is not None]
    assert len(singles) == N - 4
    assert all(held.findings == (("Effusion",) if at % 2 else ()) for at, held in singles)
    assert all(held.quality == 1 + at % 4 for at, held in singles)
    assert reader.errors == []
    found = reader_study_analyse.run(study, key=study / "key", out=study / "analysis", seed=0)
    assert found.result["readers"]["1"]["complete"]


def test_a_session_by_mouse(browser: Any, server: StudyServer, study: Path) -> None:
    """A whole session by clicks; window, level, zoom and pan by dragging and the wheel change what is shown."""
    reader = Reader(browser, server, 2, "desktop")
    page = reader.page
    page.fill("#code", reader.code)
    page.click("#enter button")
    reader.on(page, 1)
    box = page.locator("#case canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    assert page.inner_text("#window").split() == ["100", "%", "W", "255", "L", "128"]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 80, y - 60, steps=4)
    page.mouse.up()
    assert page.inner_text("#window").split() == ["100", "%", "W", "175", "L", "98"]
    page.mouse.wheel(0, -300)
    sync_api.expect(page.locator("#window")).not_to_contain_text("100 %", timeout=WAIT_MS)
    page.mouse.down(button="right")
    page.mouse.move(x + 50, y, steps=4)
    page.mouse.up(button="right")
    page.click("[data-tool=invert]")
    sync_api.expect(page.locator("[data-tool=invert]")).to_have_attribute("aria-pressed", "true")
    page.click("[data-tool=reset]")
    assert page.inner_text("#window").split() == ["100", "%", "W", "255", "L", "128"]
    for at in range(N):
        reader.on(page, at + 1)
        reader.by_mouse(5 - at % 5, "Mass" if at % 3 else "none", 4)
    sync_api.expect(page.locator("#done")).to_be_visible(timeout=WAIT_MS)
    assert [held.confidence for held in kept(study, 2)] == [5 - at % 5 for at in range(N)]
    assert reader.errors == []


def test_nothing_is_saved_by_halves(browser: Any, server: StudyServer, study: Path) -> None:
    """Enter with something missing says what, keeps nothing, and goes on when it is there; no finding and a finding
    exclude each other."""
    reader = Reader(browser, server, 1)
    reader.enter()
    page = reader.page
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    sync_api.expect(page.locator("#findings")).to_have_class("missing")
    assert kept(study) == []
    for key in ("0", "n", "m", "n"):
        page.keyboard.press(key)
    assert page.locator("input[name=finding]:checked").evaluate_all("held => held.map(i => i.value)") == ["Mass"]
    page.keyboard.press("Shift+Digit5")
    page.keyboard.press("/")
    page.keyboard.type("left 12e")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    reader.on(page, 2)
    assert kept(study) == [answer.Answer(4, 5, ("Mass",), "left 12e")]


def test_undo(browser: Any, server: StudyServer, study: Path) -> None:
    """Undo takes back the last step of the form, then shows the image before, whose answer can be changed."""
    reader = Reader(browser, server, 1)
    reader.enter()
    reader.by_keyboard(2)
    page = reader.page
    reader.on(page, 2)
    page.keyboard.press("5")
    page.keyboard.press("u")
    sync_api.expect(page.locator("input[name=confidence]:checked")).to_have_count(0)
    page.keyboard.press("u")
    sync_api.expect(page.locator("#progress")).to_have_text(f"1 of {N}", timeout=WAIT_MS)
    sync_api.expect(page.locator("input[name=confidence][value='2']")).to_be_checked(timeout=WAIT_MS)
    sync_api.expect(page.locator("input[name=finding][value='none']")).to_be_checked()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    reader.on(page, 2)
    assert [held.confidence for held in kept(study)] == [1]


def test_a_reload_costs_nothing(browser: Any, server: StudyServer, study: Path) -> None:
    """What was chosen but not saved is there again after a reload, and the reader is still entered."""
    reader = Reader(browser, server, 1)
    reader.enter()
    reader.by_keyboard(2)
    page = reader.page
    reader.on(page, 2)
    for key in ("4", "x"):
        page.keyboard.press(key)
    page.reload()
    reader.on(page, 2)
    sync_api.expect(page.locator("input[name=confidence][value='4']")).to_be_checked(timeout=WAIT_MS)
    sync_api.expect(page.locator("input[name=finding][value='Pneumothorax']")).to_be_checked()
    page.keyboard.press("Shift+Digit2")
    page.keyboard.press("Enter")
    reader.on(page, 3)
    assert kept(study)[1] == answer.Answer(4, 2, ("Pneumothorax",), "")


def test_the_server_dies_in_between(browser: Any, server: StudyServer, study: Path) -> None:
    """An answer given while the server is dead is held and said to be unsaved; it is kept once, when it is back."""
    reader = Reader(browser, server, 1)
    reader.enter()
    server.kill()
    page = reader.page
    reader.by_keyboard(5)
    sync_api.expect(page.locator("#notice")).to_contain_text("Not saved yet", timeout=WAIT_MS)
    sync_api.expect(page.locator("#progress")).to_have_text(f"1 of {N}")
    server.start()
    reader.on(page, 2)
    with contextlib.closing(sqlite3.connect(study / "answers.sqlite")) as held:
        assert held.execute("SELECT position, version FROM answers").fetchall() == [(0, 1)]


def test_two_tabs(browser: Any, server: StudyServer, study: Path) -> None:
    """The tab that answers second is told, sees the other's answer, and overwrites it only knowingly."""
    reader = Reader(browser, server, 1)
    reader.enter()
    first, second = reader.page, reader.another(server)
    reader.on(second, 1)
    reader.by_keyboard(1)
    reader.on(first, 2)
    reader.page = second
    reader.by_keyboard(5)
    sync_api.expect(second.locator("#notice")).to_contain_text("another window", timeout=WAIT_MS)
    sync_api.expect(second.locator("input[name=confidence][value='1']")).to_be_checked()
    assert kept(study)[0].confidence == 1
    second.keyboard.press("4")
    second.keyboard.press("Enter")
    reader.on(second, 2)
    assert kept(study)[0].confidence == 4


def test_two_readers_at_once(browser: Any, server: StudyServer, study: Path) -> None:
    """Two readers in turn, screen by screen: each has his own order and answers."""
    readers = [Reader(browser, server, number) for number in (1, 2)]
    for reader in readers:
        reader.enter()
    for at in range(6):
        for number, reader in enumerate(readers, start=1):
            reader.on(reader.page, at + 1)
            reader.by_keyboard(number)
    for number, reader in enumerate(readers, start=1):
        reader.on(reader.page, 7)
        assert [held.confidence for held in kept(study, number)] == [number] * 6


def test_the_clock_stands_while_paused(browser: Any, server: StudyServer, study: Path) -> None:
    """Seconds of a pause are not counted."""
    reader = Reader(browser, server, 1)
    began = time.monotonic()
    reader.enter()
    reader.page.keyboard.press("b")
    reader.page.wait_for_timeout(3000)
    sync_api.expect(reader.page.locator("#rest")).to_be_visible(timeout=WAIT_MS)
    paused_s = time.monotonic() - began
    reader.page.keyboard.press("Enter")
    sync_api.expect(reader.page.locator("#rest")).to_be_hidden(timeout=WAIT_MS)
    reader.by_keyboard(3)
    reader.on(reader.page, 2)
    with contextlib.closing(sqlite3.connect(study / "answers.sqlite")) as held:
        (counted_s,) = held.execute("SELECT seconds FROM answers").fetchone()
    assert counted_s <= time.monotonic() - began - min(paused_s, 2.9)


def test_another_machine_goes_on(browser: Any, server: StudyServer) -> None:
    """After leaving, the same code goes on elsewhere with the next image; a wrong code is told so."""
    first = Reader(browser, server, 1)
    first.enter()
    first.by_keyboard(2)
    first.on(first.page, 2)
    first.page.click("#leave")
    sync_api.expect(first.page.locator("#enter")).to_be_visible(timeout=WAIT_MS)
    second = Reader(browser, server, 1, "phone")
    second.page.fill("#code", "aaaa-bbbb-cccc-dddd")
    second.page.keyboard.press("Enter")
    sync_api.expect(second.page.locator("#enter-error")).to_contain_text("not known", timeout=WAIT_MS)
    second.page.fill("#code", second.code.upper())
    second.page.keyboard.press("Enter")
    second.on(second.page, 2)


@pytest.mark.parametrize(
    "size", ["phone", "desktop", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tablet", "laptop"))]
)
def test_every_width_is_legible_and_accessible(browser: Any, server: StudyServer, size: str) -> None:
    """On each width the page never scrolls sideways, the image takes most of its place, what is touched on a phone is
    44 px high at least, and axe-core finds nothing wrong on any of its screens."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    phone = size == "phone"
    reader = Reader(browser, server, 1, size, has_touch=phone, is_mobile=phone, bypass_csp=True)
    page = reader.page
    width = SIZES[size][0]
    page.get_by_role("heading", name="Reader study").wait_for()  # the page is drawn by its script
    assert problems(axe, page) == []
    reader.enter()
    assert problems(axe, page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.locator("#case canvas").bounding_box()
    assert min(box["width"], box["height"]) >= min(width, SIZES[size][1] - 110) * (0.9 if phone else 0.6)
    if phone:
        heights = page.locator(".option > span").evaluate_all("held => held.map(e => e.getBoundingClientRect().height)")
        assert min(heights) >= 44
    reader.by_keyboard(3)
    reader.on(page, 2)
    page.keyboard.press("?")
    assert problems(axe, page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    assert problems(axe, page) == []  # with what is missing marked
    window = Client(server, server.codes[0])
    for position in range(N - 1):
        pair = window.ask("GET", f"/api/cases/{position}").json["pair"]
        window.save(position, ANSWER | ({"quality": None, "findings": []} if pair else {}))
    page.reload()
    reader.on(page, N)
    assert page.locator("#case canvas").count() == 2
    assert problems(axe, page) == []
    page.screenshot(path=str(server.study.parent / f"{size}.png"))


def problems(axe: Any, page: Any) -> list[str]:
    """What axe-core says is wrong, each with where."""
    found = axe.run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


def test_teaching(browser: Any, study: Path) -> None:
    """A lesson: find, compare with the classifier, see images like it, go on; axe-core finds nothing wrong."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with StudyServer(study, "--mode", "teach") as server:
        reader = Reader(browser, server, 1, bypass_csp=True)
        page = reader.page
        page.fill("#code", reader.code)
        page.keyboard.press("Enter")
        n = (DESIGN.n + DESIGN.practice) // 2
        reader.on(page, 1, n)
        assert not page.locator("#confidence").is_visible()
        assert not page.locator("#lesson").is_visible()
        page.keyboard.press("n")
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#lesson")).to_contain_text("The classifier says", timeout=WAIT_MS)
        assert page.locator("#lesson tr").count() == 14
        for image in page.locator("#lesson img").all():
            assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 64
        assert problems(axe, page) == []
        page.keyboard.press("Enter")
        reader.on(page, 2, n)
        assert not page.locator("#lesson").is_visible()
        assert reader.errors == []
