"""STOW-RS, beside Orthanc's DICOMweb plugin: many small requests, one with many, one large.

Success means synced and in the ledger; Orthanc syncs each file, but not its index.
"""

import http.client
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from bench import contenders, objects
from bench.contenders import Node
from bench.objects import Template
from bench.processes import Peak
from bench.results import Kind
from bench.session import Contender, Field, Session, with_cpu
from bench.units import MB_PER_S, OBJECTS_PER_S, PEAK_MB, Unit

CLIENTS = 8
_PATH = "/dicom-web/studies"
_BOUNDARY = "frontier"
_TYPE = f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}'
_HEAD = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
_TAIL = f"\r\n--{_BOUNDARY}--\r\n".encode()


def run(session: Session) -> None:
    """Measure the three tasks."""
    count, megabytes = session.choose(8, 100, 400), session.choose(4, 50, 500)
    small = objects.small_image(session.folder)
    large = objects.cine(session.folder, megabytes)
    with ExitStack() as stack:
        field, at = Field(session, stack), session.folder
        field.enter("dicom_ai_node", Kind.OURS, lambda: Node.at(at / "ours").web_and_index())
        field.enter("Orthanc", Kind.PEER, lambda: contenders.orthanc_web(at / "orthanc"))
        everybody = field.contenders
        works = {
            f"{count} of 20 KB, a request each, {CLIENTS} clients": partial(
                _one_each, small, count
            ),
            f"{count} of 20 KB in one request": partial(_all_at_once, small, count),
            f"one of {megabytes} MB": partial(_one_large, large),
        }
        for work, task in works.items():
            session.measure(work, everybody, task)
        session.measure(
            f"one of {megabytes} MB", everybody, partial(_weighed, large), at_most=1, is_cold=False
        )


def _files(template: Template, count: int) -> list[bytes]:
    payload = template.payload.read_bytes()
    return [template.new_file_head() + payload for _ in range(count)]


def _one_each(template: Template, count: int, contender: Contender) -> Mapping[Unit, float]:
    """Send each in a request of its own, over one kept connection per client."""
    files = _files(template, count)

    def send(mine: Sequence[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=120)
        for file in mine:
            _post(connection, _HEAD + file + _TAIL)
        connection.close()

    def work() -> tuple[int, Mapping[Unit, float]]:
        began = time.perf_counter()
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(send, [files[start::CLIENTS] for start in range(CLIENTS)]))
        return count, {OBJECTS_PER_S: count / (time.perf_counter() - began)}

    return with_cpu(contender, work)


def _all_at_once(template: Template, count: int, contender: Contender) -> Mapping[Unit, float]:
    body = b"\r\n".join(_HEAD + file for file in _files(template, count)) + _TAIL

    def work() -> tuple[int, Mapping[Unit, float]]:
        connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=120)
        began = time.perf_counter()
        _post(connection, body)
        return count, {OBJECTS_PER_S: count / (time.perf_counter() - began)}

    return with_cpu(contender, work)


def _post(connection: http.client.HTTPConnection, body: bytes) -> None:
    headers = {"Content-Type": _TYPE, "Accept": "application/dicom+json"}
    connection.request("POST", _PATH, body, headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"it answers {answer.status}: {said[:300]!r}")


def _one_large(template: Template, contender: Contender) -> Mapping[Unit, float]:
    return with_cpu(contender, lambda: (1, {MB_PER_S: _send_large(template, contender.port)}))


def _weighed(template: Template, contender: Contender) -> Mapping[Unit, float]:
    """Return how much memory one process needs, in a run that is not timed."""
    if contender.pid is None:
        return {}
    with Peak(contender.pid) as peak:
        _send_large(template, contender.port)
    return {PEAK_MB: peak.mb}


def _send_large(template: Template, port: int) -> float:
    """Send an instance with its pixels from the disk; return MB a second."""
    head = _HEAD + template.new_file_head()
    size = len(head) + template.payload.stat().st_size + len(_TAIL)
    request = (
        f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {_TYPE}\r\nConnection: close\r\n"
        f"Accept: application/dicom+json\r\nContent-Length: {size}\r\n\r\n"
    )
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port), timeout=600) as connection:
        connection.sendall(request.encode() + head)
        with template.payload.open("rb") as file:
            connection.sendfile(file)
        connection.sendall(_TAIL)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if b" 200 " not in answer[:30]:
        raise RuntimeError(f"it answers {answer[:300]!r}")
    return size / 1e6 / (time.perf_counter() - began)
