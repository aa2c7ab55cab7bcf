"""A node that takes instances by HTTP, on a free port, and a client that says what a test wants."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import uvicorn
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite

from dicom_ai_node.domain.ports import Blobs
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.depot import Depot
from dicom_ai_node.receive.desk import Inbox
from dicom_ai_node.receive.server import Limits, listening_socket
from dicom_ai_node.receive.web import store_router
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.doors import OpenDoor
from dicom_ai_node.store.blobs import FolderBlobs
from tests.receive.conftest import OWN_DEVICE_UID, Diary

TYPE = 'multipart/related; type="application/dicom"; boundary=frontier'
JSON_TYPE = 'multipart/related; type="application/dicom+json"; boundary=frontier'


def part10(dataset: Dataset) -> bytes:
    """Return a data set as a Part 10 file."""
    file = BytesIO()
    dcmwrite(file, dataset, enforce_file_format=True)
    return file.getvalue()


def body(*parts: bytes, kind: str = "application/dicom", end: bytes = b"--frontier--\r\n") -> bytes:
    """Return a multipart body of parts of one type."""
    head = f"--frontier\r\nContent-Type: {kind}\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + end


class WebNode:
    """A node and what it handed on."""

    def __init__(self, root: Path, blobs: Blobs | None, limits: Limits) -> None:
        self.root = root
        self.diary = Diary()
        self.blobs = blobs or FolderBlobs(root)
        inbox = Inbox(
            room=self.diary.room,
            arrive=self.diary.arrive,
            released=self.diary.release,
            refused=self.diary.refuse,
            own_device_uids=frozenset({OWN_DEVICE_UID}),
        )
        depot = Depot(
            blobs=self.blobs,
            inbox=inbox,
            called=AETitle("AI_NODE"),
            record=self.diary.arrive_all,
            record_along=self.diary.arrive_all,
            limits=limits,
        )
        app = application(OpenDoor(), [store_router(depot, needs(Role.SENDER))])
        self._server = uvicorn.Server(
            uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
        )
        self._listening = listening_socket("127.0.0.1", 0)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/dicom-web"
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listening]}
        )

    def __enter__(self) -> Self:
        """Answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def post(
        self, content: bytes | Iterator[bytes], study: str = "", **headers: str
    ) -> httpx.Response:
        """Send a body; headers are named with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.post(
            f"{self.url}/studies{study and '/'}{study}",
            content=content,
            headers={"Content-Type": TYPE, **named},
            timeout=30,
            trust_env=False,
        )

    def store(self, *datasets: Dataset, study: str = "") -> httpx.Response:
        """Send data sets as Part 10 files in one request."""
        return self.post(body(*map(part10, datasets)), study)

    def raw(self, *, length: int | None = None, headers: str = "") -> socket.socket:
        """Open a connection and send the head of a request."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        connection.sendall(
            f"POST /dicom-web/studies HTTP/1.1\r\nHost: a\r\nContent-Type: {TYPE}\r\n"
            f"{size}\r\n{headers}\r\n".encode()
        )
        return connection

    def files(self, folder: str) -> list[Path]:
        """Return the files of the store in `spool` or `blobs`."""
        return [path for path in (self.root / folder).rglob("*") if path.is_file()]

    def sees(self, condition: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Return whether something becomes true in good time."""
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            time.sleep(0.01)
        return condition()


def heard(connection: socket.socket) -> tuple[int, bytes]:
    """Return the status and all of an answer, until the connection ends."""
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-le")]
        if length and len(rest) >= int(length[0].split(b":")[1]):
            break
    return int(answer.split(b" ")[1]), answer


def values(answer: httpx.Response, sequence: str, tag: str) -> list[Any]:
    """Return one element of each item of a sequence of an answer."""
    items: Sequence[dict[str, Any]] = json.loads(answer.content).get(sequence, {}).get("Value", [])
    return [item[tag]["Value"][0] if tag in item else None for item in items]


StartWeb = Callable[..., WebNode]


@pytest.fixture
def start_web(quick_path: Path) -> Iterator[StartWeb]:
    """Start nodes with whatever limits a test wants; they end with it."""
    running: list[WebNode] = []

    def begin(blobs: Blobs | None = None, **limits: float) -> WebNode:
        made = WebNode(quick_path / f"web{len(running)}", blobs, replace(Limits(), **limits))
        running.append(made.__enter__())
        return made

    yield begin
    for node in running:
        node.__exit__()


@pytest.fixture
def web(start_web: StartWeb) -> WebNode:
    """Return a node as it comes."""
    return start_web()
