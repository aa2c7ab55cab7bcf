"""Every answer is counted: which route, which method, which class of status, and how long it took.

Pure ASGI: it touches no body. A route is told by its template, never by the path that was asked
for, which holds UIDs and whatever a stranger writes into it.
"""

from collections.abc import Callable
from time import perf_counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NO_ROUTE = "none"
"""What nothing of ours answers: refused before any route was looked for, or asked for in vain."""
OTHER = "other"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_NEWS = "text/event-stream"

Tell = Callable[[str, str, str, float], None]
"""Takes route, method, class of status (`2xx`, or `none` if nobody was left to answer), seconds."""


class Counted:
    """Tells of every answer when it has ended; of one that never ends, when it begins."""

    def __init__(self, app: ASGIApp, tell: Tell) -> None:
        self._app = app
        self._tell = tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, is_told = perf_counter(), "none", False

        def tell() -> None:
            nonlocal is_told
            if not is_told:
                is_told = True
                seconds = perf_counter() - began
                self._tell(_template(scope), _method(scope), status, seconds)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = f"{message['status'] // 100}xx"
                if Headers(raw=message["headers"]).get("Content-Type", "").startswith(_NEWS):
                    tell()
            await send(message)

        try:
            await self._app(scope, receive, answer)
        finally:
            tell()


def _template(scope: Scope) -> str:
    """Return the route as it is written in the code, without the values that were asked for."""
    return str(getattr(scope.get("route"), "path", NO_ROUTE))


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in _METHODS else OTHER
