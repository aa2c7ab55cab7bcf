"""Whether the node is alive, and whether it can do its work: for load balancers and probes."""

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from dicom_ai_node.serve.access import Role, needs


def health_router(troubles: Callable[[], list[str]]) -> APIRouter:
    """Return the routes of health.

    Parameters
    ----------
    troubles
        Returns one sentence for each thing that keeps the node from working; names no patient.
    """
    router = APIRouter(prefix="/health", dependencies=[needs(Role.PUBLIC)])

    @router.get("/live")
    def live() -> dict[str, str]:
        """Say that this process answers."""
        return {"status": "live"}

    @router.get("/ready")
    def ready() -> JSONResponse:
        """Say whether studies can be taken in and looked at; 503 if not."""
        found = troubles()
        status = {"status": "not ready" if found else "ready", "because": found}
        return JSONResponse(status, 503 if found else 200)

    return router
