"""Behind a proxy: who asked it, how, and under which name; believed of the proxies we know only."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Receive, Scope, Send

from dicom_ai_node.serve.address import address

_SCHEMES = {"http": ("http", "ws"), "https": ("https", "wss")}
_FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})


class Forwarded:
    """Puts what a proxy says about a request in the place of what is seen of the proxy (ASGI).

    X-Forwarded-For is read from its end, where our own proxies have written: what stands before
    the first address that is none of them, whoever asked may have made up.
    """

    def __init__(self, app: ASGIApp, proxies: Sequence[str]) -> None:
        self._app = app
        self._proxies = [ip_network(one, strict=False) for one in proxies]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] in {"http", "websocket"}:
            client = scope.get("client")
            if client is not None:
                scope["client"] = (_plain(client[0]), client[1])
                if _is_among(scope["client"][0], self._proxies):
                    self._believe(scope)
            scope["headers"] = [one for one in scope["headers"] if one[0] not in _FORWARDED]
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        said = Headers(scope=scope)
        scheme = _last(said.getlist("X-Forwarded-Proto")).lower()
        if scheme in _SCHEMES:
            scope["scheme"] = _SCHEMES[scheme][scope["type"] == "websocket"]
        client = self._client(said.getlist("X-Forwarded-For"))
        if client:
            scope["client"] = (client, 0)
        host = _last(said.getlist("X-Forwarded-Host"))
        if host:
            MutableHeaders(scope=scope)["Host"] = host

    def _client(self, said: Sequence[str]) -> str:
        addresses = [one.strip() for line in said for one in line.split(",")]
        for one in reversed(addresses):
            if not _is_among(one, self._proxies):
                return one if address(one) is not None else ""
        return ""


@lru_cache(4096)
def _plain(text: str) -> str:
    """Return an address as people write it: a socket for both kinds says `::ffff:10.0.0.5`."""
    parsed = address(text)
    return text if parsed is None else str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _last(said: Sequence[str]) -> str:
    return said[-1].rpartition(",")[2].strip() if said else ""


def _is_among(text: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    parsed = address(text)
    return parsed is not None and any(parsed in one for one in networks)
