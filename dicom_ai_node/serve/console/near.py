"""Similar images: the studies that look most like one that is here."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.serve.console.desk import Desk
from dicom_ai_node.serve.console.page import Pages
from dicom_ai_node.serve.console.patients import patients_of
from dicom_ai_node.serve.uid_in_url import UID_OR_NOTHING

MOST = 12
NEWEST = 12


def add_similar(router: APIRouter, desk: Desk, pages: Pages) -> None:
    """Add the page of what looks alike."""

    @router.get("/similar")
    def similar(
        request: Request, study: Annotated[str, Query(pattern=UID_OR_NOTHING)] = ""
    ) -> HTMLResponse:
        """Show what looks like a study, or studies to choose from."""
        uid, alike = StudyInstanceUID(study), desk.alike
        is_placed = alike is not None and bool(uid) and alike.index.is_placed(uid, alike.model)
        found = alike.index.similar(uid, alike.model, MOST) if alike and is_placed else []
        newest = [] if uid else desk.overview.studies(NEWEST)
        uids = [one.study_instance_uid for one in found]
        uids += [one.study_instance_uid for one in newest]
        facts = {
            "has_alike": alike is not None,
            "uid": uid,
            "is_placed": is_placed,
            "found": found,
            "newest": newest,
            "patients": patients_of(desk.archive, [*uids, *([uid] if uid else [])]),
        }
        return pages.show(request, "similar", facts)
