"""The worklist over HTTP, PS3.18 11: create, retrieve, search, update, change state, cancel."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.json_model import text
from dicom_ai_node.domain.levels import picked
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.domain.workitem import StepRefused, StepState, Why
from dicom_ai_node.domain.worklist import Search, Worklist
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb import workitem_answers as answers
from dicom_ai_node.serve.dicomweb.accept import chosen
from dicom_ai_node.serve.dicomweb.held import root_of
from dicom_ai_node.serve.dicomweb.workitem_query import keys_of, told_of
from dicom_ai_node.serve.dicomweb.workitem_wire import (
    PREFIX,
    TAKES,
    StepRoute,
    ae_title_of,
    data_set_in,
    data_set_or_nothing,
    flag_of,
    number_of,
    uid_in_query,
    uid_of,
    warning,
    with_urls,
)

MOST = 100
"""Workitems in one answer; the rest is asked for with `offset`."""
_NOTHING: dict[int | str, dict[str, Any]] = {204: {"description": "nothing matches"}}
_CHANGES: dict[str, Any] = {
    "dependencies": [needs(Role.OPERATOR)],
    "response_class": Response,
    "openapi_extra": TAKES,
}
"""What is said of every route that changes something."""

Said = Annotated[Header, Depends(data_set_in)]
SaidOrNothing = Annotated[Header, Depends(data_set_or_nothing)]


def workitems_router(worklist: Worklist, now: Callable[[], datetime]) -> APIRouter:
    """Return the routes of the worklist; what changes it needs an operator."""
    router = APIRouter(
        prefix=f"{PREFIX}/workitems", dependencies=[needs(Role.VIEWER)], route_class=StepRoute
    )
    _add_reading(router, worklist)
    _add_changing(router, worklist, now)
    _add_states(router, worklist, now)
    return router


def _add_reading(router: APIRouter, worklist: Worklist) -> None:
    @router.get("", response_class=Response, responses=answers.gives(answers.SEVERAL) | _NOTHING)
    def search(request: Request) -> Response:
        """Return what matches, with what every workitem has and what `includefield` names."""
        offer = chosen(request, answers.SEVERAL)
        told = told_of(request)
        asked = Search(
            keys=keys_of(request),
            limit=number_of(request, "limit", MOST, MOST),
            offset=number_of(request, "offset", 0, 10**9),
            is_fuzzy=flag_of(request, "fuzzymatching"),
        )
        base = root_of(request)
        found = (
            with_urls(one if told is None else picked(one, told), base)
            for one in worklist.search(asked)
        )
        return answers.several(offer, found, {})

    @router.get("/{uid}", response_class=Response, responses=answers.gives(answers.ONE))
    def retrieve(request: Request, uid: str) -> Response:
        """Return one workitem."""
        found = with_urls(worklist.workitem(uid_of(uid)), root_of(request))
        where = {"Content-Location": f"{root_of(request)}/workitems/{uid}"}
        return answers.one(request, found, where)


def _add_changing(router: APIRouter, worklist: Worklist, now: Callable[[], datetime]) -> None:
    @router.post("", **_CHANGES, status_code=201)
    def create(request: Request, said: Said) -> Response:
        """Enter a workitem, under the UID in the query or in the data set, or a new one."""
        at = now()
        uid = uid_in_query(request, "workitem", "uid") or _uid_in(said)
        uid = uid or derive_uid("workitem", str(at.timestamp()), str(id(request)))
        is_completed = worklist.create(uid, said, at)
        headers = {"Location": f"{root_of(request)}/workitems/{uid}"}
        if is_completed:
            headers["Warning"] = warning(request, "The Workitem was created with modifications.")
        return Response(status_code=201, headers=headers)

    @router.post("/{uid}", **_CHANGES)
    def update(request: Request, uid: str, said: Said) -> Response:
        """Set attributes; the Transaction UID stands in the query or in the data set."""
        given = uid_in_query(request, "transaction-uid", "transaction_uid", "TransactionUID")
        transaction_uid = given or text(said, "TransactionUID")
        worklist.update(uid_of(uid), said, transaction_uid, now())
        return _done(request, uid)


def _add_states(router: APIRouter, worklist: Worklist, now: Callable[[], datetime]) -> None:
    # Some clients name themselves behind the resource; nothing but a request to cancel needs it.
    @router.put("/{uid}/state", **_CHANGES)
    @router.put("/{uid}/state/{requester}", **_CHANGES)
    def change_state(request: Request, uid: str, said: Said) -> Response:
        """Claim, complete or give up a workitem."""
        transaction_uid = text(said, "TransactionUID")
        if transaction_uid:
            uid_of(transaction_uid)
        words = worklist.change_state(uid_of(uid), _state_in(said), transaction_uid, now())
        return _done(request, uid, words)

    @router.post("/{uid}/cancelrequest", **_CHANGES, status_code=202)
    @router.post("/{uid}/cancelrequest/{requester}", **_CHANGES, status_code=202)
    def request_cancel(
        request: Request, uid: str, said: SaidOrNothing, requester: str = ""
    ) -> Response:
        """Ask whoever performs a workitem to stop."""
        who = ae_title_of(requester or str(request.state.person.name)[:16] or "UNKNOWN")
        words = worklist.request_cancel(uid_of(uid), said, who, now())
        headers = {"Warning": warning(request, words)} if words else {}
        return Response(status_code=202, headers=headers)


def _done(request: Request, uid: str, words: str = "") -> Response:
    headers = {"Content-Location": f"{root_of(request)}/workitems/{uid}"}
    if words:
        headers["Warning"] = warning(request, words)
    return Response(status_code=200, headers=headers)


def _uid_in(said: Header) -> str:
    found = text(said, "AffectedSOPInstanceUID") or text(said, "SOPInstanceUID")
    return uid_of(found) if found else ""


def _state_in(said: Header) -> StepState:
    found = text(said, "ProcedureStepState")
    try:
        return StepState(found)
    except ValueError:
        raise StepRefused(
            Why.BAD_VALUE, "ProcedureStepState must be IN PROGRESS, COMPLETED or CANCELED"
        ) from None
