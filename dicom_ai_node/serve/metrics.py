"""`/metrics`, for Prometheus: with a token of a viewer, for it tells how busy a hospital is."""

from collections.abc import Callable

from fastapi import APIRouter
from fastapi.responses import Response

from dicom_ai_node.serve.access import Role, needs


def metrics_router(exposition: Callable[[], bytes], content_type: str) -> APIRouter:
    """Return the route of the metrics."""
    router = APIRouter(dependencies=[needs(Role.VIEWER)])

    @router.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Return the state of the node in the text format of Prometheus."""
        return Response(exposition(), media_type=content_type)

    return router
