"""What has happened: every event of the ledger, newest first, by time, kind and job."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.overview import EventFilter
from dicom_ai_node.serve.console.asked import Before
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.page import Pages

AT_ONCE = 100
KINDS = (
    "series_opened", "association_released", "series_waits", "series_complete", "routing",
    "input_missing", "job_created", *(f"job_{stage}" for stage in Stage),
    "delivery_done", "delivery_postponed", "delivery_parked",
    *(f"commitment_{what}" for what in ("asked", "given", "refused", "parked", "doubted")),
    "destination_doubted",
)  # fmt: skip
_MOMENT = r"^(\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?)?)?$"
AMoment = Annotated[str, Query(pattern=_MOMENT)]


def add_audit(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of what has happened."""

    @router.get("/audit")
    def audit(
        request: Request,
        what: Annotated[str, Query(pattern=r"^[a-z_]{0,40}$")] = "",
        job: Annotated[str, Query(pattern=r"^[0-9a-f]{0,64}$")] = "",
        since: AMoment = "",
        until: AMoment = "",
        before: Before = None,
    ) -> HTMLResponse:
        """List events."""
        which = EventFilter(
            what=what,
            job=job,
            since=in_utc(since),
            until=in_utc(until),
            before=before,
            limit=AT_ONCE,
        )
        found = desk.overview.events_listed(which)
        facts = {
            "events": found,
            "which": which,
            "since": since,
            "until": until,
            "kinds": KINDS,
            "next_before": found[-1].number if len(found) == AT_ONCE else None,
        }
        return pages.show(request, "audit", facts)


def in_utc(text: str) -> datetime | None:
    """Return a moment as a form names it; none if it names none, or one that never was."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
    except ValueError:  # 31 February
        return None
