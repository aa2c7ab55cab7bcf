"""A real browser: Chromium from Debian, without a window, driven by its DevTools protocol.

The protocol is spoken over two pipes, so that no library and no port is needed. Nothing but this
machine can be reached from it: every name resolves to nothing.

    with Browser(tmp_path) as browser:
        page = browser.page(width=1280, height=800)
        page.open(f"{url}/")
        page.wait("document.querySelector('h1')", 20)
        assert page.errors == [] and page.strangers(url) == []
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.tools import find

PATIENCE_SECONDS = 60.0
"""How long one command may take on a machine that does much else."""

_LOW = 10
_SWITCHES = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-sandbox",  # it is only shown what is ours, and in a container it has no right to one
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--lang=en-GB",
    "--mute-audio",
    # WebGL without a graphics card.
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
    "--no-proxy-server",
)


class BrowserError(AssertionError):
    """The browser did not do what it was told, or a condition did not come true."""


class Browser:
    """Starts with `with`, ends with it; its profile is a new folder below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._profile = folder / "chromium"
        self._log = folder / "chromium.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._out = self._in = -1
        self._buffer = b""
        self._number = 0
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Self:
        """Start it."""
        program = find("chromium")
        self._profile.mkdir(parents=True)
        theirs_in, self._out = _pipe()
        self._in, theirs_out = _pipe()
        # It listens on descriptor 3 and answers on 4.
        shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        switches = [*_SWITCHES, f"--user-data-dir={self._profile}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", shell, program, *switches, "about:blank"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs_in, theirs_out),
            )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the process that was started here, and take its profile away."""
        assert self._process
        try:
            self.tell("Browser.close")
        except BrowserError:
            self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        os.close(self._out)
        os.close(self._in)
        shutil.rmtree(self._profile, ignore_errors=True)

    def page(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> "Page":
        """Return a new page in a profile of its own: no cookies of the pages before."""
        context = self.tell("Target.createBrowserContext")["browserContextId"]
        target = self.tell("Target.createTarget", url="about:blank", browserContextId=context)
        told = self.tell("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        session = told["sessionId"]
        page = self._pages[session] = Page(self, session, context)
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.tell(f"{domain}.enable")
        page.look(width=width, height=height, dark=dark)
        return page

    def tell(self, method: str, session: str | None = None, /, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """Give one command of the protocol and return its answer."""
        self._number += 1
        number = self._number
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        try:
            os.write(self._out, json.dumps(message).encode() + b"\0")
        except BrokenPipeError as error:
            raise BrowserError(self._last_words()) from error
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            said = self._read(deadline, method)
            if said.get("id") != number:
                self._happened(said)
            elif "error" in said:
                raise BrowserError(f"{method}: {said['error']['message']}")
            else:
                return said["result"]

    def listen(self, seconds: float) -> None:
        """Take in what happens for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if b"\0" in self._buffer or self._is_readable(deadline):
                self._happened(self._read(deadline + PATIENCE_SECONDS, "the rest of a message"))

    def _is_readable(self, deadline: float) -> bool:
        left = max(0.0, deadline - time.monotonic())
        return bool(select.select([self._in], [], [], left)[0])

    def _read(self, deadline: float, what: str) -> Mapping[str, Any]:
        pieces = []
        while b"\0" not in self._buffer:
            if not self._is_readable(deadline):
                raise BrowserError(f"no answer in time: {what}")
            pieces.append(self._buffer)
            self._buffer = os.read(self._in, 1 << 20)
            if not self._buffer:
                raise BrowserError(self._last_words())
        last, self._buffer = self._buffer.split(b"\0", 1)
        said: Mapping[str, Any] = json.loads(b"".join([*pieces, last]))
        return said

    def _last_words(self) -> str:
        return "the browser has ended: " + self._log.read_text(errors="replace")[-2000:]

    def _happened(self, said: Mapping[str, Any]) -> None:
        if page := self._pages.get(said.get("sessionId", "")):
            page.happened(said.get("method", ""), said.get("params", {}))


class Page:
    """One page: what it asked for, what it complained about, what it looks like."""

    def __init__(self, browser: Browser, session: str, context: str) -> None:
        self._browser = browser
        self._session = session
        self._context = context
        self.requests: list[str] = []
        """The address of everything it asked for."""
        self.errors: list[str] = []
        """What its console calls an error: exceptions, broken links, what the policy forbids."""
        self.warnings: list[str] = []
        self.statuses: dict[str, int] = {}
        """The status of the last answer to each address."""

    def tell(self, method: str, /, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """Give one command of the protocol to this page and return its answer."""
        return self._browser.tell(method, self._session, **parameters)

    def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """Be a screen of this size, whose owner likes dark or light pages."""
        self.tell(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.tell("Emulation.setEmulatedMedia", features=[scheme])

    def say(self, **headers: str) -> None:
        """Send these headers with every request from now on: `say(Authorization="Bearer ...")`."""
        self.tell("Network.setExtraHTTPHeaders", headers=headers)

    def without_scripts(self) -> None:
        """Run no scripts from the next page on."""
        self.tell("Emulation.setScriptExecutionDisabled", value=True)

    def open(self, url: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Open an address and wait until it has loaded."""
        answer = self.tell("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'", seconds)

    def js(self, expression: str) -> Any:  # noqa: ANN401 - JSON
        """Return the value of an expression; a promise is awaited."""
        answer = self.tell(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: float = PATIENCE_SECONDS) -> Any:  # noqa: ANN401 - JSON
        """Return the value of an expression once it is true; fail with what the page says."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if value := self.js(condition if condition.endswith(")()") else f"!!({condition})"):
                    return value
            except BrowserError:
                # Between two documents there is nothing to ask.
                if time.monotonic() + 1 > deadline:
                    raise
            self._browser.listen(0.1)
        raise BrowserError(
            f"not within {seconds:g} s: {condition}\n{self.errors}\n{self.text()[-2000:]}"
        )

    def text(self) -> str:
        """Return the text of the page as it is seen."""
        return str(self.js("document.body ? document.body.innerText : ''"))

    def click(self, selector: str) -> None:
        """Click the middle of the first element that matches, as a mouse does."""
        quoted = json.dumps(selector)
        self.wait(f"document.querySelector({quoted})", 20)
        self.click_on(f"document.querySelector({quoted})")

    def click_on(self, element: str, times: int = 1) -> None:
        """Click the middle of the element that an expression gives, `times` in quick succession."""
        where = self.js(
            f"(() => {{const e = {element}; e.scrollIntoView({{block: 'nearest'}});"
            "const b = e.getBoundingClientRect();"
            "return {x: b.x + b.width / 2, y: b.y + b.height / 2}})()"
        )
        self.tell("Input.dispatchMouseEvent", type="mouseMoved", **where)
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.tell(
                    "Input.dispatchMouseEvent", type=kind, button="left", clickCount=count, **where
                )

    def write(self, text: str) -> None:
        """Type text where the cursor stands."""
        self.tell("Input.insertText", text=text)

    def press(self, key: str, code: int = 0) -> None:
        """Press one key, such as `Enter` (13), `Tab` (9) or `Escape` (27)."""
        told: dict[str, object] = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        if key == "Enter":
            told["text"] = "\r"
        self.tell("Input.dispatchKeyEvent", type="keyDown", **told)
        self.tell("Input.dispatchKeyEvent", type="keyUp", **told)

    def rest(self, seconds: float) -> None:
        """Let the page go on for a while."""
        self._browser.listen(seconds)

    def picture(self, path: Path, *, whole: bool = False, quality: int | None = None) -> Path:
        """Write a screenshot to `path`: PNG, or JPEG with `quality`; the `whole` page if asked."""
        told: dict[str, object] = {"format": "png", "captureBeyondViewport": whole}
        if quality is not None:
            told |= {"format": "jpeg", "quality": quality}
        if whole:
            size = self.tell("Page.getLayoutMetrics")["cssContentSize"]
            told["clip"] = {
                "x": 0,
                "y": 0,
                "width": size["width"],
                "height": size["height"],
                "scale": 1,
            }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", **told)["data"]))
        return path

    def cookies(self) -> list[dict[str, Any]]:
        """Return the cookies that the page holds."""
        found: list[dict[str, Any]] = self.tell("Network.getCookies")["cookies"]
        return found

    def strangers(self, origin: str) -> list[str]:
        """Return what it asked for that is not of `origin`: `http://127.0.0.1:8080`."""
        own = (f"{origin.rstrip('/')}/", "data:", "blob:", "about:")
        sockets = origin.replace("http", "ws", 1)
        return [each for each in self.requests if not each.startswith((*own, f"{sockets}/"))]

    def close(self) -> None:
        """Close it and forget its cookies."""
        self._browser.tell("Target.disposeBrowserContext", browserContextId=self._context)

    def happened(self, method: str, told: Mapping[str, Any]) -> None:
        """Take down one event."""
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(told["url"])
            case "Network.responseReceived":
                self.statuses[told["response"]["url"]] = told["response"]["status"]
            case "Runtime.exceptionThrown":
                details = told["exceptionDetails"]
                said = details.get("exception", {}).get("description", "")
                self.errors.append(f"{details['text']} {said}")
            case "Runtime.consoleAPICalled" if told["type"] in {"error", "assert"}:
                self.errors.append(_words(told["args"]))
            case "Runtime.consoleAPICalled" if told["type"] == "warning":
                self.warnings.append(_words(told["args"]))
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                entry = told["entry"]
                self.errors.append(f"{entry['text']} {entry.get('url', '')}")


def _words(arguments: list[Mapping[str, Any]]) -> str:
    return " ".join(str(each.get("value", each.get("description", ""))) for each in arguments)


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends do not stand where the shell puts them, 3 and 4."""
    ends = []
    for low in os.pipe():
        ends.append(fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _LOW))
        os.close(low)
    return ends[0], ends[1]
