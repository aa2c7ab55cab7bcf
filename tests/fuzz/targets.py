"""What is fuzzed: everything of ours that reads bytes of strangers before anybody was asked who.

A target takes bytes and may end in a `NodeError` or in what its docstring promises; anything else
is a finding. `seeds` are well-formed inputs to begin with.
"""

import json
import socket
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import structlog
from pydicom import Dataset
from pynetdicom.presentation import build_context

from dicom_ai_node.deliver.associate import _negotiated
from dicom_ai_node.deliver.line import StoreLine
from dicom_ai_node.deliver.parcel import Parcel, pack
from dicom_ai_node.dimse.wire import Breach, PeerGone, Wire
from dicom_ai_node.domain.archive import Level
from dicom_ai_node.domain.commitment import Asked as Named
from dicom_ai_node.domain.commitment_messages import read_report, read_request, request
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.query_retrieve import Asked, Root
from dicom_ai_node.domain.study import Received
from dicom_ai_node.domain.uids import AETitle, SOPClassUID, SOPInstanceUID, is_uid
from dicom_ai_node.infer.read import read_series
from dicom_ai_node.receive.contexts import DEFLATED
from dicom_ai_node.receive.data_sets import check, decoded
from dicom_ai_node.receive.depot import Depot
from dicom_ai_node.receive.desk import Inbox
from dicom_ai_node.receive.dimse import DimseListener
from dicom_ai_node.receive.header import header_in
from dicom_ai_node.receive.media import media_type
from dicom_ai_node.receive.metadata import MetadataParts
from dicom_ai_node.receive.multipart import Multipart
from dicom_ai_node.receive.outbox import Outbox
from dicom_ai_node.receive.part10 import Announced, file_head
from dicom_ai_node.receive.parts import InstanceParts, Reading
from dicom_ai_node.receive.peers import AllowedPeer, May
from dicom_ai_node.receive.server import Guest, Limits
from dicom_ai_node.receive.short import Short
from dicom_ai_node.serve.dicomweb.search_query import wanted
from dicom_ai_node.serve.identifier import identifier_of
from dicom_ai_node.store.blobs import FolderBlobs
from tests import phantoms
from tests.deliver.test_line import RELEASED, accepted, answered
from tests.receive import rawpeer
from tests.receive.rawpeer import CT, EXPLICIT
from tests.receive.webdesk import body, part10

SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", DEFLATED)


@dataclass(frozen=True, slots=True)
class Target:
    """One reader: what it does with bytes, what to begin with, which modules it is made of."""

    name: str
    read: Callable[[bytes], object]
    seeds: Callable[[], Iterator[bytes]]
    modules: tuple[str, ...]


def _header(data: bytes) -> None:
    """Read a data set; the first byte chooses its transfer syntax."""
    header_in(data[1:], 0, SYNTAXES[data[0] % 4])


def _identifier(data: bytes) -> None:
    """Read an identifier; the first byte chooses syntax, root and extended negotiation."""
    syntax, flags = SYNTAXES[data[0] % 3], data[0] // 3
    check(data[1:], syntax)
    asked = Asked(
        root=list(Root)[flags % len(Root)], identifier=data[1:], transfer_syntax_uid=syntax,
        is_relational=bool(flags & 4), joins_date_and_time=bool(flags & 8), is_fuzzy=bool(flags & 16),
    )  # fmt: skip
    identifier_of(asked)


def _commitment(data: bytes) -> None:
    """Read what is asked or reported about storage commitment; the first byte chooses the syntax."""
    said = decoded(data[1:], SYNTAXES[data[0] % 3])
    if data[0] & 4:
        report = read_report(said)
        assert not report.kept & report.failed.keys()
    else:
        transaction_uid, asked = read_request(said)
        assert is_uid(transaction_uid)
        assert request(transaction_uid, asked)


def _memory() -> Path | None:
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own below it
    return memory if memory.is_dir() else None


@cache
def _store() -> FolderBlobs:
    return FolderBlobs(Path(mkdtemp(prefix="fuzz", dir=_memory())))


def _inbox() -> Inbox:
    def refused(path: Path, _why: str, _sender: str) -> None:
        path.unlink()

    return Inbox(
        room=lambda: None, arrive=lambda _: Received.NEW, released=lambda _: None, refused=refused
    )


@cache
def _depot() -> Depot:
    return Depot(
        blobs=_store(), inbox=_inbox(), called=AETitle("AI_NODE"),
        record=lambda some: [Received.NEW] * len(some),
        record_along=lambda some: [Received.NEW] * len(some), limits=Limits(instance_bytes=1 << 20),
    )  # fmt: skip


def _multipart(data: bytes) -> None:
    """Two bytes choose what parts hold and how the body is cut; then headers, an empty line, it."""
    headers, _, content = data[2:].partition(b"\n\n")
    kind = media_type(headers.decode("latin-1"))
    multipart = Multipart(kind.parameters.get("boundary", ""))
    takings = Short(_depot(), _depot().counter("SENDER", "192.0.2.1"), "")
    parts = (
        InstanceParts(takings),
        MetadataParts(takings),
        MetadataParts(takings, is_xml=True),
    )[data[0] % 3]
    reading, step = Reading(parts, multipart), 1 + data[1] * 7
    try:
        for at in range(0, len(content), step):
            reading.feed(content[at : at + step])
        reading.finish(b"")
    finally:
        reading.break_off()
        for path in takings.spooled:
            path.unlink()


@cache
def _listener() -> DimseListener:
    peer = AllowedPeer(ae_title=AETitle("CT1"), may=frozenset(May))
    limits = Limits(
        request_seconds=0.2, pdu_seconds=0.2, idle_seconds=0.2, instance_bytes=1 << 20,
        pdu_bytes=16384,
    )  # fmt: skip
    listener = DimseListener(
        ae_title=AETitle("AI_NODE"), accept_from=[peer], blobs=_store(), inbox=_inbox(),
        limits=limits,
    )  # fmt: skip
    listener.answer_from(
        Outbox(
            find=lambda asked: iter([identifier_of(asked)][:0]), named=lambda asked: [identifier_of(asked)][:0],
            failed=lambda *_: b"", file=lambda *_: None, move=lambda *_: iter(()),  # type: ignore[arg-type,return-value]
        )
    )  # fmt: skip
    return listener


def _pdu(data: bytes) -> None:
    """All that one connection says, from its first byte on."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(5)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.sendall(data[: 1 << 18])
        theirs.shutdown(socket.SHUT_WR)
        guest = Guest(sock=ours, address="192.0.2.1")
        listener = _listener()
        listener._doorway.knock(guest)
        try:
            listener._attend(guest)
        finally:
            listener._doorway.leave(guest)


def _series(data: bytes) -> None:
    """Read a series; the first byte chooses what a model wants of it, and the transfer syntax.

    Then follow data sets, each preceded by its length.
    """
    folder, at, paths = _folder(), 1, []
    meta = file_head(Announced(transfer_syntax_uid=SYNTAXES[data[0] >> 7]), "CT1")
    while at + 2 <= len(data) and len(paths) < 12:
        end = at + 2 + int.from_bytes(data[at : at + 2], "little")
        paths.append(folder / f"{len(paths)}")
        paths[-1].write_bytes(meta + data[at + 2 : end])
        at = end
    read_series(paths, list(Sees)[(data[0] & 127) % len(Sees)], max_pixels_bytes=1 << 20)


def _answer(data: bytes) -> None:
    """All that a destination says to whoever stores there."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(data[: 1 << 16])
        theirs.shutdown(socket.SHUT_WR)
        wire = Wire(ours, 0.2)
        wire.within(0.2)
        with suppress(Breach, PeerGone):
            taken = _negotiated(wire, _PACS, [build_context(CT, EXPLICIT)])
            line = StoreLine(wire, _PACS.ae_title, taken)
            for context in taken.contexts.values():
                line.store(_parcel(), _parcel().path, context, 0.2)
            line.end(0.2)


@cache
def _parcel() -> Parcel:
    path = _folder() / "parcel"
    path.write_bytes(part10(phantoms.ct(slices=1, rows=2, columns=2)[0]))
    packed = pack(path)
    assert isinstance(packed, Parcel)
    return packed


_PACS = DimsePeer(
    ae_title=AETitle("PACS"), host="192.0.2.1", port=104, calling_ae_title=AETitle("AI_NODE")
)


@cache
def _folder() -> Path:
    return Path(mkdtemp(prefix="fuzz", dir=_memory()))


def _query(data: bytes) -> None:
    """Read the query of an address: `name=value` pairs, the way a server hands them over."""
    text = data.decode("latin-1")
    pairs = [pair.partition("=") for pair in text.split("&")]
    wanted([(name, value) for name, _, value in pairs], (Level.STUDY,), ())


def _header_seeds() -> Iterator[bytes]:
    for dataset in (phantoms.ct(slices=1)[0], phantoms.us(), phantoms.pet(slices=1)[0]):
        dataset.PixelData = bytes(8)
        for number in range(3):
            encoded = rawpeer.encoded(dataset, implicit=number == 0, little=number != 2)
            yield bytes((number,)) + encoded


def _identifier_seeds() -> Iterator[bytes]:
    dataset = Dataset()
    dataset.QueryRetrieveLevel = "STUDY"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName, dataset.StudyDate, dataset.StudyInstanceUID = "A*", "20260301", ""
    dataset.ModalitiesInStudy = ["CT", "MR"]
    for number in range(12):
        encoded = rawpeer.encoded(dataset, implicit=number % 3 == 0, little=number % 3 != 2)
        yield bytes((number,)) + encoded


def _commitment_seeds() -> Iterator[bytes]:
    uids = (SOPInstanceUID("1.2.3"), SOPInstanceUID("1.2.4"))
    dataset = request(
        "2.25.1", [Named(SOPClassUID("1.2.840.10008.5.1.4.1.1.2"), it) for it in uids]
    )
    for number in range(6):
        if number == 3:
            dataset.FailedSOPSequence = [dataset.ReferencedSOPSequence.pop()]
            dataset.FailedSOPSequence[0].FailureReason = 0x0112
        encoded = rawpeer.encoded(dataset, implicit=number % 3 == 0, little=number % 3 != 2)
        yield bytes((number % 3 + (12 if number > 2 else 0),)) + encoded


def _multipart_seeds() -> Iterator[bytes]:
    image = phantoms.ct(slices=1, rows=2, columns=2)[0]
    head = b'multipart/related; type="application/dicom"; boundary=frontier\n\n'
    yield b"\0\7" + head + body(part10(image), part10(image))
    model = json.dumps([image.to_json_dict()]).encode()
    yield b"\1\7" + head + body(model, kind="application/dicom+json")
    xml = b'<NativeDicomModel><DicomAttribute tag="00080018" vr="UI"><Value number="1">1.2</Value>'
    yield (
        b"\2\7"
        + head
        + body(xml + b"</DicomAttribute></NativeDicomModel>", kind="application/dicom+xml")
    )


def _pdu_seeds() -> Iterator[bytes]:
    image = rawpeer.encoded(rawpeer.smallest())
    store = rawpeer.p_data(rawpeer.pdv(rawpeer.command(), 3), rawpeer.pdv(image, 2))
    release = bytes.fromhex("050000000004 00000000")
    yield rawpeer.request() + store + release
    find = "1.2.840.10008.5.1.4.1.2.2.1"
    contexts = ((1, find, (rawpeer.IMPLICIT,)),)
    question = rawpeer.p_data(
        rawpeer.pdv(rawpeer.query(0x20, find), 3, 1),
        rawpeer.pdv(next(_identifier_seeds())[1:], 2, 1),
    )
    yield rawpeer.request(contexts) + question + release


def _series_seeds() -> Iterator[bytes]:
    kinds = (phantoms.ct, phantoms.mr, phantoms.pet)
    for number, images in enumerate(kind(slices=4, rows=2, columns=2) for kind in kinds):
        for implicit in (True, False):
            series = bytes((number if implicit else number | 128,))
            for image in images:
                encoded = rawpeer.encoded(image, implicit=implicit)
                series += len(encoded).to_bytes(2, "little") + encoded
            yield series


def _answer_seeds() -> Iterator[bytes]:
    yield accepted() + answered(1) + RELEASED
    yield accepted(300) + answered(1, 0xB000) + RELEASED
    yield accepted(0) + answered(1, 0xA700) + RELEASED


def _query_seeds() -> Iterator[bytes]:
    yield b"PatientName=A*&StudyDate=20260101-&includefield=all&limit=5&offset=2&fuzzymatching=true"
    yield b"00080060=CT&ModalitiesInStudy=CT,MR&00400275.00400007=x&limit=7"


_RECEIVE, _SERVE, _DIMSE = "dicom_ai_node.receive.", "dicom_ai_node.serve.", "dicom_ai_node.dimse."
TARGETS = {
    one.name: one
    for one in (
        Target("header", _header, _header_seeds, (
            f"{_RECEIVE}header", f"{_RECEIVE}walk", f"{_RECEIVE}attributes",
        )),
        Target("identifier", _identifier, _identifier_seeds, (
            f"{_RECEIVE}walk", f"{_SERVE}identifier",
        )),
        Target("commitment", _commitment, _commitment_seeds, (
            f"{_RECEIVE}data_sets", f"{_RECEIVE}walk", "dicom_ai_node.domain.commitment_messages",
        )),
        Target("multipart", _multipart, _multipart_seeds, (
            f"{_RECEIVE}multipart", f"{_RECEIVE}parts", f"{_RECEIVE}metadata", f"{_RECEIVE}media",
            f"{_RECEIVE}meta", f"{_RECEIVE}bulk", "dicom_ai_node.domain.native_model_read",
        )),
        Target("pdu", _pdu, _pdu_seeds, (
            f"{_DIMSE}wire", f"{_RECEIVE}negotiation", f"{_RECEIVE}association",
            f"{_DIMSE}commands", f"{_RECEIVE}incoming", f"{_RECEIVE}user_information",
            f"{_RECEIVE}desk", f"{_RECEIVE}enquiries",
        )),
        Target("series", _series, _series_seeds, (
            "dicom_ai_node.infer.geometry", "dicom_ai_node.infer.stacks",
            "dicom_ai_node.infer.planes", "dicom_ai_node.infer.read", "dicom_ai_node.infer.slices",
            "dicom_ai_node.infer.pixels", "dicom_ai_node.infer.units",
            "dicom_ai_node.infer.plain_frame", "dicom_ai_node.domain.quick_header",
        )),
        Target("answer", _answer, _answer_seeds, (
            f"{_DIMSE}wire", f"{_DIMSE}commands", "dicom_ai_node.deliver.line",
            "dicom_ai_node.deliver.associate",
        )),
        Target("query", _query, _query_seeds, (f"{_SERVE}dicomweb.search_query",)),
    )
}  # fmt: skip


def _no_bug(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """Let nothing be hidden: what the node logs as a mistake of its own is one."""
    if event.get("event") in OWN_MISTAKES:
        raise AssertionError(event["event"])
    raise structlog.DropEvent


OWN_MISTAKES = frozenset({"instance_failed", "query_failed", "connection_failed", "bug"})
"""What the node says when it has caught an error that nobody has foreseen."""


def read(target: Target, data: bytes) -> str:
    """Let a target read; return the name of the error that it has raised, as it may.

    Raises
    ------
    Exception
        Whatever else it has raised: a finding.
    """
    if len(data) < 2:
        return ""
    structlog.configure(processors=[_no_bug])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target.read(data)
        except NodeError as error:
            return type(error).__name__
    return ""
