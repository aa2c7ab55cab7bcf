"""Takes STOW-RS requests and throws them away: `python -m bench.web_sink PORT ANSWER`.

Every request is answered with the file ANSWER, which names whatever may have been sent. It looks at
nothing but lengths, so that a sender is measured and not what it speaks with.
"""

import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_ROOM = 1 << 20


def main(port: int, answer: bytes) -> None:
    """Answer until it is ended."""
    reply = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
        + f"Content-Length: {len(answer)}\r\n\r\n".encode()
        + answer
    )
    with socket.create_server(("127.0.0.1", port)) as door:
        while True:
            connection, _ = door.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(connection, reply), daemon=True).start()


def _serve(connection: socket.socket, reply: bytes) -> None:
    room = memoryview(bytearray(_ROOM))
    with connection, connection.makefile("rb", _ROOM) as stream:
        while stream.readline():  # the line that says what is asked
            headers = dict(_headers(stream))
            if headers.get(b"transfer-encoding") == b"chunked":
                while (size := int(stream.readline(), 16)) > 0:
                    _drain(stream, size, room)
                    stream.readline()
                stream.readline()
            else:
                _drain(stream, int(headers.get(b"content-length", 0)), room)
            connection.sendall(reply)


def _headers(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while line := stream.readline().strip().lower():
        name, _, value = line.partition(b":")
        yield name, value.strip()


def _drain(stream: BinaryIO, size: int, room: memoryview) -> None:
    while size > 0:
        got = stream.readinto(room[: min(size, _ROOM)])  # type: ignore[attr-defined]
        if not got:
            raise ConnectionError("the request ends in the middle")
        size -= got


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes())
