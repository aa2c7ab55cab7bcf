"""What happens, as it happens: server-sent events from one look at the ledger a second.

However many pages are open, the ledger is asked once; when nobody listens, it is not asked at all.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import astuple
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.overview import Pulse

PULSE_SECONDS = 1.0
QUIET_SECONDS = 15.0
"""After so long without news a comment is sent, so that no proxy takes the line for dead."""
MOST_LISTENERS = 200
RETRY_MILLISECONDS = 3000
_TOPICS = {
    "arrived": ("studies",),
    "moved": ("studies", "jobs"),
    "put_aside": ("quarantine",),
    "at_work": ("work",),
}
_BUSY = 503


class Live:
    """Tells listeners what has changed; looks at the ledger only while there are any."""

    def __init__(self, pulse: Callable[[], Pulse]) -> None:
        self._pulse = pulse
        self._listeners: set[asyncio.Queue[Pulse]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def news(self, last: Pulse | None) -> AsyncIterator[str]:
        """Yield events for one listener, beginning with what it has missed since `last`."""
        heard: asyncio.Queue[Pulse] = asyncio.Queue()
        self._listeners.add(heard)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield f"retry: {RETRY_MILLISECONDS}\n\n"
            while True:
                try:
                    now = await asyncio.wait_for(heard.get(), QUIET_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                yield _event(now, changed(last, now))
                last = now
        finally:
            self._listeners.discard(heard)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    async def _look(self) -> None:
        told: dict[asyncio.Queue[Pulse], Pulse] = {}
        while True:
            with suppress(NodeError):  # a busy ledger is asked again in a second
                now = await run_in_threadpool(self._pulse)
                for one in self._listeners:
                    if told.get(one) != now:
                        one.put_nowait(now)
                told = dict.fromkeys(self._listeners, now)
            await asyncio.sleep(PULSE_SECONDS)


def changed(before: Pulse | None, now: Pulse) -> list[str]:
    """Return which parts of the pages are old; none for who has just come."""
    if before is None:
        return []
    found: dict[str, None] = {}
    for name, topics in _TOPICS.items():
        if getattr(before, name) != getattr(now, name):
            found.update(dict.fromkeys(topics))
    return list(found)


def _event(pulse: Pulse, topics: list[str]) -> str:
    number = ".".join(map(str, astuple(pulse)))
    return f"id: {number}\nevent: news\ndata: {json.dumps(topics)}\n\n"


def heard_last(number: str) -> Pulse | None:
    """Return what a listener that comes back has heard last, `None` if it does not say."""
    parts = number.split(".")
    if len(parts) != len(_TOPICS) or not all(part.isdecimal() for part in parts):
        return None
    arrived, moved, put_aside, at_work = map(int, parts)
    return Pulse(arrived=arrived, moved=moved, put_aside=put_aside, at_work=at_work)


def add_live(router: APIRouter, live: Live) -> None:
    """Add the one line on which a page hears news."""

    @router.get("/events")
    async def events(
        request: Request, last: Annotated[str, Query(max_length=64)] = ""
    ) -> StreamingResponse:
        """Tell what changes, as server-sent events, from where the listener has been before."""
        if live.listeners >= MOST_LISTENERS:
            raise HTTPException(_BUSY, "missing.too_many")
        before = heard_last(request.headers.get("Last-Event-ID", last))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(live.news(before), 200, headers, "text/event-stream")
