"""What stands before every route: the right host, the right page, no flood, and safe headers.

Pure ASGI: it looks at headers only and touches no body that streams through.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_ai_node.serve.address import address, is_loopback

MOST_BODY_BYTES = 1024**2
"""Of everything but instances to be stored or explained, which go to the disk piece by piece."""
YEAR_SECONDS = 31_536_000

CONSOLE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
    " form-action 'self'; frame-ancestors 'self'"
)
"""No script and no style but those in files of ours; nothing from elsewhere.

An answer that brings another policy keeps it: the viewer needs WebAssembly and workers.
"""

_ALWAYS: Mapping[str, str] = MappingProxyType({
    "Content-Security-Policy": CONSOLE_POLICY,
    # What shows patients stays in no cache; what does not says so itself.
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: browsers would send our own forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
})  # fmt: skip
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBES = "/health/"
_STORED = re.compile(r"/dicom-web/studies(/[0-9.]+)?/?|/routes/explain")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?", re.IGNORECASE)


class Shield:
    """Refuses what no route has to see, and says in every answer what a browser must not do.

    Parameters
    ----------
    names
        What this node is called in URLs; `*.example.org` stands for one label more.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal:
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _protect(scope, MutableHeaders(scope=message))
            await send(message)

        if refusal:
            status, detail = refusal
            await JSONResponse({"detail": detail}, status)(scope, receive, answer)
        elif scope["method"] == "POST" and _STORED.fullmatch(scope["path"]):
            await self._app(scope, receive, answer)
        else:
            await self._app(scope, _limited(receive), answer)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        if scope["path"].startswith(_PROBES):
            return None
        host = headers.get("Host", "")
        if not self._is_ours(host):
            return 421, "this node has another name; serve.names says which"
        if scope["scheme"] in {"http", "ws"} and not _is_here(scope):
            return 403, "this node answers over https:// only"
        changes = scope["type"] == "websocket" or scope["method"] not in _SAFE
        if changes and not _is_own_page(headers, host):
            return 403, "this comes from a page of somebody else"
        length = headers.get("Content-Length", "0")
        is_stored = _STORED.fullmatch(scope["path"]) is not None
        if (
            not is_stored
            and length.isascii()
            and length.isdecimal()
            and int(length) > MOST_BODY_BYTES
        ):
            return 413, f"more than {MOST_BODY_BYTES} bytes"
        return None

    def _is_ours(self, host: str) -> bool:
        """Return whether a name is ours: a page elsewhere may have given us another one.

        By DNS rebinding, that is; which takes a name. An address stands for itself.
        """
        form = _HOST.fullmatch(host)
        if form is None:
            return False
        name = form["name"].strip("[]").lower().rstrip(".")
        if name == "localhost" or address(name) is not None:
            return True
        return name in self._names or f"*.{name.partition('.')[2]}" in self._names


def _protect(scope: Scope, headers: MutableHeaders) -> None:
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    if scope["scheme"] == "https" and not _is_here(scope):
        headers.setdefault("Strict-Transport-Security", f"max-age={YEAR_SECONDS}")


def _is_own_page(headers: Headers, host: str) -> bool:
    """Return whether a page of ours, or no page at all, sends something.

    A cookie, a password that the browser remembers, or a token that a proxy adds would go along
    with what any page sends.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("Origin")
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()


def _is_here(scope: Scope) -> bool:
    """Return whether somebody on this machine asks."""
    client = scope.get("client")
    return client is None or is_loopback(client[0])


def _limited(receive: Receive) -> Receive:
    passed = 0

    async def limited() -> Message:
        nonlocal passed
        message = await receive()
        passed += len(message.get("body", b""))
        if passed > MOST_BODY_BYTES:
            raise HTTPException(413, f"more than {MOST_BODY_BYTES} bytes")
        return message

    return limited
