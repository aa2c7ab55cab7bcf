"""Audit messages reach a repository: over TLS, framed, in order, once, however long it was away."""

import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_ai_node.domain.audit import (
    Actor,
    Asked,
    AuditFilter,
    AuditRecord,
    Kind,
    Message,
    Outcome,
)
from dicom_ai_node.domain.errors import PeerUnavailable
from dicom_ai_node.domain.happenings import log_used, queried
from dicom_ai_node.store.audit import SqlTrail
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.schema import migrate
from dicom_ai_node.watch.audit_message import Source
from dicom_ai_node.watch.auditor import Auditor
from dicom_ai_node.watch.syslog import NotTrusted, Repository, Syslog, line
from tests.store.made import DAY, NOON, SECOND
from tests.watch.certificate import certificate

SOURCE = Source(ae_title="AI_NODE", host="ai.example", process="42")
MESSAGE = Message(at=NOON, kind=Kind.QUERY, outcome=Outcome.SUCCESS, who="ü", text="<x>ü</x>")
RECORD = AuditRecord(number=1, message=MESSAGE, previous="", sha256="")


class Collector:
    """An audit repository: reads framed lines over TLS until each sender has said goodbye."""

    def __init__(self, folder: Path) -> None:
        self.lines: list[bytes] = []
        self.certificate, key = certificate(folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self.port = 0
        self._listening: socket.socket | None = None

    def open(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, args=(self._listening,), daemon=True).start()

    def close(self) -> None:
        if self._listening is not None:
            self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None

    def _serve(self, listening: socket.socket) -> None:
        while True:
            try:
                plain, _ = listening.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as sock:
                    self._read(sock)
            except OSError:
                continue

    def _read(self, sock: ssl.SSLSocket) -> None:
        received = b""
        while some := sock.recv(65536):
            received += some
        while received:
            length, _, rest = received.partition(b" ")
            self.lines.append(rest[: int(length)])
            received = rest[int(length) :]
        sock.unwrap().close()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """Return a repository that is there."""
    made = Collector(tmp_path)
    made.open()
    yield made
    made.close()


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[SqlTrail]:
    """Return an empty trail."""
    database = open_database(f"sqlite:///{tmp_path / 'ledger.db'}")
    migrate(database)
    yield SqlTrail(database)
    database.close()


def way(collector: Collector, *, trusted: bool = True) -> Syslog:
    """Return the way to a repository."""
    context = ssl.create_default_context(cafile=collector.certificate if trusted else None)
    to = Repository(host="127.0.0.1", port=collector.port, context=context)
    return Syslog(to, host="ai.example", process="42")


def auditor(trail: SqlTrail, to: Syslog) -> Auditor:
    """Return an auditor whose clock stands still, and who tries again at once."""
    return Auditor(
        trail=trail, source=SOURCE, patient=lambda _: "P1", peers={}, way=to, keep=None,
        now=lambda: NOON + DAY, next_try=lambda _, at: at,
    )  # fmt: skip


def test_a_line_is_as_rfc_5424_says() -> None:
    """Facility authpriv, severity by outcome, the message in UTF-8 behind its mark."""
    assert line(RECORD, "ai.example", "42") == (
        b"<85>1 2026-03-01T12:00:00.000000Z ai.example dicom-ai-node 42 DICOM+RFC3881 - "
        b"\xef\xbb\xbf<x>\xc3\xbc</x>"
    )
    for outcome, priority in zip(Outcome, (85, 84, 83, 82), strict=True):
        told = replace(RECORD, message=replace(MESSAGE, outcome=outcome))
        assert line(told, "a b\n", "").startswith(b"<%d>1 " % priority)


def test_a_repository_that_was_away_gets_everything_once_and_in_order(
    trail: SqlTrail, collector: Collector
) -> None:
    """What is not delivered stays, and is sent when it is back."""
    desk = auditor(trail, way(collector))
    collector.close()
    for number in range(300):
        trail.note(log_used(Actor(name=f"reader-{number}"), NOON + number * SECOND))
    assert desk.seal() == 300
    assert desk.send() == 0
    assert trail.backlog().records == 300
    collector.open()
    assert desk.send() + desk.send() == 300
    assert desk.send() == 0
    assert trail.backlog().records == 0
    told = [one.split(b'UserID="')[1].split(b'"')[0].decode() for one in collector.lines]
    assert told == [f"reader-{number}@ai.example" for number in range(300)]


def test_a_repository_that_nobody_trusts_hears_nothing(
    trail: SqlTrail, collector: Collector
) -> None:
    """And that is an alert, once, for as long as it is so."""
    desk = auditor(trail, way(collector, trusted=False))
    trail.note(log_used(Actor(name="ann"), NOON))
    desk.seal()
    assert isinstance(way(collector, trusted=False).send([RECORD]), NotTrusted)
    assert (desk.send(), desk.send()) == (0, 0)
    assert collector.lines == []
    desk.seal()
    alerts = trail.records(AuditFilter(kind=Kind.SECURITY_ALERT))
    assert [one.message.outcome for one in alerts] == [Outcome.MINOR_FAILURE]


def test_a_receiver_that_dies_with_bytes_unread_has_not_got_them() -> None:
    """It resets the connection; the same is sent again."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def reset() -> None:
            sock, _ = listening.accept()
            sock.recv(1)
            sock.close()

        threading.Thread(target=reset, daemon=True).start()
        to = Repository(host="127.0.0.1", port=listening.getsockname()[1], transport="tcp")
        answer = Syslog(to, host="x", process="1").send([RECORD] * 100)
    assert isinstance(answer, PeerUnavailable)


def test_plain_datagrams_hold_one_message_each() -> None:
    """For a relay on this machine, RFC 5426."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(60)
        to = Repository(host="127.0.0.1", port=sock.getsockname()[1], transport="udp")
        assert Syslog(to, host="x", process="1").send([RECORD]) is None
        assert sock.recv(65536) == line(RECORD, "x", "1")


def test_no_question_is_too_long_for_a_datagram(trail: SqlTrail) -> None:
    """Whoever may ask could otherwise keep all that comes later from the repository, for ever."""
    asked = Asked(address="/dicom-web/studies/" + 60_000 * "&", query=bytes(1 << 20))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(60)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        to = Repository(host="127.0.0.1", port=sock.getsockname()[1], transport="udp")
        desk = auditor(trail, Syslog(to, host="x", process="1"))
        trail.note(queried(Actor(name="anna").participant(), asked, NOON))
        assert (desk.seal(), desk.send()) == (1, 1)
        assert len(sock.recv(65536)) < 65_507


def test_a_chain_that_was_tampered_with_is_told_once(
    trail: SqlTrail, collector: Collector, tmp_path: Path
) -> None:
    """In the trail itself, and with it to the repository."""
    desk = auditor(trail, way(collector))
    trail.note(log_used(Actor(name="ann"), NOON))
    desk.seal()
    database = open_database(f"sqlite:///{tmp_path / 'ledger.db'}")
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE audit_records SET who = 'bob'")
    database.close()
    assert (desk.verify().broken, desk.verify().broken) == (1, 1)
    desk.seal()
    (alert,) = trail.records(AuditFilter(kind=Kind.SECURITY_ALERT))
    assert alert.message.outcome is Outcome.MAJOR_FAILURE
    assert alert.message.at - NOON == timedelta(days=1)
