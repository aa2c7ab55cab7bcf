"""Takes STOW-RS requests and throws them away: `python -m bench.web_sink PORT`.

It looks at lengths and, for its answer, at the names in the file meta information of what comes; so
a sender is measured and not what it speaks with.
"""

import json
import re
import socket
import sys
import threading
from collections.abc import Iterator
from typing import BinaryIO

_ROOM = 1 << 20
_FAR = 4 * _ROOM
"""Whoever sends so much without a name sends one large object, and nothing more is looked for."""
_NAMES = re.compile(rb"\x02\x00\x02\x00UI..([\d.]+)\0?\x02\x00\x03\x00UI..([\d.]+)", re.DOTALL)
"""Media Storage SOP Class UID and Media Storage SOP Instance UID, PS3.10 Table 7.1-1."""
_LONGEST_NAMES = 160


def main(port: int) -> None:
    """Answer until it is ended."""
    with socket.create_server(("127.0.0.1", port)) as door:
        while True:
            connection, _ = door.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    with connection, connection.makefile("rb", _ROOM) as stream:
        while stream.readline():  # the line that says what is asked
            headers = dict(_headers(stream))
            seen = _Seen()
            if headers.get(b"transfer-encoding") == b"chunked":
                while (size := int(stream.readline(), 16)) > 0:
                    _drain(stream, size, seen)
                    stream.readline()
                stream.readline()
            else:
                _drain(stream, int(headers.get(b"content-length", 0)), seen)
            connection.sendall(seen.answer())


def _headers(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while line := stream.readline().strip().lower():
        name, _, value = line.partition(b":")
        yield name, value.strip()


class _Seen:
    """Which objects have come in one request."""

    def __init__(self) -> None:
        self._room = bytearray(_LONGEST_NAMES + _ROOM)
        self.into = memoryview(self._room)[_LONGEST_NAMES:]
        self._names: dict[bytes, bytes] = {}
        self._unnamed_bytes = 0

    def look(self, size: int) -> None:
        """Look for names in what has been read, and in the end of what was read before."""
        self._unnamed_bytes += size
        if self._unnamed_bytes > _FAR:
            return
        end = _LONGEST_NAMES + size
        for found in _NAMES.finditer(self._room, 0, end):
            self._names[found[2]] = found[1]
            self._unnamed_bytes = 0
        self._room[:_LONGEST_NAMES] = self._room[end - _LONGEST_NAMES : end]

    def answer(self) -> bytes:
        """Return the answer that all of them are stored, PS3.18 Table I.2-1."""
        stored = [
            {
                "00081150": {"vr": "UI", "Value": [sop_class.decode()]},
                "00081155": {"vr": "UI", "Value": [sop_instance.decode()]},
            }
            for sop_instance, sop_class in self._names.items()
        ]
        body = json.dumps({"00081199": {"vr": "SQ", "Value": stored}}).encode()
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _drain(stream: BinaryIO, size: int, seen: _Seen) -> None:
    while size > 0:
        got = stream.readinto(seen.into[: min(size, _ROOM)])  # type: ignore[attr-defined]
        if not got:
            raise ConnectionError("the request ends in the middle")
        seen.look(got)
        size -= got


if __name__ == "__main__":
    main(int(sys.argv[1]))
