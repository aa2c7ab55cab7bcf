"""One study: facts, series, what happened to each, results, and why a route did not take it."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain.archive import Key, Level, Query
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.jobs import running
from dicom_ai_node.serve.console.page import Pages
from dicom_ai_node.serve.console.patients import STUDY, patients_of
from dicom_ai_node.serve.console.story import job_stories, series_stories, steps
from dicom_ai_node.serve.uid_in_url import Uid

MOST_SERIES = 500
MOST_ALIKE = 4
_NOT_THERE = 404


def add_study(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of a study and that of what its routes say."""
    overview, archive = desk.overview, desk.archive

    @router.get("/studies/{study_instance_uid}")
    def study(request: Request, study_instance_uid: Uid) -> HTMLResponse:
        """Show one study."""
        uid = StudyInstanceUID(study_instance_uid)
        header = patients_of(archive, [uid]).get(uid)
        seen = overview.studies_called([uid]).get(uid)
        if header is None and seen is None:
            raise HTTPException(_NOT_THERE, "missing.study")
        keys = (Key(path=(STUDY,), value=uid),)
        series = archive.search(Query(level=Level.SERIES, keys=keys, limit=MOST_SERIES))
        happened = overview.study_events(uid)
        jobs = overview.study_jobs(uid)
        facts = {
            "uid": uid,
            "header": header or {},
            "seen": seen,
            "series": series_stories(series, () if seen is None else seen.series, happened),
            "jobs": job_stories(desk.ledger, jobs, happened),
            "at_work": running(jobs, desk),
            "steps": steps,
            "alike": _alike(desk, uid),
            "has_alike": desk.alike is not None,
            "now": desk.now(),
        }
        return pages.show(request, "study", facts)

    @router.get("/studies/{study_instance_uid}/explain")
    def explain(request: Request, study_instance_uid: Uid) -> HTMLResponse:
        """Show what today's routes say to the series of a study."""
        uid = StudyInstanceUID(study_instance_uid)
        found = desk.explain(uid)
        if not found:
            raise HTTPException(_NOT_THERE, "missing.study")
        return pages.show(request, "explained", {"uid": uid, "explained": found})


def _alike(desk: Desk, uid: StudyInstanceUID) -> object:
    if desk.alike is None or not desk.alike.index.is_placed(uid, desk.alike.model):
        return []
    return desk.alike.index.similar(uid, desk.alike.model, MOST_ALIKE)
