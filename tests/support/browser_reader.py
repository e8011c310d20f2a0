"""A reader at the page of a study in a real Chromium, controlled by Playwright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.study_server import StudyServer

sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install playwright")

CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
TIMEOUT_MS = 60_000
VIEWPORTS = {"phone": (390, 844), "tablet": (820, 1180), "laptop": (1280, 720), "desktop": (1600, 1000)}


class BrowserReader:
    """A reader in a browser context of their own, without cookies and storage."""

    def __init__(
        self, browser: Any, server: StudyServer, number: int, viewport: str = "laptop", **context_options: Any
    ) -> None:
        width, height = VIEWPORTS[viewport]
        self.errors: list[str] = []
        self.context = browser.new_context(viewport={"width": width, "height": height}, **context_options)
        self.context.set_default_timeout(TIMEOUT_MS)
        self.page = self.open_tab(server)
        self.code = server.codes[number - 1]

    def open_tab(self, server: StudyServer) -> Any:
        """Open another tab with the page."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(server.url)
        return page

    def log_in(self, n_screens: int) -> None:
        """Enter the access code and wait for the first screen."""
        self.page.fill("#code", self.code)
        self.page.keyboard.press("Enter")
        self.wait_for_screen(1, n_screens)

    def wait_for_screen(self, number: int, n_screens: int, *, page: Any = None) -> None:
        """Wait until the page shows this screen and accepts input."""
        page = page or self.page
        sync_api.expect(page.locator("#progress")).to_have_text(f"{number} of {n_screens}", timeout=TIMEOUT_MS)
        sync_api.expect(page.locator("#case canvas").first).to_be_visible(timeout=TIMEOUT_MS)
        sync_api.expect(page.locator("#save")).to_be_enabled(timeout=TIMEOUT_MS)
        sync_api.expect(page.locator("#status")).to_have_text("", timeout=TIMEOUT_MS)

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def answer_by_keyboard(self, confidence: int, finding_key: str = "0", quality: int = 3) -> None:
        """Answer with keys only."""
        self.press(str(confidence))
        if self.page.locator("#findings").is_visible():
            self.press(finding_key, f"Shift+Digit{quality}")
        self.press("Enter")

    def answer_by_mouse(self, confidence: int, finding: str = "none", quality: int = 3) -> None:
        """Answer with clicks only."""
        for name, value in (("confidence", confidence), ("finding", finding), ("quality", quality)):
            option = self.page.locator(f".option:has(input[name={name}][value='{value}'])")
            if option.is_visible():
                option.click()
        self.page.click("#save")

    def expect_text(self, selector: str, text: str) -> None:
        """Wait until an element contains the text."""
        sync_api.expect(self.page.locator(selector)).to_contain_text(text, timeout=TIMEOUT_MS)

    def expect_visible(self, selector: str) -> None:
        """Wait until an element is visible."""
        sync_api.expect(self.page.locator(selector)).to_be_visible(timeout=TIMEOUT_MS)

    def expect_checked(self, name: str, value: object) -> None:
        """Wait until an option of the form is selected."""
        option = self.page.locator(f"input[name={name}][value='{value}']")
        sync_api.expect(option).to_be_checked(timeout=TIMEOUT_MS)
