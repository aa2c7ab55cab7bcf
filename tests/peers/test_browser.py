"""The browser that the tests of the pages use sees what a person would see."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.peers.browser import Browser, BrowserError

PAGE = b"""<!doctype html><meta charset=utf-8><title>A page</title><link rel=icon href="data:,">
<style>:root{color-scheme:light dark} body{margin:0;background:#fff}
@media (prefers-color-scheme: dark){body{background:#000}}</style>
<button onclick="document.title = 'clicked'">Press</button><input autofocus>"""


class Answers(http.server.BaseHTTPRequestHandler):
    """Knows one page."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Serve the page on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_a_page_is_opened_clicked_and_seen_in_both_colour_schemes(url: str, tmp_path: Path) -> None:
    """What it shows, what it asks for and what it complains about are known; dark is dark."""
    with Browser(tmp_path) as browser:
        page = browser.page(width=400, height=300)
        page.open(f"{url}/")
        page.click("button")
        assert page.js("document.title") == "clicked"
        page.click("input")
        page.write("words")
        assert page.js("document.querySelector('input').value") == "words"
        assert (page.errors, page.strangers(url)) == ([], [])
        light = Image.open(page.picture(tmp_path / "light.png")).convert("RGB")
        page.look(width=800, height=300, dark=True)
        dark = Image.open(page.picture(tmp_path / "dark.png")).convert("RGB")
        assert (light.size, light.getpixel((200, 250))) == ((400, 300), (255, 255, 255))
        assert (dark.size, dark.getpixel((200, 250))) == ((800, 300), (0, 0, 0))


def test_what_goes_wrong_in_a_page_is_told_and_the_world_cannot_be_reached(
    url: str, tmp_path: Path
) -> None:
    """An exception, a broken link and a request to elsewhere are errors that a test can see."""
    with Browser(tmp_path) as browser:
        page = browser.page()
        page.open(f"{url}/")
        page.js("setTimeout(() => nothing.there, 0), fetch('/broken').then(() => 1)")
        reached = page.js("fetch('https://example.org/').then(() => true, () => false)")
        page.rest(0.5)
        told = "\n".join(page.errors)
        assert not reached
        assert "nothing is not defined" in told
        assert "404" in told
        assert "ERR_NAME_NOT_RESOLVED" in told
        assert page.strangers(url) == ["https://example.org/"]
        with pytest.raises(BrowserError, match="not within"):
            page.wait("document.querySelector('table')", 0.5)
