"""A modality asks on the port that listens whether it may delete its copy."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Event as Pause
from threading import Lock

import pytest
from pynetdicom import AE, evt
from pynetdicom.association import Association

from dicom_ai_node import compose
from dicom_ai_node.deliver.reactor import events_let_in
from dicom_ai_node.domain.commitment import Asked
from dicom_ai_node.domain.commitment_messages import read_report, request
from dicom_ai_node.domain.proof import Report
from dicom_ai_node.domain.uids import SOPClassUID, SOPInstanceUID
from dicom_ai_node.store.engines import open_database
from tests.holding import SENDER, VIEWER, Holding, holding
from tests.peers.committing import INSTANCE, MODEL, Committer, listening
from tests.peers.tools import free_port
from tests.phantoms import ct
from tests.receive.test_query import awake

IMAGES = ct(slices=2)
ALL = [Asked(SOPClassUID(it.SOPClassUID), SOPInstanceUID(it.SOPInstanceUID)) for it in IMAGES]
ABSENT = Asked(ALL[0].sop_class_uid, SOPInstanceUID("1.2.3.4"))
ANOTHER = Asked(SOPClassUID("1.2.840.10008.5.1.4.1.1.4"), ALL[1].sop_instance_uid)
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="module")
def modality() -> int:
    """Return the port of the modality whose address the node knows."""
    return free_port()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, modality: int) -> Iterator[Holding]:
    """Run a node that holds two slices."""
    folder = tmp_path_factory.mktemp("node")
    accept = f"[{SENDER}, PACS, LOST, {{ae_title: {VIEWER}, address: 127.0.0.0/8, may: [query]}}]"
    with holding(folder, destinations={SENDER: modality}, accept_from=accept) as running:
        running.take(IMAGES)
        yield running


@contextmanager
def asking(
    node: Holding,
    calling: str = SENDER,
    reported: Callable[[evt.Event], tuple[int, None]] | None = None,
) -> Iterator[tuple[Association, Queue[Report]]]:
    """Open an association; what is reported on it is in the queue, or told to `reported`."""
    ae, heard = AE(calling), Queue[Report]()
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = PATIENCE_SECONDS
    ae.add_requested_context(MODEL)

    def keep(event: evt.Event) -> tuple[int, None]:
        heard.put(read_report(event.event_information))
        return 0x0000, None

    association = ae.associate(
        "127.0.0.1", node.port, ae_title="AI_NODE",
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, reported or keep)],
    )  # fmt: skip
    assert association.is_established
    try:
        with events_let_in(association):
            yield association, heard
    finally:
        association.release()


def ask(association: Association, uid: str, asked: Sequence[Asked], action: int = 1) -> int:
    """Ask for storage commitment and return the status."""
    awake(association)
    answer, _ = association.send_n_action(request(uid, asked), action, MODEL, INSTANCE)
    return int(answer.Status)


def due(node: Holding) -> list[tuple[str, str]]:
    """Return Transaction UID and asker of what is still to be told, at whatever time."""
    from sqlalchemy import text  # noqa: PLC0415 - only here

    database = open_database(node.config.store.database_url)
    said = text("SELECT transaction_uid, ae_title FROM commitments WHERE due_at IS NOT NULL")
    with database.reading() as connection:
        rows = [(row[0], row[1]) for row in connection.execute(said)]
    database.close()
    return rows


def settled(node: Holding, *uids: str) -> bool:
    """Wait until no more than these are to be told."""
    import time  # noqa: PLC0415 - only here

    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if {uid for uid, _ in due(node)} == set(uids):
            return True
        time.sleep(0.05)
    return False


def test_whoever_stays_is_told_on_the_same_association(node: Holding) -> None:
    """What is on the disk is kept; the rest is named with its reason."""
    with asking(node) as (association, heard):
        assert ask(association, "1.9.1", [*ALL, ABSENT]) == 0x0000
        first = heard.get(timeout=PATIENCE_SECONDS)
        assert ask(association, "1.9.2", [ALL[0], ANOTHER]) == 0x0000
        second = heard.get(timeout=PATIENCE_SECONDS)
    uids = [one.sop_instance_uid for one in ALL]
    assert first == Report(
        transaction_uid="1.9.1", kept=frozenset(uids), failed={ABSENT.sop_instance_uid: 0x0112}
    )
    assert second == Report(
        transaction_uid="1.9.2", kept=frozenset(uids[:1]), failed={uids[1]: 0x0119}
    )
    assert settled(node), "and it is not told again"


def test_reports_come_one_after_the_other(node: Holding) -> None:
    """Nobody has negotiated that more than one operation may be open, PS3.7 D.3.3.3."""
    at_once, most, both = 0, 0, Queue[str]()
    lock = Lock()

    def reported(event: evt.Event) -> tuple[int, None]:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        Pause().wait(0.3)
        with lock:
            at_once -= 1
        both.put(read_report(event.event_information).transaction_uid)
        return 0x0000, None

    with asking(node, reported=reported) as (association, _):
        for uid in ("1.9.21", "1.9.22"):
            assert ask(association, uid, ALL) == 0x0000
        assert [both.get(timeout=PATIENCE_SECONDS) for _ in range(2)] == ["1.9.21", "1.9.22"]
    assert most == 1
    assert settled(node)


def test_whoever_leaves_is_told_on_an_association_of_ours(node: Holding, modality: int) -> None:
    """The answer is in the ledger before the request is answered, so that nothing loses it."""
    with asking(node) as (association, _):
        assert ask(association, "1.9.3", ALL) == 0x0000
        assert ("1.9.3", SENDER) in due(node)
        association.abort()
    telling, heard = compose.telling(node.config), Queue[Report]()
    assert settled(node, "1.9.3")
    assert _until_one(telling) == 1, "it is due at once"
    assert {uid for uid, _ in due(node)} == {"1.9.3"}, "nobody listened: told again later"
    compose.commitments(node.config).not_told("1.9.3", compose.now())
    with _listening(modality, heard):
        assert _until_one(telling) == 1
    assert heard.get(timeout=PATIENCE_SECONDS).transaction_uid == "1.9.3"
    assert settled(node)
    assert telling.next() == 0


def _until_one(telling: object) -> int:
    import time  # noqa: PLC0415 - only here

    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        if found := telling.next():  # type: ignore[attr-defined]
            return int(found)
        time.sleep(0.05)
    return 0


@contextmanager
def _listening(port: int, heard: Queue[Report]) -> Iterator[None]:
    ae = AE(SENDER)
    ae.add_supported_context(MODEL, scu_role=False, scp_role=True)

    def reported(event: evt.Event) -> tuple[int, None]:
        heard.put(read_report(event.event_information))
        return 0x0000, None

    server = ae.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, reported)]
    )
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def test_whose_address_is_not_known_is_told_where_it_asked_or_never(
    node: Holding, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log says what is missing."""
    with asking(node, "LOST") as (association, _):
        assert ask(association, "1.9.4", ALL) == 0x0000
        association.abort()
    assert settled(node, "1.9.4")
    assert _until_one(compose.telling(node.config)) == 1
    assert settled(node)
    assert '"no destination has its AE title"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("calling", "uid", "action", "status"),
    [
        pytest.param(VIEWER, "1.9.5", 1, 0x0124, id="it may only query"),
        pytest.param(SENDER, "1.9.5", 7, 0x0123, id="there is no such action"),
        pytest.param(SENDER, "", 1, 0x0110, id="there is no Transaction UID"),
        pytest.param("PACS", "1.9.6", 1, 0x0110, id="the request of somebody else"),
    ],
)
def test_a_request_that_is_not_taken_is_refused(
    node: Holding, calling: str, uid: str, action: int, status: int
) -> None:
    """Nothing is promised, and the association goes on."""
    if calling == "PACS":
        compose.commitments(node.config).commit("1.9.6", ALL, compose.now())
    with asking(node, calling) as (association, heard):
        assert ask(association, uid, ALL, action) == status
        assert ask(association, uid, ALL, action) == status
        with pytest.raises(Empty):
            heard.get(timeout=0.6)
    assert settled(node)


def test_a_report_to_nobody_is_acknowledged_and_ignored(
    node: Holding, capsys: pytest.CaptureFixture[str]
) -> None:
    """A PACS that connects to us to say what we have not asked, by role selection."""
    with listening(Committer(where="there", tell_port=node.port)) as pacs:
        ae = AE("AI_NODE")
        ae.add_requested_context(MODEL)
        association = ae.associate("127.0.0.1", pacs.port)
        assert ask(association, "1.9.9", ALL) == 0x0000
        association.release()
        _wait_for_answer(pacs.answers)
    assert pacs.answers == [0x0000]
    assert "commitment_unknown" in capsys.readouterr().err


def _wait_for_answer(answers: list[int]) -> None:
    import time  # noqa: PLC0415 - only here

    until = time.monotonic() + PATIENCE_SECONDS
    while not answers and time.monotonic() < until:
        time.sleep(0.05)


def test_what_is_asked_in_pieces_is_read_to_its_end(node: Holding, tmp_path: Path) -> None:
    """A request of a thousand instances, and its report in the PDUs that the peer takes."""
    many = [Asked(ALL[0].sop_class_uid, SOPInstanceUID(f"1.2.3.{n}")) for n in range(1000)]
    with asking(node) as (association, heard):
        assert ask(association, "1.9.7", [*many, *ALL]) == 0x0000
        report = heard.get(timeout=PATIENCE_SECONDS)
    assert len(report.failed) == 1000
    assert len(report.kept) == 2
