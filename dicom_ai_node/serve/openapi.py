"""The document of the whole interface, OpenAPI 3.1, made from the routes that there are."""

import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse

from dicom_ai_node.serve.access import Role, needs

METHODS = frozenset({"get", "head", "post", "put", "delete", "patch", "options"})

_TROUBLE = {
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"detail": {"type": "string"}}}
        }
    }
}
_REFUSALS = {
    "400": "something of the request cannot be understood",
    "401": "who asks has not said who they are",
    "403": "who asks may not do this",
    "503": "not now; Retry-After says when",
}
_OF_A_PLACE = {"404": "there is nothing of that name", "406": "another media type is asked for"}


def openapi_router() -> APIRouter:
    """Return the route of the document."""
    router = APIRouter(prefix="/api", dependencies=[needs(Role.VIEWER)], tags=["interface"])

    @router.get("/openapi.json", response_model=None)
    def openapi(request: Request) -> JSONResponse:
        """Describe every route: its parameters, what it answers and what it refuses."""
        return JSONResponse(document(request.app))

    return router


def document(app: FastAPI) -> Mapping[str, Any]:
    """Return the document of an application; it is made once."""
    made: dict[str, Any] | None = getattr(app.state, "document", None)
    if made is None:
        made = _made(app)
        app.state.document = made
    return made


def _made(app: FastAPI) -> dict[str, Any]:
    with warnings.catch_warnings():
        # A route of GET and HEAD has one name for both; they get names of their own below.
        warnings.simplefilter("ignore", UserWarning)
        made = get_openapi(title=app.title, version=version("dicom-ai-node"), routes=app.routes)
    for path, method, operation in operations(made):
        operation["operationId"] = f"{method} {path}"
        _add_refusals(path, operation)
        if path.startswith("/dicom-web"):
            _open_media_type(operation)
    schemes = made.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer"}
    made["security"] = [{"bearer": []}, {}]
    return made


def operations(made: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the path, the method and the rest of every operation."""
    for path, item in made["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def _add_refusals(path: str, operation: dict[str, Any]) -> None:
    known = _REFUSALS | _OF_A_PLACE if "{" in path else _REFUSALS
    for status, description in known.items():
        answer = operation["responses"].setdefault(status, {"description": description})
        answer.setdefault("content", _TROUBLE["content"])


def _open_media_type(operation: dict[str, Any]) -> None:
    """Say that a resource has several representations where its route does not name them."""
    answer = operation["responses"].get("200", {})
    if answer.get("content") == {"application/json": {"schema": {}}}:
        answer["content"] = {"*/*": {}}
