"""Every answer is counted by its route, and nothing that somebody has asked for is repeated."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_ai_node.serve.counted import Counted
from tests.serve.house import Browser

Told = list[tuple[str, str, str]]


def _things() -> FastAPI:
    app, router = FastAPI(), APIRouter(prefix="/things")

    @router.get("/{uid}")
    def thing(uid: str) -> str:
        if uid == "none":
            raise HTTPException(404)
        if uid == "bug":
            raise RuntimeError(uid)
        return uid

    @router.get("/{uid}/news")
    async def news(uid: str) -> StreamingResponse:
        async def told() -> AsyncIterator[str]:
            for _ in range(3):
                yield f"data: {uid}\n\n"
                await asyncio.sleep(0)

        return StreamingResponse(told(), media_type="text/event-stream")

    app.include_router(router)
    return app


def _told(app: ASGIApp, method: str, path: str) -> Told:
    told: Told = []

    def tell(route: str, method: str, status: str, seconds: float) -> None:
        assert 0 <= seconds < 60
        told.append((route, method, status))

    Browser(Counted(app, tell)).ask(method, path)
    return told


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        pytest.param("GET", "/things/1.2.840", ("/things/{uid}", "GET", "2xx"), id="answered"),
        pytest.param("GET", "/things/none", ("/things/{uid}", "GET", "4xx"), id="not there"),
        pytest.param("GET", "/things/bug", ("/things/{uid}", "GET", "5xx"), id="a bug"),
        pytest.param("PUT", "/things/1.2.840", ("/things/{uid}", "PUT", "4xx"), id="not so"),
        pytest.param("GET", "/1.2.840", ("none", "GET", "4xx"), id="no route"),
        pytest.param("BREW", "/things/1.2", ("/things/{uid}", "other", "4xx"), id="made up"),
        pytest.param("GET", "/things/1/news", ("/things/{uid}/news", "GET", "2xx"), id="news"),
    ],
)
def test_an_answer_is_counted_once_by_its_template(
    method: str, path: str, told: tuple[str, str, str]
) -> None:
    """A stranger can make up paths and methods, and makes no metric of his own by it."""
    assert _told(_things(), method, path) == [told]


def test_a_line_of_news_is_counted_when_it_begins() -> None:
    """It may be open for a day, and that is no answer that took a day."""
    told: Told = []

    async def endless(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        assert told == [("none", "GET", "2xx")]
        await send({"type": "http.response.body", "body": b"data: 1\n\n"})

    app = Counted(endless, lambda route, method, status, _s: told.append((route, method, status)))
    Browser(app).get("/events")
    assert told == [("none", "GET", "2xx")]


def test_who_has_gone_is_counted_too() -> None:
    """An answer that never began has no status."""
    told: Told = []

    async def gone(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise asyncio.CancelledError

    app = Counted(gone, lambda route, method, status, _s: told.append((route, method, status)))

    async def ask() -> None:
        async def receive() -> Message:
            return {"type": "http.disconnect"}

        async def send(_message: Message) -> None:
            """Nobody is there."""

        await app({"type": "http", "method": "GET", "path": "/"}, receive, send)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask())
    assert told == [("none", "GET", "none")]


def test_what_is_no_request_is_not_counted() -> None:
    """A WebSocket is open as long as somebody listens."""
    told: Told = []
    seen: list[str] = []

    async def inner(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    app = Counted(inner, lambda route, method, status, _s: told.append((route, method, status)))

    async def nothing() -> Message:
        return {}

    async def nowhere(_message: Message) -> None:
        """Take nothing."""

    for kind in ("websocket", "lifespan"):
        asyncio.run(app({"type": kind}, nothing, nowhere))
    assert (seen, told) == (["websocket", "lifespan"], [])


def test_an_answer_keeps_its_body() -> None:
    """Counting touches nothing of it."""
    app = FastAPI()

    @app.get("/big")
    def big() -> Response:
        return Response(b"x" * 300_000)

    answer = Browser(Counted(app, lambda *_: None)).get("/big")
    assert len(answer.content) == 300_000
