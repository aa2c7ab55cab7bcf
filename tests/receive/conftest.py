"""A listener on a free port, with everything it hands on written down."""

import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association

from dicom_ai_node.domain.ports import Blobs
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.domain.uids import AETitle, SeriesInstanceUID
from dicom_ai_node.receive.dimse import DimseListener, Inbox
from dicom_ai_node.receive.peers import AllowedPeer
from dicom_ai_node.receive.server import Entrance, Limits, listening_socket
from dicom_ai_node.store.blobs import FolderBlobs

OWN_DEVICE_UID = "1.2.826.0.1.77"
PEERS = (AllowedPeer(ae_title=AETitle("CT1"), network=ip_network("127.0.0.0/8")),)


@dataclass
class Diary:
    """What the listener handed on. Tests set `answer` or `full` to make it meet a bad day."""

    arrivals: list[Arrival] = field(default_factory=list)
    released: list[tuple[SeriesInstanceUID, ...]] = field(default_factory=list)
    refused: list[tuple[bytes, str, str]] = field(default_factory=list)
    answer: Received | Exception = Received.NEW
    full: Exception | None = None
    bad_release: Exception | None = None
    batches: list[int] = field(default_factory=list)
    turned_away: list[tuple[str, str]] = field(default_factory=list)
    may_record: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.may_record.set()

    def room(self) -> None:
        if self.full is not None:
            raise self.full

    def arrive(self, arrival: Arrival) -> Received:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.arrivals.append(arrival)
        return self.answer

    def arrive_all(self, arrivals: Sequence[Arrival]) -> list[Received]:
        self.batches.append(len(arrivals))
        assert self.may_record.wait(30)
        return [self.arrive(arrival) for arrival in arrivals]

    def release(self, series: Sequence[SeriesInstanceUID]) -> None:
        if self.bad_release is not None:
            raise self.bad_release
        self.released.append(tuple(series))

    def refuse(self, spooled: Path, reason: str, sender: str) -> None:
        self.refused.append((spooled.read_bytes(), reason, sender))


@dataclass
class Node:
    """A running listener."""

    port: int
    blobs: Blobs
    root: Path
    diary: Diary
    listener: DimseListener

    def associate(
        self, *datasets: Dataset, calling: str = "CT1", called: str = "AI_NODE"
    ) -> Association:
        """Open an association for C-ECHO and for what `datasets` are."""
        ae = AE(calling)
        ae.acse_timeout = ae.network_timeout = ae.dimse_timeout = 10
        ae.add_requested_context("1.2.840.10008.1.1")
        for dataset in datasets:
            ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = ae.associate("127.0.0.1", self.port, ae_title=called)
        self.sees(lambda: not association._is_paused)  # see `send`
        return association

    def send(self, association: Association, image: Dataset) -> int:
        """Send an instance with pynetdicom and return the status.

        A response that comes at once may be swallowed by pynetdicom's own reactor thread, if
        that has not woken up since the message before; so it gets the time to wake up.
        """
        self.sees(lambda: not association._is_paused)
        return int(association.send_c_store(image).Status)

    def files(self, folder: str) -> list[Path]:
        """Return the files of the store in `spool` or `blobs`."""
        return [path for path in (self.root / folder).rglob("*") if path.is_file()]

    def sees(self, condition: Callable[[], bool], seconds: float = 5.0) -> bool:
        """Return whether something becomes true in good time."""
        until = time.monotonic() + seconds
        while not condition() and time.monotonic() < until:
            time.sleep(0.01)
        return condition()


Start = Callable[..., Node]


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """Return a folder where an fsync costs nothing, if there is one: few tests are about disks."""
    memory = Path("/dev/shm")  # noqa: S108 - the folder in it is new and private
    if not memory.is_dir():
        yield tmp_path
        return
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def start(quick_path: Path) -> Iterator[Start]:
    """Start listeners with whatever limits and peers a test wants; they end with it."""
    running = []

    def begin(
        peers: Sequence[AllowedPeer] = PEERS,
        blobs: Blobs | None = None,
        ssl_context: ssl.SSLContext | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        **limits: float,
    ) -> Node:
        root = quick_path / f"store{len(running)}"
        diary = Diary()
        kept = blobs or FolderBlobs(root)
        listener = DimseListener(
            ae_title=AETitle("AI_NODE"),
            accept_from=peers,
            blobs=kept,
            inbox=Inbox(
                room=diary.room,
                arrive=diary.arrive,
                released=diary.release,
                refused=diary.refuse,
                own_device_uids=frozenset({OWN_DEVICE_UID}),
                turned_away=lambda *who: diary.turned_away.append(who),
            ),
            limits=replace(Limits(), **limits),
        )
        listening = listening_socket("127.0.0.1", 0)
        entrance = Entrance(listening, tls or (ssl_context and (lambda: ssl_context)))
        thread = Thread(target=listener.serve, args=([entrance],))
        thread.start()
        running.append((listener, listening, thread))
        return Node(listening.getsockname()[1], kept, root, diary, listener)

    yield begin
    for listener, listening, thread in running:
        listener.close(0)
        thread.join(60)
        listening.close()
        assert not thread.is_alive()


@pytest.fixture
def node(start: Start) -> Node:
    """Return a listener as it comes."""
    return start()
