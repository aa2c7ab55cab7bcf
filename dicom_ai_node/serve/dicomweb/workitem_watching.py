"""Who hears of workitems, PS3.18 11.10 to 11.12, and the channel on which they hear, 8.10.4."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Request, Response, WebSocket
from fastapi.exceptions import WebSocketException
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect

from dicom_ai_node.domain.archive import Key
from dicom_ai_node.domain.errors import TryAgain
from dicom_ai_node.domain.workitem import FILTERED_WORKLIST, StepRefused, Why
from dicom_ai_node.domain.worklist import Report, Worklist
from dicom_ai_node.serve.access import Needs, Person, Role, needs
from dicom_ai_node.serve.dicomweb.held import root_of
from dicom_ai_node.serve.dicomweb.workitem_wire import (
    PREFIX,
    StepRoute,
    ae_title_of,
    encoded,
    flag_of,
    key_of,
    uid_of,
    with_urls,
)

POLL_SECONDS = 0.5
"""How long a channel with nothing to say waits before it looks again."""
SEND_SECONDS = 20.0
"""A subscriber that takes longer for one report has lost its channel; what it missed waits."""
AT_ONCE = 100
_POLICY, _TRY_AGAIN, _REPLACED = 1008, 1013, 4000
_NEXT_KEY = re.compile(r",(?=[0-9A-Za-z.]+=)")
_NO_KEYS = frozenset({"deletionlock", "accept", "charset", "filter"})


class NeedsOnSocket(Needs):
    """A dependency of a WebSocket: lets nobody pass who may not, nor a page from elsewhere."""

    async def __call__(self, websocket: WebSocket) -> Person:  # type: ignore[override]
        """Return who asks, or refuse the handshake."""
        origin = websocket.headers.get("Origin")
        # A browser sends its cookies along whoever's page it shows; it also says whose that is.
        if origin is not None and urlsplit(origin).netloc != websocket.headers.get("Host"):
            raise WebSocketException(_POLICY, "pages from elsewhere may not listen")
        try:
            return await super().__call__(
                Request({**websocket.scope, "type": "http", "method": "GET"})
            )
        except HTTPException as no:
            raise WebSocketException(_POLICY, str(no.detail)) from no


def watching_router(worklist: Worklist) -> APIRouter:
    """Return the routes of subscriptions."""
    router = APIRouter(
        prefix=f"{PREFIX}/workitems", dependencies=[needs(Role.VIEWER)], route_class=StepRoute
    )

    @router.post("/{resource}/subscribers/{aetitle}")
    def subscribe(request: Request, resource: str, aetitle: str) -> Response:
        """Let somebody hear of a workitem, of all, or of all that match."""
        title = ae_title_of(aetitle)
        keys = _keys(request, uid_of(resource))
        worklist.subscribe(title, resource, keys, has_lock=flag_of(request, "deletionlock"))
        # http becomes ws and https becomes wss.
        channel = f"{root_of(request)}/subscribers/{title}".replace("http", "ws", 1)
        return Response(status_code=201, headers={"Content-Location": channel})

    @router.delete("/{resource}/subscribers/{aetitle}")
    def unsubscribe(resource: str, aetitle: str) -> Response:
        """Let them hear no more."""
        worklist.unsubscribe(ae_title_of(aetitle), uid_of(resource))
        return Response(status_code=200)

    @router.post("/{resource}/subscribers/{aetitle}/suspend")
    def suspend(resource: str, aetitle: str) -> Response:
        """Let them hear of nothing new."""
        worklist.suspend(ae_title_of(aetitle), uid_of(resource))
        return Response(status_code=200)

    return router


def channel_router(worklist: Worklist) -> APIRouter:
    """Return the route of the channel."""
    router = APIRouter(prefix=PREFIX)

    @router.websocket("/subscribers/{aetitle}", dependencies=[Depends(NeedsOnSocket(Role.VIEWER))])
    async def channel(websocket: WebSocket, aetitle: str) -> None:
        """Tell a subscriber what there is to tell, for as long as it listens."""
        try:
            title = ae_title_of(aetitle)
        except StepRefused as no:
            raise WebSocketException(_POLICY, str(no)) from no
        await websocket.accept()
        with suppress(WebSocketDisconnect):
            await _Channel(worklist, title, websocket).talk()

    return router


class _Channel:
    """One subscriber that listens."""

    def __init__(self, worklist: Worklist, aetitle: str, websocket: WebSocket) -> None:
        self._worklist = worklist
        self._aetitle = aetitle
        self._websocket = websocket
        http = "https" if websocket.url.scheme == "wss" else "http"
        self._base = f"{http}://{websocket.url.netloc}{PREFIX}"

    async def talk(self) -> None:
        """Tell and wait until somebody hangs up."""
        gone = asyncio.create_task(self._until_it_hangs_up())
        try:
            name = await self._opened()
            while not gone.done():
                try:
                    found = await run_in_threadpool(
                        self._worklist.reports, self._aetitle, name, AT_ONCE
                    )
                except TryAgain:
                    found = []
                if found is None:
                    await self._websocket.close(_REPLACED, "another channel was opened")
                    return
                if not await self._told(found):
                    return
                if not found:
                    await asyncio.wait({gone}, timeout=POLL_SECONDS)
        finally:
            gone.cancel()

    async def _opened(self) -> str:
        while True:
            with suppress(TryAgain):
                return await run_in_threadpool(self._worklist.open_channel, self._aetitle)
            await asyncio.sleep(POLL_SECONDS)

    async def _told(self, found: Sequence[Report]) -> bool:
        """Send reports in order, then forget them; return False if the subscriber is too slow."""
        for report in found:
            said = encoded(with_urls(report.said, self._base)).decode()
            try:
                await asyncio.wait_for(self._websocket.send_text(said), SEND_SECONDS)
            except TimeoutError:
                await self._websocket.close(_TRY_AGAIN)
                return False
        if found:
            # What is not forgotten now is told twice, which is better than not at all.
            with suppress(TryAgain):
                await run_in_threadpool(self._worklist.told, self._aetitle, found)
        return True

    async def _until_it_hangs_up(self) -> None:
        with suppress(WebSocketDisconnect):
            while True:
                await self._websocket.receive_text()


def _keys(request: Request, resource: str) -> list[Key]:
    """Return the matching keys of a subscription, in `filter` or beside it."""
    said = [part for value in request.query_params.getlist("filter") for part in _parts(value)]
    beside = request.query_params.multi_items()
    said += [(name, value) for name, value in beside if name not in _NO_KEYS]
    if bool(said) != (resource == FILTERED_WORKLIST):
        raise StepRefused(
            Why.NOT_APPROPRIATE, "a filter belongs to the filtered worklist, and only there"
        )
    return [key_of(name, value) for name, value in said]


def _parts(filtered: str) -> list[tuple[str, str]]:
    pairs = [part.partition("=") for part in _NEXT_KEY.split(filtered)]
    return [(name.strip(), value) for name, _, value in pairs]
