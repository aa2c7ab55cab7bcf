"""Sends objects by C-STORE as fast as a program can: what is sent is ready before it begins.

A process of its own, which knows nothing but the standard library. It reads what to send as JSON
from its standard input, says `ready`, waits for a line, sends, and prints when it began, when it
ended (CLOCK_MONOTONIC, the same for all processes of a machine) and how many objects were answered
with success. Every object has the same bytes but for its SOP Instance UID.
"""

import json
import mmap
import secrets
import socket
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PLACEHOLDER = "2.25." + "7" * 39
"""The SOP Instance UID in a template; so long that each can be replaced by one as long."""

_CONTEXT = 1
_IOV_MAX = 1024
_LONGEST_PDU = 131072
_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
_IMPLEMENTATION = b"2.25.329800735698586629295641978511506172918"
_SUCCESS = 0
_NOT_NOW_SECONDS = 0.05
"""Until a receiver that has too many guests is asked again."""

Pieces = Sequence[bytes | memoryview]


def new_uid() -> str:
    """Return a UID that is as long as the placeholder."""
    return f"2.25.1{secrets.randbelow(10**38):038d}"


class Scu:
    """One association with one presentation context."""

    def __init__(self, port: int, sop_class: str, syntax: str) -> None:
        self._sop_class = sop_class.encode()
        while True:
            self._sock = socket.create_connection(("127.0.0.1", port))
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            longest_pdu = self._associate(syntax.encode())
            if longest_pdu is not None:
                break
            self._sock.close()
            time.sleep(_NOT_NOW_SECONDS)
        self.longest_pdu = longest_pdu

    def _associate(self, syntax: bytes) -> int | None:
        """Return how long a PDU may be, `None` if it has too many guests for now."""
        context = bytes((_CONTEXT, 0, 0, 0)) + _item(0x30, self._sop_class) + _item(0x40, syntax)
        user = _item(0x51, struct.pack(">I", _LONGEST_PDU)) + _item(0x52, _IMPLEMENTATION)
        body = struct.pack(">HH16s16s32x", 1, 0, b"AI_NODE".ljust(16), b"BENCH".ljust(16))
        body += _item(0x10, _APPLICATION_CONTEXT) + _item(0x20, context) + _item(0x50, user)
        self._sock.sendall(struct.pack(">BxI", 1, len(body)) + body)
        kind, answer = self._pdu()
        if kind == 3 and answer[1] == 2:  # noqa: PLR2004 - A-ASSOCIATE-RJ, transient, PS3.8 9.3.4
            return None
        if kind != 2:  # noqa: PLR2004 - A-ASSOCIATE-AC, PS3.8 9.3.3
            raise RuntimeError(f"the association was not accepted: PDU {kind}, {answer.hex()}")
        return _longest_pdu(answer)

    def store(self, pieces: Pieces, message_id: int, uid: bytes) -> None:
        """Send a command and the pieces of the data set, and wait for success."""
        command = _store_request(message_id, self._sop_class, uid)
        self._send([_data_pdu_header(len(command), 3) + command, *pieces])
        kind, answer = self._pdu()
        status = _status(answer[6:]) if kind == 4 else None  # noqa: PLR2004 - P-DATA-TF
        if status != _SUCCESS:
            raise RuntimeError(f"an object was not stored: PDU {kind}, status {status}")

    def release(self) -> None:
        """End the association in good order."""
        self._sock.sendall(struct.pack(">BxII", 5, 4, 0))
        self._pdu()
        self._sock.close()

    def _send(self, pieces: Pieces) -> None:
        for start in range(0, len(pieces), _IOV_MAX):
            some = pieces[start : start + _IOV_MAX]
            sent = self._sock.sendmsg(some)
            for piece in some if sent < sum(map(len, some)) else ():
                if sent < len(piece):
                    self._sock.sendall(memoryview(piece)[sent:])
                sent = max(0, sent - len(piece))

    def _pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxI", self._read(6))
        return kind, self._read(length)

    def _read(self, count: int) -> bytes:
        data = self._sock.recv(count, socket.MSG_WAITALL)
        if len(data) < count:
            raise RuntimeError("the receiver has closed the connection")
        return data


def pieces_of(head: bytes, payload: memoryview, longest_pdu: int) -> list[bytes | memoryview]:
    """Return a data set as P-DATA-TF PDUs, each full but the last, to be sent by `sendmsg`.

    The first piece is the header of the first PDU with `head` behind it. Nothing is copied.
    """
    room = (longest_pdu or len(head) + len(payload) + 6) - 6
    if room < len(head):
        raise RuntimeError("the head of the object does not fit into a PDU")
    pieces: list[bytes | memoryview] = []
    at, before = 0, head
    while at < len(payload) or before:
        some = payload[at : at + room - len(before)]
        at += len(some)
        header = _data_pdu_header(len(before) + len(some), 2 if at == len(payload) else 0)
        pieces += [header + before, some]
        before = b""
    return pieces


def _data_pdu_header(length: int, control: int) -> bytes:
    """Return the headers of a P-DATA-TF PDU and of the one value in it, PS3.8 9.3.5."""
    return struct.pack(">BxIIBB", 4, length + 6, length + 2, _CONTEXT, control)


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _store_request(message_id: int, sop_class: bytes, uid: bytes) -> bytes:
    """Return a C-STORE-RQ, PS3.7 9.3.1.1."""
    elements = (
        (0x0002, _even(sop_class)), (0x0100, b"\1\0"), (0x0110, struct.pack("<H", message_id)),
        (0x0700, b"\0\0"), (0x0800, b"\0\0"), (0x1000, _even(uid)),
    )  # fmt: skip
    body = b"".join(struct.pack("<HHI", 0, tag, len(value)) + value for tag, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def _even(uid: bytes) -> bytes:
    return uid + b"\0" * (len(uid) % 2)


def _status(command: bytes) -> int | None:
    at = 0
    while at + 8 <= len(command):
        _, element, length = struct.unpack_from("<HHI", command, at)
        if element == 0x0900:  # noqa: PLR2004 - Status (0000,0900)
            return int.from_bytes(command[at + 8 : at + 8 + length], "little")
        at += 8 + length
    return None


def _longest_pdu(answer: bytes) -> int:
    """Return the Maximum Length of an A-ASSOCIATE-AC, 0 for any, PS3.8 D.1."""
    at = 68
    while at + 4 <= len(answer):
        kind, length = struct.unpack_from(">BxH", answer, at)
        if kind == 0x50:  # noqa: PLR2004 - the user information, whose parts come one by one
            length = 0
        elif kind == 0x51:  # noqa: PLR2004 - Maximum Length
            return int(struct.unpack_from(">I", answer, at + 4)[0])
        at += 4 + length
    return 16384


def main() -> None:
    """Send what the standard input says."""
    said: dict[str, Any] = json.loads(sys.stdin.readline())
    head = bytes.fromhex(said["head"])
    with Path(said["payload"]).open("rb") as file:
        payload = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    sum(payload[::4096])  # every page is in memory before the clock runs
    uids = [new_uid().encode() for _ in range(said["count"])]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.monotonic()
    scu = Scu(said["port"], said["sop_class"], said["syntax"])
    pieces = pieces_of(head, payload, scu.longest_pdu)
    template, sent = bytes(pieces[0]), 0
    for number, uid in enumerate(uids):
        pieces[0] = template.replace(PLACEHOLDER.encode(), uid)
        scu.store(pieces, number % 65535 + 1, uid)
        sent += 1
        if time.monotonic() - began > said["seconds"]:
            break
    ended = time.monotonic()
    scu.release()
    print(json.dumps({"began": began, "ended": ended, "sent": sent}))


if __name__ == "__main__":
    main()
