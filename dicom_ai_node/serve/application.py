"""The application: routers behind one door, errors that say who has to act, nothing in a log."""

from collections.abc import Sequence

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute

from dicom_ai_node.domain.errors import NodeError, TryAgain
from dicom_ai_node.serve.access import Access, Needs

log = structlog.get_logger()

RETRY_AFTER_SECONDS = 5
"""What is said to whoever comes when the node cannot answer now."""


def application(access: Access, routers: Sequence[APIRouter]) -> FastAPI:
    """Return the application.

    Raises
    ------
    RuntimeError
        If a route names no role: a mistake of ours, told before the first request.
    """
    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(title="dicom_ai_node", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.access = access
    app.add_exception_handler(NodeError, _trouble)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _bug)
    for router in routers:
        unguarded = [route for route in router.routes if role_of(route) is None]
        if unguarded:
            raise RuntimeError(f"{unguarded} name no role")
        app.include_router(router)
    # What this node serves, for pages that lead there: not every wing is everywhere.
    app.state.paths = frozenset(
        str(getattr(route, "path", "")) for router in routers for route in router.routes
    )
    return app


def role_of(route: BaseRoute) -> str | None:
    """Return the role that a route needs, `None` if it names none.

    Where its router names one too, its own comes last.
    """
    for dependency in reversed(getattr(route, "dependencies", ())):
        if isinstance(dependency.dependency, Needs):
            return str(dependency.dependency.role)
    return None


def _trouble(_request: Request, trouble: Exception) -> Response:
    status = trouble.http_status if isinstance(trouble, NodeError) else NodeError.http_status
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if isinstance(trouble, TryAgain) else {}
    return JSONResponse({"detail": str(trouble)}, status, headers)


def _gone(_request: Request, _gone: Exception) -> Response:
    """Answer who has gone in the middle of a request: nobody hears it, and nobody is to blame."""
    return Response(status_code=400)


def _bug(_request: Request, bug: Exception) -> Response:
    log.error("bug", exc_info=(type(bug), bug, bug.__traceback__))
    return JSONResponse({"detail": "a bug in the node; its log says where"}, 500)
