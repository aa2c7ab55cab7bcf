"""STOW-RS as a provider, PS3.18 10.5: the twin of C-STORE, with the same inbox behind it.

The event loop does nothing but hand blocks of a body to a thread, which takes them apart and
writes them, while the next block comes off the wire.
"""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute

from dicom_ai_node.domain.errors import NodeError, NotUnderstood, OutOfResources
from dicom_ai_node.domain.uids import is_uid
from dicom_ai_node.receive.body import BLOCK_BYTES, Body, Broken, TooSlow
from dicom_ai_node.receive.depot import Depot, Streamed, Takings
from dicom_ai_node.receive.form import Form
from dicom_ai_node.receive.media import answer_type
from dicom_ai_node.receive.multipart import TooMuch
from dicom_ai_node.receive.parts import Reading
from dicom_ai_node.receive.short import Short, ShortRequests
from dicom_ai_node.receive.store_answer import body_of, sentences, status_of

log = structlog.get_logger()

T = TypeVar("T")

LONGEST_REQUEST_BYTES = 256 << 30
WORKERS = 16
"""Threads that take bodies apart."""
KEEPERS = 8
"""Threads that wait for the disk."""
RETRY_AFTER_SECONDS = 5

_MOST_WARNINGS = 5
_ANONYMOUS = "STOW-RS"


class NotAcceptable(NodeError):
    """The client takes no answer that we could give."""

    http_status = 406


def store_router(depot: Depot, guard: Any) -> APIRouter:  # noqa: ANN401 - FastAPI gives no type
    """Return the routes by which instances come in; `guard` lets in those who may send."""
    router = APIRouter(prefix="/dicom-web", dependencies=[guard], route_class=_Plain)
    store = _Store(depot)

    @router.post("/studies", responses=_ANSWERS)
    async def store_instances(request: Request) -> Response:
        """Store instances of any study."""
        return await store.answer(request, "")

    @router.post("/studies/{study_instance_uid}", responses=_ANSWERS)
    async def store_instances_of_study(request: Request, study_instance_uid: str) -> Response:
        """Store instances of one study."""
        return await store.answer(request, study_instance_uid)

    return router


_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"description": description}
    for status, description in {
        200: "every instance is stored",
        202: "some instances are stored; the answer says which are not, and why",
        406: "the answer is JSON or XML, which Accept excludes",
        409: "no instance is stored; the answer says why",
        413: "the request is too large",
        415: "the body is neither multipart/related nor application/dicom",
    }.items()
}


class _Plain(APIRoute):
    """A route that reads its request by itself, for of these there are many.

    Nothing of it is a form, a JSON or a parameter that would have to be validated first.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers: the dependencies, which are asked and not used, come first."""
        guards = [one.dependency for one in self.dependencies if one.dependency is not None]
        endpoint = self.endpoint

        async def answer(request: Request) -> Response:
            for guard in guards:
                await guard(request)
            response: Response = await endpoint(request, **request.path_params)
            return response

        return answer


class _Store:
    """Answers requests, so many at a time."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._workers = ThreadPoolExecutor(WORKERS, "store")
        self._keepers = ThreadPoolExecutor(KEEPERS, "keep")
        self._short = ShortRequests(depot)
        self._busy = 0

    async def answer(self, request: Request, study_instance_uid: str) -> Response:
        """Store what a request brings and say what became of each instance."""
        body = Body(request.receive, self._depot.limits.pdu_seconds, LONGEST_REQUEST_BYTES)
        self._busy += 1
        try:
            return await self._answer(request, body, study_instance_uid)
        except Broken:
            log.info("request_lost", peer=_address(request))
            return Response(status_code=400)  # which nobody hears
        except NodeError as trouble:
            log.warning("request_refused", peer=_address(request), status=trouble.http_status)
            return _refusal(trouble, is_read=await body.linger())
        finally:
            self._busy -= 1

    async def _answer(self, request: Request, body: Body, study_instance_uid: str) -> Response:
        answer_in = answer_type(request.headers.get("Accept", ""))
        if not answer_in:
            raise NotAcceptable("the answer is JSON or XML, which Accept excludes")
        if study_instance_uid and not is_uid(study_instance_uid):
            raise NotUnderstood("the address names no study: that is no UID")
        length = self._length_of(request)
        form = Form.of(request)
        counter = self._depot.counter(_sender(request), _address(request))
        takings: Takings
        if form.holds_instances and 0 < length <= BLOCK_BYTES:
            takings = Short(self._depot, counter, study_instance_uid)
            trouble = await self._take_short(body, form.reading(takings), takings)
        else:
            await self._in_thread(partial(self._check_room, length))
            takings = Streamed(self._depot, counter, self._keepers, study_instance_uid)
            trouble = await self._take(body, form.reading(takings), takings)
        if trouble is not None and not takings.outcomes:
            raise trouble
        response = _response(request, takings, answer_in)
        if trouble is not None:
            response.status_code = trouble.http_status
            _warn(response, str(trouble))
            if not await body.linger():
                response.headers["Connection"] = "close"
        return response

    def _length_of(self, request: Request) -> int:
        """Return how long the body is, 0 if nobody knows; raise if it is not wanted."""
        if self._busy > self._depot.limits.associations:
            raise OutOfResources("too many requests at once")
        length = int(request.headers.get("Content-Length", "0"))
        if length > LONGEST_REQUEST_BYTES:
            raise TooMuch("the request is too large")
        return length

    def _check_room(self, length: int) -> None:
        self._depot.inbox.room()
        if self._depot.blobs.free_bytes() < length:
            raise OutOfResources("the request is larger than the room on the disk")

    async def _take_short(self, body: Body, reading: Reading, takings: Short) -> NodeError | None:
        """Take in a body of one block; return what was wrong with it after all that was right."""
        whole = b""
        try:
            async for block in body.blocks():
                whole += block
        except (Broken, TooSlow):
            await self._short.take(reading, takings, whole)  # there may be instances in it
            raise
        return await self._short.take(reading, takings, whole)

    async def _take(self, body: Body, reading: Reading, takings: Streamed) -> NodeError | None:
        """Take in a body of any length while it comes; as `_take_short`."""

        def finish(last: bytes) -> None:
            reading.finish(last)
            takings.settle()
            takings.release()

        def break_off() -> None:
            reading.break_off()
            takings.settle()

        try:
            last = await self._feed(body, reading)
            await self._in_thread(partial(finish, last))
        except NodeError as trouble:
            await self._in_thread(break_off)
            return trouble
        finally:
            if not reading.is_over:
                # Where this task is cancelled, nothing can be awaited here any more.
                self._workers.submit(break_off)
        return None

    async def _feed(self, body: Body, reading: Reading) -> bytes:
        """Let a thread have one block while the next one comes; return the last one."""
        loop = asyncio.get_running_loop()
        pending: asyncio.Future[None] = loop.create_future()
        pending.set_result(None)
        last = b""
        try:
            async for block in body.blocks():
                if last:
                    await pending
                    pending = loop.run_in_executor(self._workers, reading.feed, last)
                last = block
            await pending
        except (Broken, TooSlow):
            await pending
            await self._in_thread(partial(reading.feed, last))
            raise
        finally:
            pending.add_done_callback(_heard)
        return last

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)


def _response(request: Request, takings: Takings, answer_in: str) -> Response:
    """Return the answer to a request of which something has been read to its end."""
    outcomes = takings.outcomes
    if not outcomes:
        raise NotUnderstood("there is no instance in the body")
    status = status_of(outcomes)
    host = request.headers.get("Host", "")
    url = f"{request.scope['scheme']}://{host}/dicom-web/studies"
    response = Response(body_of(outcomes, url, answer_in), status, media_type=answer_in)
    for sentence in sentences(outcomes)[:_MOST_WARNINGS]:
        _warn(response, sentence)
    if status == OutOfResources.http_status:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def _warn(response: Response, sentence: str) -> None:
    """Say in words what the response says in numbers, PS3.18 10.5.3; RFC 7234 5.5."""
    text = sentence.encode("ascii", "replace").decode().replace("\\", "").replace('"', "'")
    response.headers.append("Warning", f'299 dicom_ai_node "{text}"')


def _refusal(trouble: NodeError, *, is_read: bool) -> Response:
    headers = {} if is_read else {"Connection": "close"}
    if trouble.http_status == OutOfResources.http_status:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse({"detail": str(trouble)}, trouble.http_status, headers)


def _sender(request: Request) -> str:
    """Return the name of whoever sends; the door has written it down."""
    return str(getattr(getattr(request.state, "person", None), "name", "")) or _ANONYMOUS


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _heard(done: "asyncio.Future[None]") -> None:
    """Look at an error that nobody waits for any more, so that asyncio does not complain."""
    if not done.cancelled():
        done.exception()
