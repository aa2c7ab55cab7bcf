"""Deleting by DICOMweb. PS3.18 has none; this is how archives that have it do it."""

from fastapi import APIRouter, HTTPException, Response

from dicom_ai_node.domain.archive import Deletion
from dicom_ai_node.domain.uids import SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID, is_uid
from dicom_ai_node.serve.access import Role, needs

NO_CONTENT = 204


def delete_router(deletion: Deletion) -> APIRouter:
    """Return the routes by which an admin deletes what is held."""
    router = APIRouter(prefix="/dicom-web/studies", dependencies=[needs(Role.ADMIN)])

    @router.delete("/{study}")
    def delete_study(study: str) -> Response:
        """Delete a study, its jobs and their results."""
        return _done(deletion.delete(StudyInstanceUID(_uid(study))))

    @router.delete("/{study}/series/{series}")
    def delete_series(study: str, series: str) -> Response:
        """Delete one series of a study."""
        return _done(
            deletion.delete(StudyInstanceUID(_uid(study)), SeriesInstanceUID(_uid(series)))
        )

    @router.delete("/{study}/series/{series}/instances/{instance}")
    def delete_instance(study: str, series: str, instance: str) -> Response:
        """Delete one instance of a series."""
        return _done(
            deletion.delete(
                StudyInstanceUID(_uid(study)),
                SeriesInstanceUID(_uid(series)),
                SOPInstanceUID(_uid(instance)),
            )
        )

    return router


def _uid(text: str) -> str:
    if not is_uid(text):
        raise HTTPException(400, "the address names something that is no UID")
    return text


def _done(count: int) -> Response:
    if count == 0:
        raise HTTPException(404, "it is not here")
    return Response(status_code=NO_CONTENT)
