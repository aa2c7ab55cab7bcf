"""The audit trail, for admins: records, one record with its message, and whether all is whole."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request

from dicom_ai_node.domain.audit import AuditFilter, AuditRecord, Kind
from dicom_ai_node.serve.api.shape import Shape, next_page, refusals
from dicom_ai_node.serve.console.asked import Before, Moment
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.trail import ADMINS, AT_ONCE, NO_RECORD, ARecord, AWho


class RecordTold(Shape):
    """One record of the chain."""

    number: int
    """What comes later has a greater one."""
    at: datetime
    """When it happened."""
    kind: Kind
    """What kind of message it is, a section of PS3.15 A.5.3."""
    outcome: int
    """0 for success, 4, 8 or 12 for failures, the worst last; RFC 3881 5.1.4."""
    who: str
    """The names and addresses of all that took part."""
    sent_at: datetime | None
    """Since when the audit repository has it; null if it has not."""
    sha256: str
    """Of all that the record says, and of the record before it."""


class RecordsTold(Shape):
    """Records, newest first."""

    records: list[RecordTold]
    """A page of them."""
    next: str | None
    """Where the next page is; null on the last."""


class RecordFull(RecordTold):
    """A record with all that it says."""

    previous: str
    """The sha256 of the record before it."""
    message: str
    """The audit message, XML after PS3.15 A.5.1."""


class VerdictTold(Shape):
    """Whether the chain is whole."""

    records: int
    """How many were looked at, and are as they were written."""
    broken: int | None
    """The number of the first that is not; null if all are."""
    why: str
    """What is wrong with it; empty if nothing is."""


def add_audit(router: APIRouter, desk: Desk) -> None:
    """Add the audit trail."""

    @router.get("/audit", dependencies=ADMINS)
    def records(
        request: Request,
        kind: Annotated[Kind | None, Query(description="only this kind")] = None,
        who: AWho = "",
        since: Annotated[Moment | None, Query(description="from then on")] = None,
        until: Annotated[Moment | None, Query(description="until then")] = None,
        before: Before = None,
    ) -> RecordsTold:
        """List records of the audit trail, newest first."""
        which = AuditFilter(
            kind=kind, who=who, since=since, until=until, before=before, limit=AT_ONCE
        )
        found = desk.trail.records(which)
        more = len(found) == AT_ONCE
        return RecordsTold(
            records=[RecordTold(**_told(one)) for one in found],
            next=next_page(request, {"before": found[-1].number}) if more else None,
        )

    @router.get("/audit/verdict", dependencies=ADMINS)
    def verdict() -> VerdictTold:
        """Look at every record, and say whether the chain is whole."""
        found = desk.trail.verify()
        return VerdictTold(records=found.records, broken=found.broken, why=found.why)

    @router.get("/audit/{number}", dependencies=ADMINS, responses=refusals(s404=NO_RECORD))
    def record(number: ARecord) -> RecordFull:
        """Return one record with its message."""
        found = desk.trail.record(number)
        if found is None:
            raise HTTPException(404, NO_RECORD)
        return RecordFull(**_told(found), previous=found.previous, message=found.message.text)


def _told(one: AuditRecord) -> dict[str, object]:
    return {
        "number": one.number,
        "at": one.message.at,
        "kind": one.message.kind,
        "outcome": int(one.message.outcome),
        "who": one.message.who,
        "sent_at": one.sent_at,
        "sha256": one.sha256,
    }
