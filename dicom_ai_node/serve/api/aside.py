"""Quarantine: what was taken but not let in; taking it in again, discarding it."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Request

from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.study import Quarantined, Received
from dicom_ai_node.serve.api.shape import ACTING, Shape, next_page, refusals
from dicom_ai_node.serve.console.aside import AT_ONCE, bytes_of, entry_called
from dicom_ai_node.serve.console.asked import Before
from dicom_ai_node.serve.console.desk import Desk

_NO_ENTRY = "there is no open entry of that number"
ANumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="the number of the entry")]


class EntryTold(Shape):
    """Bytes that were taken but not let in."""

    number: int
    """What the entry is known by."""
    at: datetime
    """When they came."""
    reason: str
    """Why they were not let in."""
    sender: str
    """Who sent them."""
    sha256: str
    """Their digest."""
    bytes: int | None
    """How many they are; null if they are gone."""


class EntriesTold(Shape):
    """Open entries, newest first."""

    entries: list[EntryTold]
    """A page of them."""
    next: str | None
    """Where the next page is; null on the last."""


class TakenIn(Shape):
    """What became of bytes that were taken in again; their entry is closed."""

    received: Received
    """What they turned out to be; a conflict is put aside again under a new number."""


def add_quarantine(router: APIRouter, desk: Desk) -> None:
    """Add the quarantine."""

    @router.get("/quarantine")
    def quarantine(request: Request, before: Before = None) -> EntriesTold:
        """List what was put aside."""
        found = desk.overview.put_aside(AT_ONCE, before)
        more = len(found) == AT_ONCE
        return EntriesTold(
            entries=[
                EntryTold(
                    number=one.number,
                    at=one.at,
                    reason=one.reason,
                    sender=one.sender,
                    sha256=one.sha256,
                    bytes=bytes_of(desk.blobs.path(one.sha256)),
                )
                for one in found
            ],
            next=next_page(request, {"before": found[-1].number}) if more else None,
        )

    @router.post(
        "/quarantine/{number}/retry",
        dependencies=ACTING,
        responses=refusals(s404=_NO_ENTRY, s409="they are refused again, and stay where they are"),
    )
    def retry(number: ANumber) -> TakenIn:
        """Take an entry in again, as if it came now."""
        found = _entry(desk, number)
        try:
            received = desk.take_in(found)
        except Refused as no:
            raise HTTPException(409, f"refused again: {no}") from no
        desk.ledger.close_quarantine(number)
        return TakenIn(received=received)

    @router.delete(
        "/quarantine/{number}",
        status_code=204,
        dependencies=ACTING,
        responses=refusals(s404=_NO_ENTRY),
    )
    def discard(number: ANumber) -> None:
        """Close an entry; its bytes go with the next retention."""
        desk.ledger.close_quarantine(_entry(desk, number).number)


def _entry(desk: Desk, number: int) -> Quarantined:
    found = entry_called(desk, number)
    if found is None:
        raise HTTPException(404, _NO_ENTRY)
    return found
