"""Storage commitment over HTTP, PS3.18 13: the answer comes at once, and can be asked for again."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.commitment import Commitments, asked_for
from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.dicomweb.accept import chosen
from dicom_ai_node.serve.dicomweb.workitem_answers import ONE, data_set, gives
from dicom_ai_node.serve.dicomweb.workitem_wire import (
    PREFIX,
    TAKES,
    StepRoute,
    data_set_in,
    uid_of,
)


def commitment_router(commitments: Commitments, now: Callable[[], datetime]) -> APIRouter:
    """Return the routes of storage commitment; whoever may store may ask."""
    router = APIRouter(
        prefix=f"{PREFIX}/commitment-requests",
        dependencies=[needs(Role.SENDER)],
        route_class=StepRoute,
    )

    @router.post(
        "/{transaction_uid}",
        response_class=Response,
        responses=gives(ONE),
        openapi_extra=TAKES,
    )
    def commit(
        request: Request, transaction_uid: str, said: Annotated[Header, Depends(data_set_in)]
    ) -> Response:
        """Say of each instance whether it is kept."""
        offer = chosen(request, ONE)
        answer = commitments.commit(uid_of(transaction_uid), asked_for(said), now())
        return data_set(offer, answer)

    @router.get("/{transaction_uid}", response_class=Response, responses=gives(ONE))
    def result(request: Request, transaction_uid: str) -> Response:
        """Say again what was said: for whoever has lost the answer."""
        offer = chosen(request, ONE)
        answer = commitments.answer(uid_of(transaction_uid))
        if answer is None:
            raise HTTPException(404, "there was no request with this Transaction UID")
        return data_set(offer, answer)

    return router
