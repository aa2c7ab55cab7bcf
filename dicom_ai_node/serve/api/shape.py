"""How answers of the API are made and described, and how one asks for them."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, HTTPException, Path, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from dicom_ai_node.serve.access import Role, needs
from dicom_ai_node.serve.console.page import is_elsewhere
from dicom_ai_node.serve.uid_in_url import UID

AUid = Annotated[str, Path(pattern=UID, description="Study Instance UID")]
AName = Annotated[str, Path(max_length=200, description="the name as configured")]
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Shape(BaseModel):
    """An answer, or a part of one; what stands under a field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Trouble(Shape):
    """Why something was refused."""

    detail: str
    """One sentence."""


class ApiRoute(APIRoute):
    """A route whose answers nobody keeps: they tell of patients."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with those headers."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            response = await handler(request)
            for name, value in _HEADERS.items():
                response.headers[name] = value
            return response

        return answer


def from_here(request: Request) -> None:
    """Raise 403 for what a page of another site makes a browser send."""
    if is_elsewhere(request):
        raise HTTPException(403, "this does not come from a page of this node")


ACTING = (needs(Role.OPERATOR), Depends(from_here))
"""Of every route that sets something going."""


def refusals(**said: str) -> dict[int | str, dict[str, Any]]:
    """Return what a route refuses, by status: `refusals(s404="there is no such job")`."""
    return {
        int(status.removeprefix("s")): {"model": Trouble, "description": sentence}
        for status, sentence in said.items()
    }


def next_page(request: Request, changed: Mapping[str, object]) -> str:
    """Return where the next page of a list is: the same question, going on from there."""
    asked = {**dict(request.query_params), **{name: str(value) for name, value in changed.items()}}
    return f"{request.url.path}?{urlencode(asked)}"
