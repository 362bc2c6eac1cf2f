"""A browser of the system's, driven as a person would: pages, and what they complained of."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

PATIENCE_MS = 60_000.0  # for what takes a moment on an idle machine
SCREENS = ("Overview", "Nodes", "Time", "Graph", "Network", "Compare")


@contextmanager
def browser() -> Iterator[Any]:
    """A browser for several tests; skips those where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        # Without a sandbox, since Chromium has none for root; it opens pages of this machine alone.
        started = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--disable-gpu"],
            env=os.environ | {"TMPDIR": "/tmp"},  # it binds a Unix socket there, whose path must be short
            timeout=4 * PATIENCE_MS,
        )
        try:
            yield started
        finally:
            started.close()


class Seen:
    """A page of the web view, and every complaint of the browser."""

    def __init__(self, page: Page, address: str) -> None:
        from playwright.sync_api import expect

        self.page, self._expect = page, expect
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.goto(address)

    def says(self, selector: str, words: str) -> None:
        """Wait until an element has text that fits a pattern."""
        self._expect(self.page.locator(selector)).to_have_text(re.compile(words), timeout=PATIENCE_MS)

    def shows(self, words: str) -> None:
        """Wait until some element shows just these words."""
        self._expect(self.page.get_by_text(words).first).to_be_visible(timeout=PATIENCE_MS)

    def click_through(self) -> None:
        """Open every screen by its tab, and wait until it stands."""
        for name in SCREENS:
            self.page.locator("#tabs").get_by_text(name).click()
            self._expect(self.page.locator("#tabs [aria-current]")).to_contain_text(name)
            self._expect(self.page.locator("#main > *").first).to_be_attached()

    def saved(self, button: Any) -> bytes:
        """Click what saves something, and return the file."""
        with self.page.expect_download(timeout=PATIENCE_MS) as coming:
            button.click()
        return Path(coming.value.path()).read_bytes()


def write_events(path: Path, events: list[dict[str, Any]]) -> Path:
    """Write a recording; what every event has is added where it is missing."""
    common = {"run": "recorded", "role": "peer", "incarnation": 1}
    lines = [{**common, "seq": i + 1, "time": 1.7e9 + 0.1 * i, **event} for i, event in enumerate(events)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path
