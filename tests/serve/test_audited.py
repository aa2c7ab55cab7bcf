"""Whoever sees something of a patient by HTTP is in the audit trail, and how often it is enough."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from fastapi import APIRouter, FastAPI, HTTPException, Request

from dicom_ai_node.domain.audit import Act, Asked, Happening, Kind, Outcome
from dicom_ai_node.serve.access import Person, Role
from dicom_ai_node.serve.audited import Audited
from dicom_ai_node.watch.alarms import Alarms
from dicom_ai_node.watch.notebook import Notebook
from tests.serve.house import Browser, House
from tests.watch.book import Book

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _node(book: Book) -> Browser:
    app, router = FastAPI(), APIRouter()

    @router.get("/dicom-web/studies")
    @router.get("/health/live")
    @router.get("/trail")
    @router.get("/dicom-web/studies/{study}/metadata")
    @router.post("/dicom-web/studies/{study}/metadata")
    def something(request: Request, study: str = "") -> str:
        request.state.person = Person(name="anna", roles=frozenset({Role.VIEWER}))
        if study == "1.2.404":
            raise HTTPException(404)
        return "something"

    app.include_router(router)
    return Browser(Audited(app, Notebook(book), lambda: NOON), address="192.0.2.7")


def _told(browser: Browser) -> list[Happening]:
    notebook = browser.app._told  # type: ignore[attr-defined]
    notebook.start()
    notebook.close()
    return notebook._notes.happenings  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        pytest.param("/dicom-web/studies?PatientID=B-2", Kind.QUERY, id="a question"),
        pytest.param("/dicom-web/studies/1.2.3/metadata", Kind.INSTANCES_ACCESSED, id="a study"),
        pytest.param("/trail", Kind.AUDIT_LOG_USED, id="the trail"),
        pytest.param("/health/live", None, id="nobody's"),
        pytest.param("/dicom-web/studies/1.2.404/metadata", None, id="not there"),
    ],
)
def test_what_was_seen_is_told_once(path: str, kind: Kind | None) -> None:
    """By whom, from where, when; five minutes of the same are one record."""
    book = Book()
    browser = _node(book)
    for _ in range(3):
        browser.get(path)
    browser.post("/dicom-web/studies/1.2.3/metadata", {})
    told = _told(browser)
    assert [one.kind for one in told] == [kind] * (kind is not None)
    for one in told:
        assert (one.participants[0].name, one.participants[0].address) == ("anna", "192.0.2.7")
        assert one.at == NOON
        if kind is Kind.QUERY:
            assert one.asked == Asked(address="/dicom-web/studies", query=b"PatientID=B-2")
        if kind is Kind.INSTANCES_ACCESSED:
            assert one.studies[0].study_instance_uid == "1.2.3"


def test_another_study_or_another_question_is_news() -> None:
    """Each is told, in their order."""
    browser = _node(Book())
    paths = [f"/dicom-web/studies/1.2.{number}/metadata" for number in range(20)]
    for path in (*paths, "/dicom-web/studies?a=1", "/dicom-web/studies?a=2"):
        browser.get(path)
    told = _told(browser)
    assert len(told) == 22
    studies = [int(one.studies[0].study_instance_uid[4:]) for one in told[:20]]
    assert all(later == earlier + 1 for earlier, later in pairwise(studies))


def test_who_cannot_log_in_is_told(house: House) -> None:
    """With the name of an account that there is; what else was typed may be a password."""
    book = Book()
    house.check.refused = Alarms(book, house.clock).login
    house.add()
    browser = Browser(house.app, address="192.0.2.7")
    for name in ("anna", "anna", "hunter2-my-password"):
        assert browser.log_in(name, "wrong").status_code == 401
    assert browser.get("/things", headers={"Authorization": "Bearer dan_x"}).status_code == 401
    assert {(one.kind, one.act, one.outcome) for one in book.happenings} == {
        (Kind.USER_AUTHENTICATION, Act.LOGIN, Outcome.MINOR_FAILURE)
    }
    assert [one.participants[0].name for one in book.happenings] == ["anna", "unknown"]
    assert "hunter2" not in repr(book.happenings)
