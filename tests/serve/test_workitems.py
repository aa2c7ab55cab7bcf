"""The worklist over real HTTP and WebSockets: every transaction of PS3.18 11, and what it refuses."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import Request
from pydicom.config import RAISE, settings
from pydicom.dataset import Dataset
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from dicom_ai_node import compose
from dicom_ai_node.config import NodeConfig
from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.json_model import data_set, items, merged, tag_of, text
from dicom_ai_node.domain.native_model import xml_of
from dicom_ai_node.domain.native_model_read import header_of
from dicom_ai_node.domain.uids import is_uid
from dicom_ai_node.domain.workitem import FILTERED_WORKLIST, WORKLIST
from dicom_ai_node.domain.workitem_of_job import workitem_uid
from dicom_ai_node.receive.server import listening_socket
from dicom_ai_node.serve.access import NOBODY, Person, Role
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.dicomweb.workitem_watching import channel_router, watching_router
from dicom_ai_node.serve.dicomweb.workitems import workitems_router
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.web import WebServer
from tests.confided import confided
from tests.peers.tools import free_port
from tests.serve.window import parts
from tests.store.made import LEASE, NOON, encoding, listed, results_of
from tests.workitems import CLAIM, discontinued, order, performed, progress, without

UID = "1.2.3.1"
WHO = {"Authorization": "Bearer secret"}
JSON = {"Content-Type": "application/dicom+json", "Accept": "application/dicom+json"}


@dataclass
class Desk:
    """A node that answers, and a client of it."""

    config: NodeConfig
    port: int
    client: httpx.Client

    @property
    def ledger(self) -> SqlLedger:
        """The ledger of the node."""
        return compose.ledger(self.config)

    def ask(self, method: str, path: str, said: object = None, **headers: str) -> httpx.Response:
        """Ask for something below `/dicom-web`."""
        body = None if said is None else json.dumps(said)
        return self.client.request(
            method, f"/dicom-web{path}", content=body, headers={**JSON, **headers}
        )

    def create(self, uid: str = UID, said: object = None) -> httpx.Response:
        """Create a workitem."""
        return self.ask("POST", f"/workitems?{uid}", order() if said is None else said)

    def to(self, state: str, claim: str = CLAIM, uid: str = UID) -> httpx.Response:
        """Ask for another state."""
        said = data_set(ProcedureStepState=state, TransactionUID=claim)
        return self.ask("PUT", f"/workitems/{uid}/state", said)

    def workitem(self, uid: str = UID) -> dict[str, Any]:
        """Return a workitem."""
        (found,) = self.ask("GET", f"/workitems/{uid}").raise_for_status().json()
        return found  # type: ignore[no-any-return]

    def state(self, uid: str = UID) -> str:
        """Return Procedure Step State."""
        return text(self.workitem(uid), "ProcedureStepState")

    def listen(self, aetitle: str, **headers: str) -> ClientConnection:
        """Open the channel of a subscriber."""
        return connect(
            f"ws://127.0.0.1:{self.port}/dicom-web/subscribers/{aetitle}",
            additional_headers={**WHO, **headers},
            max_size=None,
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Open the window of a node; each test uses UIDs of its own."""
    folder = tmp_path_factory.mktemp("node")
    with running(folder) as desk:
        yield desk


class running:  # noqa: N801 - reads as a sentence where it is used
    """A node that answers while the context lasts."""

    def __init__(self, folder: Path) -> None:
        confided(folder / "token", "secret\n")
        self.path = folder / "ae_config.yaml"
        self.path.write_text(
            dedent(f"""\
            receive: {{ae_title: AI_NODE, accept_from: [CT1]}}
            store: {{folder: ./node}}
            routes:
              - {{name: liver, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
            serve: {{port: {free_port()}, token: {{file: token}}}}
            """)
        )

    def __enter__(self) -> Desk:
        config = compose.settings(self.path)
        compose.prepare(config)
        assert config.serve is not None
        self.server = WebServer(config)
        self.server.start()
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{config.serve.port}", headers=WHO, timeout=30
        )
        return Desk(config, config.serve.port, self.client)

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.server.close()
        assert not self.server.is_alive()


def warned(answer: httpx.Response) -> str:
    """Return what the Warning header says, without who says it."""
    said = answer.headers["Warning"]
    assert said.startswith("299 http://127.0.0.1:")
    return str(said.split(": ", maxsplit=1)[1])


def of(job: Job) -> str:
    """Return the UID of the workitem that a job is."""
    return workitem_uid(job.key, 0)


# the life of a workitem


def test_a_workitem_is_created_claimed_done_and_completed(desk: Desk) -> None:
    """As a worklist manager and a workstation do it, IHE AIW-I, with every answer."""
    made = desk.create("1.2.10.1")
    assert (made.status_code, made.content, "Warning" in made.headers) == (201, b"", False)
    assert made.headers["Location"].endswith("/dicom-web/workitems/1.2.10.1")
    found = desk.client.get(made.headers["Location"])
    assert found.headers["Content-Type"] == "application/dicom+json"
    (first,) = found.json()
    assert Dataset.from_json(first).PatientName == "Nemo^Nobody"
    assert text(first, "ProcedureStepState") == "SCHEDULED"
    assert desk.to("IN PROGRESS", uid="1.2.10.1").status_code == 200
    so_far = desk.ask("POST", f"/workitems/1.2.10.1?{CLAIM}", progress(40))
    assert so_far.status_code == 200
    early = desk.to("COMPLETED", uid="1.2.10.1")
    assert (early.status_code, "UnifiedProcedureStep" in early.json()["detail"]) == (409, True)
    inside = merged(performed(), data_set(TransactionUID=CLAIM))
    assert desk.ask("POST", "/workitems/1.2.10.1", inside).status_code == 200
    assert desk.to("COMPLETED", uid="1.2.10.1").status_code == 200
    over = desk.workitem("1.2.10.1")
    assert text(over, "ProcedureStepState") == "COMPLETED"
    assert CLAIM not in json.dumps(over)
    again = desk.to("COMPLETED", uid="1.2.10.1")
    assert (again.status_code, warned(again)) == (
        200, "The UPS is already in the requested state of COMPLETED.",
    )  # fmt: skip


def test_a_workitem_may_bring_its_uid_or_get_one(desk: Desk) -> None:
    """In the query by name or alone, in the data set, or none."""
    assert desk.ask("POST", "/workitems?workitem=1.2.11.1", order()).status_code == 201
    inside = order(SOPInstanceUID="1.2.11.2")
    assert desk.ask("POST", "/workitems", [inside]).headers["Location"].endswith("/1.2.11.2")
    new = desk.ask("POST", "/workitems", order()).headers["Location"].rpartition("/")[2]
    assert is_uid(new)
    assert desk.state(new) == "SCHEDULED"


def test_what_was_left_out_is_said_to_be_added(desk: Desk) -> None:
    """The sender hears that the workitem is not quite what it sent."""
    made = desk.create("1.2.12.1", without(order(), tag_of("AdmissionID")))
    assert (made.status_code, warned(made)) == (
        201, "The Workitem was created with modifications.",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "said", "headers", "status"),
    [
        pytest.param("?1.2.13.1", "[", {}, 400, id="no JSON"),
        pytest.param("?1.2.13.1", [], {}, 400, id="nothing"),
        pytest.param("?1.2.13.1", [order(), order()], {}, 400, id="two at once"),
        pytest.param("?1.2.13.1", {"0010": {}}, {}, 400, id="no tag"),
        pytest.param("?1.2.13.1", {"00100010": {"Value": []}}, {}, 400, id="no vr"),
        pytest.param("?1.2.13.1", {"00100010": {"vr": "PN", "Value": "a"}}, {}, 400, id="no array"),
        pytest.param(
            "?1.2.13.1", {"00100010": {"vr": "PN", "Value": ["a"]}}, {}, 400, id="no name"
        ),
        pytest.param(
            "?1.2.13.1", {"00404021": {"vr": "SQ", "Value": ["a"]}}, {}, 400, id="no item"
        ),
        pytest.param("?workitem=hello", order(), {}, 400, id="no UID"),
        pytest.param("", order(SOPInstanceUID="hello"), {}, 400, id="no UID inside"),
        pytest.param("?1.2.13.1", order(), {"Content-Type": "text/plain"}, 415, id="text"),
        pytest.param("?1.2.13.1", order(ProcedureStepLabel=""), {}, 400, id="no label"),
        pytest.param("?1.2.13.1", "x" * 5_000_000, {}, 413, id="too much"),
    ],
)
def test_what_cannot_be_created(
    desk: Desk, path: str, said: object, headers: dict[str, str], status: int
) -> None:
    """Each with a sentence; nothing is kept of it."""
    body = said if isinstance(said, str) else json.dumps(said)
    answer = desk.client.post(
        f"/dicom-web/workitems{path}", content=body, headers={**JSON, **headers}
    )
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert desk.ask("GET", "/workitems/1.2.13.1").status_code == 404


def test_a_deep_data_set_is_refused(desk: Desk) -> None:
    """However deep; the process stays alive."""
    deep = '{"00404021":{"vr":"SQ","Value":[' * 5000 + "]}}" * 5000
    answer = desk.client.post("/dicom-web/workitems?1.2.13.2", content=deep, headers=JSON)
    assert answer.status_code == 400
    assert desk.client.get("/health/live").status_code == 200


def test_a_uid_is_taken_once(desk: Desk) -> None:
    """409 with the words of the standard's world."""
    desk.create("1.2.14.1")
    again = desk.create("1.2.14.1")
    assert (again.status_code, warned(again)) == (409, "The Workitem exists already.")


_STATES: dict[str, Callable[[Desk, str], object]] = {
    "SCHEDULED": lambda desk, uid: None,
    "IN PROGRESS": lambda desk, uid: desk.to("IN PROGRESS", uid=uid),
    "COMPLETED": lambda desk, uid: (
        desk.to("IN PROGRESS", uid=uid),
        desk.ask("POST", f"/workitems/{uid}?{CLAIM}", performed()),
        desk.to("COMPLETED", uid=uid),
    ),
    "CANCELED": lambda desk, uid: (
        desk.to("IN PROGRESS", uid=uid),
        desk.ask("POST", f"/workitems/{uid}?{CLAIM}", discontinued()),
        desk.to("CANCELED", uid=uid),
    ),
}


@pytest.mark.parametrize(
    ("before", "to", "claim", "status", "words"),
    [
        ("SCHEDULED", "IN PROGRESS", "", 400, "The Transaction UID is missing."),
        ("SCHEDULED", "COMPLETED", CLAIM, 409, "inconsistent"),
        ("SCHEDULED", "CANCELED", CLAIM, 409, "inconsistent"),
        ("SCHEDULED", "SCHEDULED", CLAIM, 400, "inconsistent"),
        ("SCHEDULED", "STOPPED", CLAIM, 400, "value that it cannot have"),
        ("SCHEDULED", "IN PROGRESS", "hello", 400, "value that it cannot have"),
        ("IN PROGRESS", "IN PROGRESS", CLAIM, 409, "inconsistent"),
        ("IN PROGRESS", "IN PROGRESS", "1.2.3.4", 409, "inconsistent"),
        ("IN PROGRESS", "COMPLETED", "1.2.3.4", 400, "The Transaction UID is incorrect."),
        ("IN PROGRESS", "COMPLETED", "", 400, "The Transaction UID is missing."),
        ("IN PROGRESS", "COMPLETED", CLAIM, 409, "inconsistent"),
        ("IN PROGRESS", "CANCELED", CLAIM, 409, "inconsistent"),
        ("COMPLETED", "IN PROGRESS", CLAIM, 409, "inconsistent"),
        ("COMPLETED", "CANCELED", CLAIM, 409, "inconsistent"),
        ("COMPLETED", "COMPLETED", "1.2.3.4", 400, "The Transaction UID is incorrect."),
        ("CANCELED", "IN PROGRESS", CLAIM, 409, "inconsistent"),
        ("CANCELED", "COMPLETED", CLAIM, 409, "inconsistent"),
    ],
)
def test_no_other_way_leads_anywhere(
    desk: Desk, before: str, to: str, claim: str, status: int, words: str
) -> None:
    """Refused with the status and the warning of PS3.18 11.7.3, and nothing has changed."""
    uid = f"1.2.15.{abs(hash((before, to, claim))) % 10**9}"
    desk.create(uid)
    _STATES[before](desk, uid)
    assert desk.state(uid) == before
    answer = desk.to(to, claim, uid)
    assert (answer.status_code, words in warned(answer)) == (status, True), answer.headers
    assert desk.state(uid) == before


@pytest.mark.parametrize(
    ("before", "claim", "status", "words"),
    [
        ("SCHEDULED", CLAIM, 409, "The target URI did not reference a claimed Workitem."),
        ("IN PROGRESS", "1.2.3.4", 400, "The Transaction UID is incorrect."),
        ("IN PROGRESS", "", 400, "The Transaction UID is missing."),
        ("COMPLETED", CLAIM, 400, "inconsistent"),
        ("CANCELED", CLAIM, 400, "inconsistent"),
    ],
)
def test_who_may_not_set_attributes(
    desk: Desk, before: str, claim: str, status: int, words: str
) -> None:
    """As PS3.18 11.6.3 has it."""
    uid = f"1.2.16.{abs(hash((before, claim))) % 10**9}"
    desk.create(uid)
    _STATES[before](desk, uid)
    found = desk.workitem(uid)
    answer = desk.ask("POST", f"/workitems/{uid}?{claim}", data_set(WorklistLabel="other"))
    assert (answer.status_code, words in warned(answer)) == (status, True)
    assert desk.workitem(uid) == found


def test_of_many_that_claim_at_once_one_gets_it(desk: Desk) -> None:
    """The others hear 409."""
    desk.create("1.2.17.1")
    statuses: list[int] = []

    def claim(number: int) -> None:
        said = data_set(ProcedureStepState="IN PROGRESS", TransactionUID=f"1.2.17.1.{number}")
        answer = httpx.put(
            f"http://127.0.0.1:{desk.port}/dicom-web/workitems/1.2.17.1/state",
            content=json.dumps(said), headers={**JSON, **WHO}, timeout=30,
        )  # fmt: skip
        statuses.append(answer.status_code)

    several = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    assert sorted(statuses) == [200] + [409] * 7


def test_what_is_not_there_is_not_found(desk: Desk) -> None:
    """404 for every transaction, 400 for what is no UID."""
    assert desk.ask("GET", "/workitems/1.9.9").status_code == 404
    assert desk.ask("POST", "/workitems/1.9.9?1.2", progress(1)).status_code == 404
    assert desk.to("IN PROGRESS", uid="1.9.9").status_code == 404
    assert desk.ask("POST", "/workitems/1.9.9/cancelrequest").status_code == 404
    assert desk.ask("POST", "/workitems/1.9.9/subscribers/A").status_code == 404
    assert desk.ask("DELETE", "/workitems/1.9.9/subscribers/A").status_code == 404
    assert desk.ask("GET", "/workitems/hello").status_code == 400
    assert desk.ask("POST", f"/workitems/{WORKLIST}/subscribers/{'A' * 17}").status_code == 400


# search


def test_the_worklist_is_searched(desk: Desk) -> None:
    """By keywords, tags and paths into sequences, page by page; 204 if nothing matches."""
    for number in range(3):
        desk.create(f"1.2.20.{number}", order(WorklistLabel="search", PatientID=f"P{number}"))

    def uids(query: str) -> list[str]:
        answer = desk.ask("GET", f"/workitems?WorklistLabel=search&{query}").raise_for_status()
        found = answer.json() if answer.content else []
        return [text(one, "SOPInstanceUID")[-1] for one in found]

    assert uids("PatientID=P1") == uids("00100020=P1") == ["1"]
    assert uids("ScheduledWorkitemCodeSequence.CodeValue=110005") == ["0", "1", "2"]
    assert uids("ScheduledWorkitemCodeSequence.CodeValue=110004") == []
    assert uids("limit=1&offset=1") == ["1"]
    assert uids("PatientName=nemo*&includefield=all&fuzzymatching=true") == ["0", "1", "2"]
    assert desk.ask("GET", "/workitems?PatientID=nobody").status_code == 204


@pytest.mark.parametrize(
    "query", ["Colour=red", "limit=many", "offset=-1", "fuzzymatching=perhaps", "0010002=1"]
)
def test_a_query_that_means_nothing_is_refused(desk: Desk, query: str) -> None:
    """400 instead of an answer that looks complete."""
    answer = desk.ask("GET", f"/workitems?{query}")
    assert (answer.status_code, bool(answer.json()["detail"])) == (400, True)


def test_a_search_tells_what_is_planned_and_what_is_asked_for(desk: Desk) -> None:
    """By keyword, tag or path; all of it for `all`; 400 for what is no attribute."""
    desk.create("1.2.25.1", merged(order(WorklistLabel="fields"), data_set(Occupation="none")))
    performer = "UnifiedProcedureStepPerformedProcedureSequence"

    def told(fields: str) -> set[str]:
        answer = desk.ask("GET", f"/workitems?WorklistLabel=fields{fields}").raise_for_status()
        (one,) = answer.json()
        return set(one)

    usual = told("")
    assert {tag_of("PatientName"), tag_of("InputInformationSequence")} < usual
    assert not {tag_of("Occupation"), tag_of(performer)} & usual
    assert told("&includefield=Occupation") == usual | {tag_of("Occupation")}
    assert told(f"&includefield={performer}.OutputInformationSequence,00102180") == usual | {
        tag_of("Occupation"), tag_of(performer),
    }  # fmt: skip
    assert told("&includefield=00102180&includefield=PatientID") == usual | {tag_of("Occupation")}
    assert told("&Occupation=none") == usual | {tag_of("Occupation")}
    assert told("&includefield=all") == set(desk.workitem("1.2.25.1"))
    assert desk.ask("GET", "/workitems?includefield=Colour").status_code == 400


XML = "application/dicom+xml"
XML_PARTS = f'multipart/related; type="{XML}"'


def test_a_worklist_may_speak_xml(desk: Desk) -> None:
    """Created, claimed, found and read as XML, it says what it says as JSON."""
    as_xml = {"content": xml_of(order(WorklistLabel="xml")), "headers": {"Content-Type": XML}}
    answer = desk.client.post("/dicom-web/workitems?1.2.26.1", **as_xml)
    assert answer.status_code == 201
    answer = desk.ask("GET", "/workitems/1.2.26.1", Accept=XML)
    assert answer.headers["Content-Type"] == XML
    assert header_of(answer.content) == desk.workitem("1.2.26.1")
    ((kind, body),) = parts(desk.ask("GET", "/workitems/1.2.26.1", Accept=XML_PARTS))
    assert (kind, header_of(body)) == (XML, desk.workitem("1.2.26.1"))
    found = parts(
        desk.ask("GET", "/workitems?WorklistLabel=xml&includefield=all", Accept=XML_PARTS)
    )
    assert [header_of(body) for _, body in found] == [desk.workitem("1.2.26.1")]
    claim = xml_of(data_set(ProcedureStepState="IN PROGRESS", TransactionUID=CLAIM))
    answer = desk.client.put(
        "/dicom-web/workitems/1.2.26.1/state", content=claim, headers={"Content-Type": XML}
    )
    assert (answer.status_code, desk.state("1.2.26.1")) == (200, "IN PROGRESS")
    assert desk.ask("GET", "/workitems?PatientID=nobody", Accept=XML_PARTS).status_code == 204


def test_xml_that_is_no_data_set_is_refused(desk: Desk) -> None:
    """In words; a DOCTYPE is not even looked at."""
    bomb = b'<!DOCTYPE x [<!ENTITY a "a">]><NativeDicomModel/>'
    for said, why in ((b"<x", "no"), (bomb, "DOCTYPE"), (b"<x/>", "NativeDicomModel")):
        answer = desk.client.post(
            "/dicom-web/workitems?1.2.27.1", content=said, headers={"Content-Type": XML}
        )
        assert answer.status_code == 400
        assert why in answer.json()["detail"]


def test_what_is_not_given_is_refused(desk: Desk) -> None:
    """406 says what is."""
    answer = desk.ask("GET", "/workitems", Accept="text/html")
    assert (answer.status_code, "json" in answer.json()["detail"]) == (406, True)


# jobs


def test_a_job_is_found_and_leads_to_its_images(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The addresses of inputs and outputs are whole, and nobody else can claim it."""
    job = listed(desk.ledger, uid="1.2.30.1.1")
    (found,) = desk.ask(
        "GET", "/workitems?ProcedureStepLabel=liver&StudyInstanceUID=1.2.30.1"
    ).json()
    assert text(found, "SOPInstanceUID") == of(job)
    (source,) = items(found, "InputInformationSequence")
    (way,) = items(source, "WADORSRetrievalSequence")
    assert text(way, "RetrieveURL") == (
        f"http://127.0.0.1:{desk.port}/dicom-web/studies/1.2.30.1/series/1.2.30.1.1"
    )
    # As DICOM it can be encoded, and no value is longer than its VR allows.
    monkeypatch.setattr(settings, "_writing_validation_mode", RAISE)
    Dataset.from_json(found).save_as(BytesIO(), implicit_vr=False, little_endian=True)
    claim = desk.to("IN PROGRESS", uid=of(job))
    assert (claim.status_code, warned(claim)) == (409, "The Workitem is performed by this node.")
    asked = desk.ask("POST", f"/workitems/{of(job)}/cancelrequest")
    assert asked.status_code == 202
    assert desk.state(of(job)) == "CANCELED"
    again = desk.ask("POST", f"/workitems/{of(job)}/cancelrequest/RIS")
    assert warned(again) == "The UPS is already in the requested state of CANCELED."


def test_a_job_that_delivers_is_not_cancelled(desk: Desk) -> None:
    """409: the performer chooses not to."""
    listed(desk.ledger, uid="1.2.31.1.1")
    held = encoding(desk.ledger)
    desk.ledger.commit_results(held, results_of(held), ["pacs"], NOON)
    answer = desk.ask("POST", f"/workitems/{of(held)}/cancelrequest")
    assert (answer.status_code, warned(answer)) == (409, "Performer chooses not to cancel.")


# subscriptions


def told(channel: ClientConnection, count: int) -> list[dict[str, Any]]:
    """Return so many reports."""
    return [json.loads(channel.recv(timeout=20)) for _ in range(count)]


def kinds(reports: list[dict[str, Any]]) -> list[str]:
    """Return the event types and states of reports."""
    return [
        f"{text(one, 'EventTypeID')} {text(one, 'ProcedureStepState')}".strip() for one in reports
    ]


def test_a_subscriber_hears_everything_in_order(desk: Desk) -> None:
    """States, progress, assignment and requests to cancel, as DICOM JSON."""
    desk.create("1.2.40.1")
    made = desk.ask("POST", "/workitems/1.2.40.1/subscribers/WATCH1")
    assert made.status_code == 201
    address = made.headers["Content-Location"]
    assert address == f"ws://127.0.0.1:{desk.port}/dicom-web/subscribers/WATCH1"
    with connect(address, additional_headers=WHO) as channel:
        assert kinds(told(channel, 1)) == ["1 SCHEDULED"]
        desk.to("IN PROGRESS", uid="1.2.40.1")
        desk.ask("POST", f"/workitems/1.2.40.1?{CLAIM}", progress(10))
        desk.ask("POST", "/workitems/1.2.40.1/cancelrequest/RIS", data_set(ContactURI="tel:1"))
        desk.ask("POST", f"/workitems/1.2.40.1?{CLAIM}", discontinued())
        desk.to("CANCELED", uid="1.2.40.1")
        heard = told(channel, 5)
        assert kinds(heard) == ["1 IN PROGRESS", "3", "2", "3", "1 CANCELED"]
        assert {text(one, "AffectedSOPInstanceUID") for one in heard} == {"1.2.40.1"}
        assert (text(heard[2], "RequestingAE"), text(heard[2], "ContactURI")) == ("RIS", "tel:1")
        assert desk.ask("DELETE", "/workitems/1.2.40.1/subscribers/WATCH1").status_code == 200
    assert desk.ask("DELETE", "/workitems/1.2.40.1/subscribers/WATCH1").status_code == 404


def test_a_subscriber_hears_of_a_job_as_it_moves(desk: Desk) -> None:
    """No leg of the job knows of the worklist, and nobody has to ask in between."""
    desk.ask(
        "POST",
        f"/workitems/{FILTERED_WORKLIST}/subscribers/WATCH2?filter=StudyInstanceUID=1.2.41.1",
    )
    with desk.listen("WATCH2") as channel:
        listed(desk.ledger, uid="1.2.41.1.1")
        assert kinds(told(channel, 2)) == ["1 SCHEDULED", "5"]
        ledger = desk.ledger
        (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
        assert kinds(told(channel, 2)) == ["1 IN PROGRESS", "3"]
        ledger.move(claimed, Stage.REJECTED, NOON, note="GEO_MISSING_SLICE: one is missing")
        (end,) = told(channel, 1)
    (reason,) = items(end, "ProcedureStepDiscontinuationReasonCodeSequence")
    assert (text(end, "ProcedureStepState"), text(reason, "CodeValue")) == ("CANCELED", "110523")


def test_what_nobody_has_heard_waits(desk: Desk) -> None:
    """A channel that broke loses nothing, and a subscriber need not listen all the time."""
    desk.create("1.2.42.1")
    desk.ask("POST", "/workitems/1.2.42.1/subscribers/WATCH3")
    with desk.listen("WATCH3") as channel:
        assert kinds(told(channel, 1)) == ["1 SCHEDULED"]
    time.sleep(0.6)
    desk.to("IN PROGRESS", uid="1.2.42.1")
    with desk.listen("WATCH3") as channel:
        assert kinds(told(channel, 1)) == ["1 IN PROGRESS"]


def test_the_newest_channel_takes_over(desk: Desk) -> None:
    """The one before is told and closed."""
    desk.create("1.2.43.1")
    with desk.listen("WATCH4") as old, desk.listen("WATCH4") as new:
        with pytest.raises(ConnectionClosed) as closed:
            old.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4000
        desk.ask("POST", "/workitems/1.2.43.1/subscribers/WATCH4")
        assert kinds(told(new, 1)) == ["1 SCHEDULED"]


def test_a_subscriber_that_does_not_read_holds_up_nobody(desk: Desk) -> None:
    """Neither the other subscribers nor those who work."""
    for aetitle in ("DEAF", "GOOD"):
        desk.ask(
            "POST",
            f"/workitems/{FILTERED_WORKLIST}/subscribers/{aetitle}?filter=WorklistLabel=deaf",
        )
    # A handshake, and then silence on a socket with next to no buffer.
    deaf = socket.create_connection(("127.0.0.1", desk.port))
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    deaf.sendall(
        b"GET /dicom-web/subscribers/DEAF HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer secret\r\n\r\n"
    )
    with desk.listen("GOOD") as good:
        began = time.monotonic()
        for number in range(30):
            long = "long " * 1000
            desk.create(
                f"1.2.44.{number}",
                order(WorklistLabel="deaf", CommentsOnTheScheduledProcedureStep=long),
            )
        assert kinds(told(good, 60)) == ["1 SCHEDULED", "5"] * 30
        assert time.monotonic() - began < 30
    deaf.close()


def test_the_worklist_can_be_subscribed_suspended_and_left(desk: Desk) -> None:
    """With a deletion lock or without; a filter belongs to the filtered worklist only."""
    subscribed = f"/workitems/{WORKLIST}/subscribers/WATCH5"
    assert desk.ask("POST", f"{subscribed}?deletionlock=true").status_code == 201
    assert desk.ask("POST", f"{subscribed}?deletionlock=perhaps").status_code == 400
    assert desk.ask("POST", f"{subscribed}?filter=PatientID=1").status_code == 400
    assert desk.ask("POST", f"/workitems/{FILTERED_WORKLIST}/subscribers/WATCH5").status_code == 400
    assert desk.ask("POST", f"{subscribed}/suspend").status_code == 200
    assert desk.ask("POST", f"{subscribed}/suspend").status_code == 404
    assert desk.ask("POST", subscribed).status_code == 201
    assert desk.ask("DELETE", subscribed).status_code == 200


def test_a_crash_between_two_requests_loses_nothing(tmp_path: Path) -> None:
    """Whoever holds the Transaction UID goes on after it, and what was not told is told."""
    node = running(tmp_path)
    with node as desk:
        desk.create()
        desk.ask("POST", f"/workitems/{UID}/subscribers/WATCH")
        desk.to("IN PROGRESS")
    with node as desk:
        assert desk.state() == "IN PROGRESS"
        assert desk.to("IN PROGRESS", "1.2.3.4").status_code == 409
        desk.ask("POST", f"/workitems/{UID}?{CLAIM}", performed())
        assert desk.to("COMPLETED").status_code == 200
        with desk.listen("WATCH") as channel:
            assert kinds(told(channel, 3)) == ["1 SCHEDULED", "1 IN PROGRESS", "1 COMPLETED"]


def test_the_service_says_that_it_has_a_worklist(desk: Desk) -> None:
    """In its description, with what it takes and gives; PS3.18 8.9."""
    told = desk.client.get("/dicom-web/", headers={"Accept": "application/json"}).json()
    paths = {one["path"]: one["method"] for one in told["application"]["resources"]["resource"]}
    assert {method["name"] for method in paths["workitems"]} == {"GET", "POST"}
    (change,) = paths["workitems/{uid}/state"]
    assert change["request"]["representation"] == [
        {"mediaType": "application/dicom+json"}, {"mediaType": "application/dicom+xml"},
    ]  # fmt: skip
    assert "commitment-requests/{transaction_uid}" in paths


# who may


class Known:
    """Knows people by a word in a header."""

    async def who(self, request: Request) -> Person:
        """Return who asks."""
        said = request.headers.get("X-Who")
        return Person(name=said, roles=frozenset({Role(said)})) if said else NOBODY


@pytest.fixture(scope="module")
def door(desk: Desk) -> Iterator[str]:
    """Serve the same worklist behind a door that knows roles; return where."""
    worklist = compose.worklist(desk.config)
    routers = [
        workitems_router(worklist, compose.now), watching_router(worklist), channel_router(worklist),
    ]  # fmt: skip
    listening = listening_socket("127.0.0.1", free_port())
    server = uvicorn.Server(
        uvicorn.Config(
            application(Known(), routers), log_config=None, lifespan="off", ws="websockets-sansio"
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/workitems", "viewer"),
        ("GET", "/workitems/1.9", "viewer"),
        ("POST", "/workitems", "operator"),
        ("POST", "/workitems/1.9", "operator"),
        ("PUT", "/workitems/1.9/state", "operator"),
        ("PUT", "/workitems/1.9/state/RIS", "operator"),
        ("POST", "/workitems/1.9/cancelrequest", "operator"),
        ("POST", "/workitems/1.9/cancelrequest/RIS", "operator"),
        ("POST", "/workitems/1.9/subscribers/A", "viewer"),
        ("DELETE", "/workitems/1.9/subscribers/A", "viewer"),
        ("POST", "/workitems/1.9/subscribers/A/suspend", "viewer"),
    ],
)
def test_looking_is_for_viewers_and_changing_for_operators(
    door: str, method: str, path: str, role: str
) -> None:
    """Nobody else gets further than the door."""

    def status(who: str) -> int:
        headers = {"X-Who": who} if who else {}
        address = f"http://{door}/dicom-web{path}"
        return httpx.request(method, address, headers=headers, timeout=30).status_code

    assert status("") == 401
    assert status("sender") == 403
    assert (status("viewer") == 403) == (role == "operator")
    assert status("operator") not in {401, 403}


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        pytest.param({}, False, id="nobody"),
        pytest.param({"X-Who": "sender"}, False, id="somebody who may not look"),
        pytest.param({"X-Who": "viewer"}, True, id="a viewer"),
        pytest.param(
            {"X-Who": "viewer", "Origin": "http://evil.example"}, False, id="a page from elsewhere"
        ),
        pytest.param({"X-Who": "viewer", "Origin": "http://DOOR"}, True, id="our own page"),
    ],
)
def test_who_may_listen(door: str, headers: dict[str, str], is_let_in: bool) -> None:
    """Before the handshake: a browser would send its cookies from anybody's page."""
    said = {name: value.replace("DOOR", door) for name, value in headers.items()}
    address = f"ws://{door}/dicom-web/subscribers/A"
    if is_let_in:
        with connect(address, additional_headers=said) as channel:
            channel.ping()
    else:
        with pytest.raises(InvalidStatus, match="403"):
            connect(address, additional_headers=said)


def test_nobody_listens_without_a_token(desk: Desk) -> None:
    """Over a real socket: 403 instead of a channel."""
    with pytest.raises(InvalidStatus, match="403"):
        desk.listen("A", Authorization="Bearer wrong")
