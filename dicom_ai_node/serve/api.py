"""What may be asked by HTTP, for whoever knows the token. Answers are JSON."""

import hmac
from collections.abc import Sequence
from typing import Annotated

import structlog
from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.similar import Neighbour, Similar
from dicom_ai_node.domain.uids import Sha256, StudyInstanceUID

log = structlog.get_logger()

MOST = 100
"""Neighbours that are told at once."""

_bearer = HTTPBearer(auto_error=False)


def api(similar: Similar, model: Sha256, token: str) -> FastAPI:
    """Return the application.

    Parameters
    ----------
    similar
        Knows which images look alike, as `model` has placed them.
    token
        What `Authorization: Bearer` has to say.
    """

    def knows_the_token(
        said: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> None:
        # The bytes as they came; the comparison takes as long whichever of them is wrong.
        given = (said.credentials if said else "").encode("latin-1")
        if not hmac.compare_digest(given, token.encode()):
            raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})

    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(
        title="dicom_ai_node",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(knows_the_token)],
    )
    app.add_exception_handler(NodeError, _trouble)
    app.add_exception_handler(Exception, _bug)

    @app.get("/api/studies/{study_instance_uid}/similar")
    def similar_studies(
        study_instance_uid: Annotated[str, Path(pattern=r"^[0-9.]{1,64}$")],
        count: Annotated[int, Query(ge=1, le=MOST)] = 5,
    ) -> Sequence[Neighbour]:
        """Return the studies most like this one, best first."""
        study = StudyInstanceUID(study_instance_uid)
        if not similar.is_placed(study, model):
            raise HTTPException(404, "no image of it is here, or none has been looked at yet")
        return similar.similar(study, model, count)

    return app


def _trouble(_request: Request, trouble: Exception) -> Response:
    status = trouble.http_status if isinstance(trouble, NodeError) else NodeError.http_status
    return JSONResponse({"detail": str(trouble)}, status)


def _bug(_request: Request, bug: Exception) -> Response:
    log.error("bug", exc_info=(type(bug), bug, bug.__traceback__))
    return JSONResponse({"detail": "a bug in the node; its log says where"}, 500)
