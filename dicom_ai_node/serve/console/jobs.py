"""Jobs: the list by stage, route and who has to act; one job; and setting it going again."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from dicom_ai_node.domain.job import HELD, Job, Stage
from dicom_ai_node.domain.overview import AtWork, JobFilter
from dicom_ai_node.domain.reject import RejectCode, Who
from dicom_ai_node.domain.rule import SIMILAR
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.asked import Before
from dicom_ai_node.serve.console.desk import Desk, Remembered
from dicom_ai_node.serve.console.page import Pages, from_here
from dicom_ai_node.serve.console.patients import patients_of
from dicom_ai_node.serve.console.story import job_stories, steps

AT_ONCE = 50
AName = Annotated[str, Path(pattern=r"^[0-9a-f]{6,64}$")]
RETRIABLE = frozenset({
    Stage.PARKED, Stage.REJECTED, Stage.QUARANTINED, Stage.READY, Stage.INFERRED, Stage.DELIVERING,
})  # fmt: skip
"""Stages in which a job has stopped, or may wait for its next attempt."""
CANCELLABLE = frozenset({
    Stage.READY, Stage.INFERRING, Stage.INFERRED, Stage.ENCODING, Stage.PARKED, Stage.QUARANTINED,
})  # fmt: skip
"""Stages in which nothing has been sent yet; the ledger says whether that is so."""
AT_WORK_SECONDS = 0.5
"""How old the answer may be to how far something is: many pages ask together."""
_NOT_THERE, _SEE_OTHER = 404, 303


def add_jobs(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the pages of jobs."""
    at_work = Remembered(desk.overview.at_work, AT_WORK_SECONDS)

    @router.get("/jobs")
    def jobs(
        request: Request,
        stage: Annotated[str, Query(max_length=20)] = "",
        route: Annotated[str, Query(max_length=200, pattern=r"^[^\x00]*$")] = "",
        who: Annotated[str, Query(max_length=20)] = "",
        before: Before = None,
    ) -> HTMLResponse:
        """List jobs, newest first."""
        which = JobFilter(
            stages=(Stage(stage),) if stage in set(Stage) else (),
            route=route,
            who=Who(who) if who in set(Who) else None,
            before=before,
            limit=AT_ONCE,
        )
        found = desk.overview.jobs_listed(which)
        facts = {
            "jobs": found,
            "which": which,
            "stage": stage,
            "stages": tuple(Stage),
            "people": tuple(Who),
            "route_names": (*(one.name for one in desk.routes), SIMILAR),
            "patients": patients_of(
                desk.archive, list({one.job.study_instance_uid for one in found})
            ),
            "next_before": found[-1].number if len(found) == AT_ONCE else None,
        }
        return pages.show(request, "jobs", facts)

    @router.get("/jobs/{name}")
    def job(request: Request, name: AName) -> HTMLResponse:
        """Show one job."""
        found = _job(desk, name)
        story = job_stories(desk.ledger, [found], ())
        facts = {
            "at_work": running([found], desk),
            "now": desk.now(),
            "job": found,
            "line": steps(desk.ledger.time_line(found.key)),
            "results": desk.ledger.results(found.key),
            "deliveries": desk.ledger.deliveries(found.key),
            "story": story[0] if story else None,
            "inputs": inputs_of(found),
            "code": reject_code(found),
            "can_retry": found.stage in RETRIABLE,
            "can_cancel": found.stage in CANCELLABLE,
            "patients": patients_of(desk.archive, [found.study_instance_uid]),
        }
        return pages.show(request, "job", facts)

    @router.get("/jobs/{name}/progress")
    def progress(request: Request, name: AName) -> HTMLResponse:
        """Show how far a job is, as a piece of the pages that show it."""
        found = next((one for one in at_work() if one.job.key.startswith(name)), None)
        return pages.part(request, "_running", {"one": found, "name": name, "now": desk.now()})

    @router.post("/jobs/{name}/retry", dependencies=[needs(Role.OPERATOR), Depends(from_here)])
    def retry(name: AName) -> RedirectResponse:
        """Put a job that has stopped back to work."""
        found = _job(desk, name)
        desk.ledger.retry(found, desk.now())
        pages.state.forget()
        return RedirectResponse(f"/jobs/{found.name}?told=job_retried", _SEE_OTHER)

    @router.post("/jobs/{name}/cancel", dependencies=[needs(Role.OPERATOR), Depends(from_here)])
    def cancel(name: AName) -> RedirectResponse:
        """End a job of which nothing has been sent."""
        found = _job(desk, name)
        desk.ledger.cancel(found, "cancelled in the console", desk.now())
        pages.state.forget()
        return RedirectResponse(f"/jobs/{found.name}?told=job_cancelled", _SEE_OTHER)


def running(jobs: Sequence[Job], desk: Desk) -> Mapping[str, AtWork]:
    """Return which of these jobs workers hold, and since when, by their keys."""
    if not any(job.stage in HELD for job in jobs):
        return {}
    return {one.job.key: one for one in desk.overview.at_work()}


def reject_code(job: Job) -> str:
    """Return the name of the code that a model has declined its input with, empty if none has."""
    name = job.note.partition(":")[0]
    return name if job.stage is Stage.REJECTED and name in RejectCode.__members__ else ""


def _job(desk: Desk, name: str) -> Job:
    found = desk.ledger.job(name)
    if found is None:
        raise HTTPException(_NOT_THERE, "missing.job")
    return found


def inputs_of(job: Job) -> dict[tuple[str, str], int]:
    """Return how many instances each named input has from each series."""
    found: dict[tuple[str, str], int] = {}
    for one in job.inputs:
        key = (one.name, one.series_instance_uid)
        found[key] = found.get(key, 0) + 1
    return found
