"""Deleting by DICOMweb. PS3.18 has none; this is how archives that have it do it."""

from typing import Any

import structlog
from fastapi import APIRouter, HTTPException, Request, Response

from dicom_ai_node.domain.archive import Deletion
from dicom_ai_node.domain.audit import Actor
from dicom_ai_node.domain.uids import SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID, is_uid
from dicom_ai_node.serve.access import Role, needs

log = structlog.get_logger()

NO_CONTENT = 204


_REFUSALS: dict[int | str, dict[str, Any]] = {
    409: {"description": "it is arriving, or is being worked on"}
}


def delete_router(deletion: Deletion) -> APIRouter:
    """Return the routes by which an admin deletes what is held."""
    router = APIRouter(
        prefix="/dicom-web/studies", dependencies=[needs(Role.ADMIN)], responses=_REFUSALS
    )

    @router.delete("/{study}", status_code=NO_CONTENT)
    def delete_study(study: str, request: Request) -> Response:
        """Delete a study, its jobs and their results."""
        return _done(request, deletion.delete(StudyInstanceUID(_uid(study)), by=_by(request)))

    @router.delete("/{study}/series/{series}", status_code=NO_CONTENT)
    def delete_series(study: str, series: str, request: Request) -> Response:
        """Delete one series of a study."""
        of_study = StudyInstanceUID(_uid(study))
        return _done(
            request, deletion.delete(of_study, SeriesInstanceUID(_uid(series)), by=_by(request))
        )

    @router.delete("/{study}/series/{series}/instances/{instance}", status_code=NO_CONTENT)
    def delete_instance(study: str, series: str, instance: str, request: Request) -> Response:
        """Delete one instance of a series."""
        of_study, of_series = StudyInstanceUID(_uid(study)), SeriesInstanceUID(_uid(series))
        count = deletion.delete(
            of_study, of_series, SOPInstanceUID(_uid(instance)), by=_by(request)
        )
        return _done(request, count)

    return router


def _by(request: Request) -> Actor:
    address = request.client.host if request.client else ""
    return Actor(name=request.state.person.name, address=address)


def _uid(text: str) -> str:
    if not is_uid(text):
        raise HTTPException(400, "the address names something that is no UID")
    return text


def _done(request: Request, count: int) -> Response:
    if count == 0:
        raise HTTPException(404, "it is not here")
    log.warning("deleted_by_a_person", peer=request.state.person.name, objects=count)
    return Response(status_code=NO_CONTENT)
