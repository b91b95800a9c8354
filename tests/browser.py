"""A real browser that draws, clicks and types on a page of a running service."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright
from running_service import DEADLINE

REJECTED = "Failed to load resource"  # what the browser says of every 4xx


@contextlib.contextmanager
def browser(path: str) -> Iterator[Browser]:
    """The browser at this path."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield running
        running.close()


class Visit:
    """A page that is open, with all that it has asked for, and what the browser has complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", self._asked)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def open(self, url: str) -> None:
        """Open a URL, and wait until the page has started."""
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready]", timeout=60_000)

    def draw(self, *points: tuple[float, float]) -> None:
        """A stroke through these places, 0 to 1 of the sheet."""
        box = self.page.locator("#drawing").bounding_box()
        assert box
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for x, y in places[1:]:
            self.page.mouse.move(x, y, steps=8)
        self.page.mouse.up()

    def text(self, selector: str) -> str:
        """The text of an element."""
        return self.page.locator(selector).inner_text()

    def wait_for(self, expression: str, argument: Any = None) -> None:
        """Wait until an expression of JavaScript is true; the page's policy forbids Playwright's own way to wait."""
        deadline = time.monotonic() + DEADLINE
        while not self.page.evaluate(expression, argument):
            assert time.monotonic() < deadline, expression
            self.page.wait_for_timeout(20)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith(("data:", "blob:")):
            self.requests.append(request.url)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and REJECTED not in message.text:
            self.complaints.append(message.text)
