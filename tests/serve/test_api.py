"""The console's data as JSON: what it says, how it is paged, what is refused, what it changes."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.study import Received
from tests.serve.console.node import ConsoleNode, ct

JSON = {"Accept": "application/json"}


@pytest.fixture
def node(tmp_path: Path) -> ConsoleNode:
    """Return a node that has seen nothing yet."""
    return ConsoleNode(tmp_path)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> ConsoleNode:
    """Return a node with a study delivered, one refused, one parked, one arriving, bytes aside."""
    made = ConsoleNode(tmp_path_factory.mktemp("api"))
    made.encoded(made.routed(ct("delivered", PatientName="Larch^Ada", PatientID="L-1")))
    made.sent()
    made.encoded(made.routed(ct("refused", PatientName="Birch^Bo", PatientID="B-2")))
    made.sent("0xA900 data set does not match SOP class")
    made.parked(made.routed(ct("parked")))
    named = ct("arriving", SpecificCharacterSet="ISO_IR 192", AccessionNumber="A1")
    named.PatientName = "Yamada^Tarou=山田^太郎=やまだ^たろう"
    made.put(named)
    made.aside(b"no DICOM at all")
    return made


def _uid(study: str) -> str:
    return str(ct(study).StudyInstanceUID)


def _get(node: ConsoleNode, path: str) -> Any:  # noqa: ANN401 - JSON
    answer = node.ask(f"/api/{path}", headers=JSON)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def _do(
    node: ConsoleNode, path: str, method: str = "POST", content: bytes = b""
) -> tuple[int, Any]:
    answer = node.ask(f"/api/{path}", method, content, JSON)
    return answer.status_code, answer.json() if answer.content else None


def _part_10(node: ConsoleNode, study: str = "aside", **changes: object) -> bytes:
    spooled = node.blobs.spool()
    ct(study, **changes).save_as(spooled, enforce_file_format=True)
    content = spooled.read_bytes()
    spooled.unlink()
    return content


def test_the_overview_counts(busy: ConsoleNode) -> None:
    """What waits for a person, what is aside, how long legs take, how much room there is."""
    told = _get(busy, "overview")
    assert (told["needs_a_person"], told["put_aside"]) == (2, 1)
    assert told["counts"]["jobs.delivered"] == 1
    assert sum(told["hourly"].values()) == 4
    assert {one["name"] for one in told["legs"]} == {
        "waiting", "inferring", "encoding", "delivering",
    }  # fmt: skip
    assert told["free_bytes"] > 0
    assert told["is_short_of_room"] is False
    assert told["ae_title"] == "AI_NODE"


def test_studies_are_listed_as_they_arrive(busy: ConsoleNode) -> None:
    """With names as DICOM writes them, and how far their jobs are."""
    told = _get(busy, "studies")
    assert told["next"] is None
    first, *_, last = told["studies"]
    assert first["patient_name"] == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert (first["is_open"], first["jobs"], first["accession_number"]) == (True, {}, "A1")
    assert last["study_instance_uid"] == _uid("delivered")
    assert last["patient_name"] == "Larch^Ada"
    assert (last["series"], last["instances"], last["modalities"]) == (1, 1, ["CT"])
    assert (last["senders"], last["jobs"]) == (["CT1"], {"delivered": 1})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("q=larch", ["delivered"], id="a name, whatever the case"),
        pytest.param("q=B-2", ["refused"], id="an ID"),
        pytest.param("q=A1&modality=CT", ["arriving"], id="an accession number"),
        pytest.param("q=nobody", [], id="nobody"),
        pytest.param("since=2025-01-01", [], id="a later date"),
    ],
)
def test_a_study_is_found(busy: ConsoleNode, query: str, found: list[str]) -> None:
    """By the same search as in the console."""
    told = _get(busy, f"studies?{query}")
    assert [one["study_instance_uid"] for one in told["studies"]] == [_uid(one) for one in found]


def test_lists_go_on(node: ConsoleNode) -> None:
    """Page by page, each study once, until there is no next."""
    for number in range(35):
        node.put(ct(f"many {number}", PatientName=f"Oak^{number:02}"))
    for begin in ("/api/studies", "/api/studies?q=oak"):
        names, where, pages = [], begin, 0
        while where is not None:
            told = node.ask(where, headers=JSON).json()
            names += [one["patient_name"] for one in told["studies"]]
            where, pages = told["next"], pages + 1
        assert (pages, len(names), len({*names})) == (2, 35, 35)


def test_a_study_tells_its_story(busy: ConsoleNode) -> None:
    """What was received, why it is complete, what every route said, and its jobs."""
    told = _get(busy, f"studies/{_uid('delivered')}")
    (series,) = told["all_series"]
    assert (series["complete_because"], series["sender"]) == ("told so", "CT1")
    says = {one["route"]: one for one in series["routes"]}
    assert says["tissue"]["answer"] == "takes it"
    assert says["chest"]["reasons"] == ["Modality is CT, wanted CR or DX"]
    assert "series_complete" in [one["what"] for one in series["time_line"]]
    (job,) = [one for one in told["all_jobs"] if one["route"] == "tissue"]
    assert job["stage"] == "delivered"


def test_jobs_are_filtered(busy: ConsoleNode) -> None:
    """By stage, route and who has to act."""

    def stages(query: str) -> list[str]:
        return [one["stage"] for one in _get(busy, f"jobs?{query}")["jobs"]]

    assert sorted(stages("route=tissue")) == ["delivered", "parked", "parked"]
    assert stages("stage=delivered") == ["delivered"]
    assert len(stages("who=a+person")) == 2
    assert stages("who=operator") == stages("route=chest") == stages("before=1") == []


def test_jobs_go_on(node: ConsoleNode) -> None:
    """The next page keeps the filter."""
    for number in range(52):
        node.routed(ct(f"many {number}"))
    first = _get(node, "jobs?route=tissue")
    assert (len(first["jobs"]), "route=tissue" in first["next"]) == (50, True)
    second = node.ask(first["next"], headers=JSON).json()
    assert (len(second["jobs"]), second["next"]) == (2, None)
    assert len({one["key"] for one in first["jobs"] + second["jobs"]}) == 52


def test_a_job_tells_what_became_of_it(busy: ConsoleNode) -> None:
    """Inputs, results, deliveries and the time line; and what can be done now."""
    (listed,) = [one for one in _get(busy, "jobs")["jobs"] if "0xA900" in one["note"]]
    told = _get(busy, f"jobs/{listed['name']}")
    assert {name: told[name] for name in listed} == listed
    assert (told["can_retry"], told["can_cancel"], told["who"]) == (True, False, "a person")
    (into,) = told["inputs"]
    assert into["series_instance_uid"] == ct("refused").SeriesInstanceUID
    (made,) = told["results"]
    (sent,) = told["deliveries"]
    assert sent["sop_instance_uid"] == made["sop_instance_uid"]
    assert (sent["destination"], sent["state"]) == ("pacs", "parked")
    assert sent["note"] == "0xA900 data set does not match SOP class"
    assert "job_inferring" in [one["what"] for one in told["time_line"]]


def test_a_parked_job_goes_back_to_work(node: ConsoleNode) -> None:
    """The answer is the job as it is then; a job at work is a conflict."""
    job = node.routed(ct())
    node.parked(job)
    status, told = _do(node, f"jobs/{job.name}/retry")
    assert (status, told["stage"]) == (200, "ready")
    node.claimed(job)
    status, told = _do(node, f"jobs/{job.name}/retry")
    assert status == 409
    assert told == {"detail": "a job can be retried where it has stopped or waits"}


def test_a_job_is_cancelled(node: ConsoleNode) -> None:
    """If nothing of it is on its way."""
    job = node.routed(ct())
    assert _do(node, f"jobs/{job.name}/cancel")[1]["stage"] == "cancelled"
    other = node.routed(ct("two"))
    node.encoded(other)
    status, told = _do(node, f"jobs/{other.name}/cancel")
    assert (status, "detail" in told) == (409, True)
    found = node.ledger.job(other.key)
    assert found is not None
    assert found.stage is Stage.DELIVERING


def test_routes_are_told_in_words(busy: ConsoleNode) -> None:
    """In the order in which they are asked, with what became of them."""
    tissue, chest, own = _get(busy, "routes")["routes"]
    assert tissue["jobs"] == {"delivered": 1, "parked": 2}
    assert tissue["last_taken"] is not None
    assert own["name"] == "similar"
    assert chest["inputs"] == [{"name": "image", "conditions": ["Modality: CR or DX"]}]
    assert (chest["last_taken"], chest["jobs"], chest["model"]) == (None, {}, "lung_fields_cxr")


def test_a_file_is_explained_and_nothing_of_it_stays(node: ConsoleNode) -> None:
    """What is no DICOM file is refused in a sentence."""
    status, told = _do(node, "routes/explain", content=_part_10(node))
    (series,) = told["series"]
    assert (status, series["facts"]["Modality"]) == (200, "CT")
    assert [one["answer"] for one in series["routes"] if one["route"] == "tissue"] == ["takes it"]
    status, told = _do(node, "routes/explain", content=b"hello")
    assert (status, "no DICM after a preamble" in told["detail"]) == (400, True)
    assert _do(node, "routes/explain")[0] == 400
    assert node.ledger.counts()["instances"] == 0
    assert list((node.config.store.folder / "spool").iterdir()) == []


def test_a_file_that_is_too_large_is_not_read_to_its_end(
    node: ConsoleNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is broken off where it is too much, and removed."""
    monkeypatch.setattr("dicom_ai_node.serve.console.routing.LARGEST_BYTES", 1000)
    status, told = _do(node, "routes/explain", content=bytes(5000))
    assert (status, "has at most" in told["detail"]) == (413, True)
    assert list((node.config.store.folder / "spool").iterdir()) == []


def test_a_destination_says_how_it_does(node: ConsoleNode) -> None:
    """And sends again what it has refused."""
    node.encoded(node.routed(ct()))
    node.sent("no")
    (pacs,) = _get(node, "destinations")["destinations"]
    assert (pacs["name"], pacs["kind"], pacs["health"]) == ("pacs", "DIMSE", "refuses")
    assert (pacs["objects"], pacs["last_trouble"]) == ({"parked": 1}, "no")
    assert _do(node, "destinations/pacs/retry") == (200, {"jobs": 1, "asked": 0})
    assert _get(node, "destinations")["destinations"][0]["objects"] == {"due": 1}
    assert _do(node, "destinations/none/retry")[0] == 404


def test_a_destination_says_what_it_does_not_show(tmp_path: Path) -> None:
    """Since when, about how many objects, and what to do; a retry asks, and sends nothing again."""
    node = ConsoleNode(tmp_path, proof="commitment")
    node.encoded(node.routed(ct()))
    node.sent()
    node.doubted("it takes none")
    (pacs,) = _get(node, "destinations")["destinations"]
    assert (pacs["health"], pacs["unproven"], pacs["objects"]) == ("unproven", 1, {"done": 1})
    assert pacs["unproven_since"] == pacs["last_done"]
    assert pacs["unproven_because"] == "it takes none"
    assert _do(node, "destinations/pacs/retry") == (200, {"jobs": 0, "asked": 1})
    assert _get(node, "destinations")["destinations"][0]["objects"] == {"done": 1}
    hour = timedelta(hours=1)
    assert len(node.ledger.claim_unproven("pacs", "1.8", compose.now(), hour, 0 * hour)) == 1


def test_who_has_nothing_to_prove_does_well(node: ConsoleNode) -> None:
    """Its entry says `proof: none` by now; what it did not show before is no matter any more."""
    node.encoded(node.routed(ct()))
    node.sent()
    node.doubted("it takes none")
    (pacs,) = _get(node, "destinations")["destinations"]
    assert (pacs["health"], pacs["unproven"]) == ("well", 0)
    assert (pacs["unproven_since"], pacs["unproven_because"]) == (None, "")


def test_models_show_scores(busy: ConsoleNode) -> None:
    """With intervals; and which routes run them."""
    listed = {one["name"]: one for one in _get(busy, "models")["models"]}
    assert listed["ct_tissue"]["used_by"] == ["tissue"]
    told = _get(busy, "models/lung_box_cxr")
    assert (told["is_shipped"], told["mistake"], told["modality"]) == (True, "", ["CR", "DX"])
    assert all(one["low"] is None or one["low"] <= one["value"] for one in told["scores"])
    assert any(one["low"] is not None for one in told["scores"])


def test_workers_say_what_runs(node: ConsoleNode) -> None:
    """Since when, and until when their lease runs."""
    told = _get(node, "workers")
    assert (told["devices"], told["at_work"]) == (list(node.config.infer.devices), [])
    job = node.claimed(node.routed(ct()))
    (work,) = _get(node, "workers")["at_work"]
    assert (work["job"]["key"], work["job"]["stage"]) == (job.key, "inferring")
    assert work["since"] < work["lease_until"]


def test_what_was_put_aside_is_taken_in_or_discarded(node: ConsoleNode) -> None:
    """What is refused again stays where it is; what is gone is not there any more."""
    right = node.aside(_part_10(node))
    wrong = node.aside(b"no DICOM at all", reason="odd")
    told = _get(node, "quarantine")["entries"]
    assert [(one["number"], one["sender"]) for one in told] == [(wrong, "CT1"), (right, "CT1")]
    assert (told[0]["reason"], told[0]["bytes"]) == ("odd", 15)
    assert _do(node, f"quarantine/{right}/retry") == (200, {"received": "new"})
    status, said = _do(node, f"quarantine/{wrong}/retry")
    assert (status, said["detail"].startswith("refused again: ")) == (409, True)
    other = node.aside(_part_10(node, PatientComments="another"), reason=Received.CONFLICT)
    assert _do(node, f"quarantine/{other}/retry") == (200, {"received": "conflict"})
    assert _do(node, f"quarantine/{wrong}", "DELETE") == (204, None)
    assert _do(node, f"quarantine/{wrong}", "DELETE")[0] == 404
    assert len(_get(node, "quarantine")["entries"]) == 1


def test_events_are_filtered(busy: ConsoleNode) -> None:
    """By kind, job and time; and go on."""
    told = _get(busy, "events?what=series_complete")
    assert {one["detail"] for one in told["events"]} == {"told so"}
    first = _get(busy, "events")["events"][0]
    job = _get(busy, "jobs?route=tissue")["jobs"][0]["key"]
    assert {one["job"] for one in _get(busy, f"events?job={job}")["events"]} == {job}
    older = _get(busy, f"events?before={first['number']}")["events"]
    assert older[0]["number"] < first["number"]
    assert _get(busy, "events?until=2001-01-01T00:00:00Z")["events"] == []


def test_storage_tells_what_goes_next(busy: ConsoleNode) -> None:
    """What is delivered, not what waits for somebody."""
    told = _get(busy, "storage")
    assert [one["study_instance_uid"] for one in told["going_next"]] == [_uid("delivered")]
    assert (told["keep_days"], told["database"]) == (3, "SQLite")
    assert told["held_bytes"] > 4 * 30000
    assert 0 < told["free_bytes"] <= told["total_bytes"]
    assert (told["promised_studies"], told["promised_until"]) == (0, None)


def test_storage_tells_what_stays_for_a_promise(node: ConsoleNode) -> None:
    """So that somebody whose disk is full knows why nothing goes."""
    node.encoded(node.routed(ct()))
    node.sent()
    node.committed(ct())
    told = _get(node, "storage")
    assert (told["promised_studies"], told["going_next"]) == (1, [])
    until = datetime.fromisoformat(told["promised_until"])
    assert timedelta(days=2.9) < until - compose.now() <= timedelta(days=3)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("studies/1.2.3", 404, id="no such study"),
        pytest.param("studies/abc", 422, id="no UID"),
        pytest.param("studies?before=yesterday", 422, id="no moment"),
        pytest.param("studies?before=2026-01-01T00:00:00", 422, id="a moment of no zone"),
        pytest.param("studies?before=0001-01-01T00:00:00%2B14:00", 422, id="before the calendar"),
        pytest.param("events?until=9999-12-31T23:59:59-14:00", 422, id="after the calendar"),
        pytest.param("studies?since=2025-02-31", 400, id="no day"),
        pytest.param("studies?number=0", 422, id="no page"),
        pytest.param("jobs/abcdef", 404, id="no such job"),
        pytest.param("jobs/abc", 422, id="too little of a key"),
        pytest.param("jobs?stage=nonsense", 422, id="no stage"),
        pytest.param(f"jobs?before={2**63}", 422, id="a number beyond every database"),
        pytest.param("jobs?route=%00", 422, id="no text"),
        pytest.param("models/none", 404, id="no such model"),
        pytest.param("events?since=yesterday", 422, id="no moment of an event"),
        pytest.param("quarantine?before=0", 422, id="no entry before the first"),
    ],
)
def test_what_is_asked_wrongly_is_refused(busy: ConsoleNode, path: str, status: int) -> None:
    """With the reason, as JSON."""
    answer = busy.ask(f"/api/{path}", headers=JSON)
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_a_page_of_another_site_sets_nothing_going(node: ConsoleNode) -> None:
    """Even without a login, on the reader's own machine."""
    job = node.routed(ct())
    node.parked(job)
    number = node.aside(b"no DICOM at all")
    elsewhere = {**JSON, "Sec-Fetch-Site": "cross-site"}
    for method, path in (
        ("POST", f"jobs/{job.name}/retry"), ("POST", f"jobs/{job.name}/cancel"),
        ("POST", "destinations/pacs/retry"), ("POST", "routes/explain"),
        ("POST", f"quarantine/{number}/retry"), ("DELETE", f"quarantine/{number}"),
    ):  # fmt: skip
        assert node.ask(f"/api/{path}", method, headers=elsewhere).status_code == 403, path
    found = node.ledger.job(job.key)
    assert found is not None
    assert found.stage is Stage.PARKED
    assert [one.number for one in node.ledger.quarantined()] == [number]


def test_every_field_is_described(node: ConsoleNode) -> None:
    """In the document of the interface, so that nobody has to read the code."""
    made = node.ask("/api/openapi.json", headers=JSON).json()
    ours = [
        operation
        for path in made["paths"].values()
        for operation in path.values()
        if "console" in operation.get("tags", ())
    ]
    assert len(ours) == 22
    for operation in ours:
        assert operation["description"]
        for status, answer in operation["responses"].items():
            assert status == "204" or "content" in answer
    named = {
        name: schema
        for name, schema in made["components"]["schemas"].items()
        if name.endswith(("Told", "Full", "Shown", "Explained", "SentAgain", "TakenIn"))
    }
    assert len(named) > 20
    for name, schema in named.items():
        for field, said in schema["properties"].items():
            assert said.get("description"), f"{name}.{field}"
