"""The audit trail, for admins: who has done what to whose images, and whether all is whole."""

from typing import Annotated
from xml.etree import ElementTree as ET

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain.audit import AuditFilter, Kind
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.asked import LARGEST_NUMBER, Before
from dicom_ai_node.serve.console.audit import AMoment, in_utc
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.page import Pages, from_here

AT_ONCE = 100
LONGEST_WHO = 100
AWho = Annotated[str, Query(max_length=LONGEST_WHO, description="a part of a name or an address")]
ARecord = Annotated[int, Path(ge=1, le=LARGEST_NUMBER, description="the number of the record")]
NO_RECORD = "there is no record of that number"
ADMINS = [needs(Role.ADMIN)]


def add_trail(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the pages of the trail."""

    @router.get("/trail", dependencies=ADMINS)
    def trail(
        request: Request,
        kind: Annotated[str, Query(max_length=40)] = "",
        who: AWho = "",
        since: AMoment = "",
        until: AMoment = "",
        before: Before = None,
    ) -> HTMLResponse:
        """List records, newest first."""
        which = AuditFilter(
            kind=kind_called(kind),
            who=who,
            since=in_utc(since),
            until=in_utc(until),
            before=before,
            limit=AT_ONCE,
        )
        found = desk.trail.records(which)
        facts = {
            "records": found,
            "which": which,
            "since": since,
            "until": until,
            "kinds": list(Kind),
            "backlog": desk.trail.backlog() if desk.about.has_repository else None,
            "next_before": found[-1].number if len(found) == AT_ONCE else None,
        }
        return pages.show(request, "trail", facts)

    @router.get("/trail/{number}", dependencies=ADMINS)
    def record(request: Request, number: ARecord) -> HTMLResponse:
        """Show one record with its message."""
        found = desk.trail.record(number)
        if found is None:
            raise HTTPException(404, NO_RECORD)
        message = ET.fromstring(found.message.text)  # noqa: S314 - we have written it
        ET.indent(message)
        facts = {"record": found, "message": ET.tostring(message, encoding="unicode")}
        return pages.show(request, "record", facts)

    @router.post("/trail/verify", dependencies=[*ADMINS, Depends(from_here)])
    def verify(request: Request) -> HTMLResponse:
        """Look at every record, and say whether the chain is whole."""
        return pages.show(request, "verdict", {"verdict": desk.trail.verify()})


def kind_called(said: str) -> Kind | None:
    """Return a kind by its name; none if nothing was said.

    Raises
    ------
    HTTPException
        422, if there is no such kind.
    """
    try:
        return Kind(said) if said else None
    except ValueError:
        raise HTTPException(422, "there is no such kind") from None
