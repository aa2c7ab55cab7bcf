"""A DICOMweb service that answers what it is told to: a real HTTP server on loopback."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

from pydicom import dcmread


@dataclass
class Request:
    """One POST: its headers and the Part 10 files in it."""

    path: str
    headers: Message
    parts: list[bytes]

    @property
    def uids(self) -> list[str]:
        """The SOP Instance UIDs, in order."""
        return [str(dcmread(BytesIO(part)).SOPInstanceUID) for part in self.parts]


@dataclass
class Answer:
    """What the service says."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Stow:
    """What came in, and where it listens."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)


@contextmanager
def stow(answer: Callable[[Request], Answer]) -> Iterator[Stow]:
    """Listen and answer each POST with what `answer` returns."""
    seen = Stow()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Request(self.path, self.headers, _parts(body, self.headers))
            seen.requests.append(request)
            self._say(answer(request))

        def do_OPTIONS(self) -> None:
            self._say(answer(Request(self.path, self.headers, [])))

        def _say(self, said: Answer) -> None:
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            self.wfile.write(said.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    seen.url = f"http://127.0.0.1:{server.server_address[1]}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def response(
    stored: Sequence[str] = (),
    failed: Sequence[tuple[str, int]] = (),
    warned: Sequence[tuple[str, int]] = (),
) -> bytes:
    """Return a Store Instances Response in DICOM JSON, PS3.18 I.2."""

    def item(uid: str, tag: str = "", reason: int = 0) -> dict[str, object]:
        element: dict[str, object] = {"00081155": {"vr": "UI", "Value": [uid]}}
        return element | ({tag: {"vr": "US", "Value": [reason]}} if tag else {})

    answer: dict[str, object] = {}
    if stored or warned:
        items = [item(uid) for uid in stored] + [item(uid, "00081196", why) for uid, why in warned]
        answer["00081199"] = {"vr": "SQ", "Value": items}
    if failed:
        answer["00081198"] = {
            "vr": "SQ",
            "Value": [item(uid, "00081197", why) for uid, why in failed],
        }
    return json.dumps(answer).encode()


def _parts(body: bytes, headers: Message) -> list[bytes]:
    boundary = b"--" + headers["Content-Type"].split("boundary=")[1].encode()
    parts = body.split(boundary)
    assert parts[0] == b""
    assert parts[-1] == b"--\r\n"
    return [part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n") for part in parts[1:-1]]
