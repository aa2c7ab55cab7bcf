"""What looks like a study, as JSON: the twin of `dicom-ai-node similar`."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from dicom_ai_node.domain.similar import Neighbour, Similar
from dicom_ai_node.domain.uids import Sha256, StudyInstanceUID
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.uid_in_url import Uid

MOST = 100
"""Neighbours that are told at once."""


def similar_router(similar: Similar, model: Sha256) -> APIRouter:
    """Return the routes about what looks alike, as `model` has placed it."""
    router = APIRouter(prefix="/api", dependencies=[needs(Role.VIEWER)])

    @router.get("/studies/{study_instance_uid}/similar")
    def similar_studies(
        study_instance_uid: Uid,
        count: Annotated[int, Query(ge=1, le=MOST)] = 5,
    ) -> Sequence[Neighbour]:
        """Return the studies most like this one, best first."""
        study = StudyInstanceUID(study_instance_uid)
        if not similar.is_placed(study, model):
            raise HTTPException(404, "no image of it is here, or none has been looked at yet")
        return similar.similar(study, model, count)

    return router
