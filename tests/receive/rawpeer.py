"""A peer that speaks the upper layer protocol byte by byte, and lies where a test wants it to."""

import socket
import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Self

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
INSTANCE = "1.2.3.4"
CONTEXTS = ((1, VERIFICATION, (IMPLICIT,)), (3, CT, (EXPLICIT,)))
Context = tuple[int, str, Sequence[str]]


def item(kind: int, body: bytes) -> bytes:
    """Return an item or sub-item of an association request."""
    return struct.pack(">BxH", kind, len(body)) + body


def request(
    contexts: Sequence[Context] = CONTEXTS,
    called: bytes = b"AI_NODE",
    calling: bytes = b"CT1",
    application: bytes = b"1.2.840.10008.3.1.1.1",
    version: int = 1,
    user: bytes = b"",
) -> bytes:
    """Return an A-ASSOCIATE-RQ PDU; `user` are further items of the user information."""
    body = struct.pack(">HH", version, 0) + called.ljust(16) + calling.ljust(16) + bytes(32)
    body += item(0x10, application)
    for number, abstract, transfer in contexts:
        proposal = bytes((number, 0, 0, 0)) + item(0x30, abstract.encode())
        body += item(0x20, proposal + b"".join(item(0x40, uid.encode()) for uid in transfer))
    body += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3") + user)
    return struct.pack(">BxL", 1, len(body)) + body


def element(number: int, value: bytes) -> bytes:
    """Return an element of a command set."""
    return struct.pack("<HHL", 0, number, len(value)) + value


def command(
    field: int = 1, sop_class: bytes = CT.encode() + b"\0", instance: bytes = b"", data: int = 0
) -> bytes:
    """Return a command set; by default that of a C-STORE-RQ."""
    body = element(2, sop_class) + element(0x100, struct.pack("<H", field))
    body += element(0x110, b"\1\0") + element(0x700, b"\0\0")
    body += element(0x800, struct.pack("<H", data))
    body += element(0x1000, instance or INSTANCE.encode() + b"\0")
    return element(0, struct.pack("<L", len(body))) + body


def elements_of(encoded: bytes) -> dict[int, bytes]:
    """Return the elements of a command set."""
    elements, at = {}, 0
    while at < len(encoded):
        _, number, length = struct.unpack_from("<HHL", encoded, at)
        elements[number] = encoded[at + 8 : at + 8 + length]
        at += 8 + length
    return elements


def query(field: int, sop_class: str, message_id: int = 7, destination: str = "") -> bytes:
    """Return the command set of a C-FIND-RQ, C-GET-RQ or C-MOVE-RQ."""
    uid = sop_class.encode()
    body = element(2, uid + b"\0" * (len(uid) % 2)) + element(0x100, struct.pack("<H", field))
    body += element(0x110, struct.pack("<H", message_id))
    if destination:
        body += element(0x600, destination.encode().ljust(16))
    body += element(0x700, b"\0\0") + element(0x800, b"\1\0")
    return element(0, struct.pack("<L", len(body))) + body


def cancel(message_id: int = 7) -> bytes:
    """Return the command set of a C-CANCEL-RQ."""
    body = element(0x100, b"\xff\x0f") + element(0x120, struct.pack("<H", message_id))
    body += element(0x800, b"\1\1")
    return element(0, struct.pack("<L", len(body))) + body


def pdv(data: bytes, control: int, context: int = 3) -> bytes:
    """Return one fragment: `control` is 1 for a command plus 2 for the last one."""
    return struct.pack(">LBB", len(data) + 2, context, control) + data


def p_data(*fragments: bytes) -> bytes:
    """Return a P-DATA-TF PDU."""
    body = b"".join(fragments)
    return struct.pack(">BxL", 4, len(body)) + body


def encoded(dataset: Dataset, *, implicit: bool = False, little: bool = True) -> bytes:
    """Return the bytes of a data set without file meta information."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = implicit
    buffer.is_little_endian = little
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def smallest(**changes: str) -> Dataset:
    """Return a data set with nothing but the UIDs that an instance needs."""
    dataset = Dataset()
    uids = {"SOPClassUID": CT, "SOPInstanceUID": INSTANCE}
    uids |= {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.3.5"}
    for keyword, value in (uids | changes).items():
        if value:
            setattr(dataset, keyword, value)
    return dataset


class RawPeer:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> Self:
        """Send bytes as they are."""
        self.sock.sendall(data)
        return self

    def read(self, count: int) -> bytes:
        """Return exactly so many bytes, or fewer at the end of the connection."""
        buffer = BytesIO()
        while buffer.tell() < count:
            try:
                part = self.sock.recv(count - buffer.tell())
            except ConnectionResetError:
                break
            if not part:
                break
            buffer.write(part)
        return buffer.getvalue()

    def pdu(self) -> tuple[int, bytes]:
        """Return type and body of the next PDU; (0, b"") at the end of the connection."""
        header = self.read(6)
        if len(header) < 6:
            return 0, b""
        kind, length = struct.unpack(">BxL", header)
        return kind, self.read(length)

    def associate(self, contexts: Sequence[Context] = CONTEXTS) -> Self:
        """Open an association in good order."""
        kind, _ = self.send(request(contexts)).pdu()
        assert kind == 2
        return self

    def response(self) -> dict[int, bytes]:
        """Return the elements of the command set that comes next."""
        kind, body = self.pdu()
        assert kind == 4, kind
        return elements_of(body[6:])

    def message(self) -> tuple[dict[int, bytes], bytes]:
        """Return the command set and the data set of the message that comes next."""
        parts = {True: b"", False: b""}
        ended: set[bool] = set()
        wanted = {True}
        while ended != wanted:
            kind, body = self.pdu()
            assert kind == 4, kind
            control = body[5]
            parts[bool(control & 1)] += body[6:]
            if control & 2:
                ended.add(bool(control & 1))
            if ended == {True} and elements_of(parts[True])[0x800] != b"\1\1":
                wanted = {True, False}
        return elements_of(parts[True]), parts[False]

    def status(self) -> int:
        """Return the status of the response that comes next."""
        return int.from_bytes(self.response()[0x900], "little")

    def store(self, data: bytes, instance: bytes = b"", sop_class: bytes = CT.encode()) -> int:
        """Send an instance in PDUs of 16 KiB and return the status."""
        self.send(p_data(pdv(command(instance=instance, sop_class=sop_class), 3)))
        parts = [data[at : at + 16000] for at in range(0, len(data), 16000)] or [b""]
        for number, part in enumerate(parts, start=1):
            self.send(p_data(pdv(part, 2 if number == len(parts) else 0)))
        return self.status()

    def release(self) -> None:
        """End the association in good order."""
        kind, _ = self.send(struct.pack(">BxLL", 5, 4, 0)).pdu()
        assert kind == 6
