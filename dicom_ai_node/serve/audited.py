"""Whoever looks at a patient by HTTP is told to the audit trail: which study, or which question.

Pure ASGI, and it touches no body. What a route tells of is read off the route: one that names a
study in its path gives access to it; those of `QUESTIONS` list patients.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_ai_node.domain.audit import Actor, Asked, Happening, StudyTold
from dicom_ai_node.domain.happenings import accessed, log_used, queried
from dicom_ai_node.serve.basic import address_of

_SUCCESSES = range(200, 300)
STUDY_NAMES = ("study", "study_instance_uid")
"""How the paths of our routes call a study."""
QUESTIONS = frozenset({
    "/", "/studies", "/jobs", "/jobs/{name}", "/similar", "/storage",
    "/api/studies", "/api/jobs", "/api/jobs/{name}", "/api/storage", "/api/workers",
    "/dicom-web/studies", "/dicom-web/series", "/dicom-web/instances",
    "/dicom-web/studies/{study}/series", "/dicom-web/studies/{study}/instances",
    "/dicom-web/studies/{study}/series/{series}/instances",
    "/dicom-web/workitems", "/dicom-web/workitems/{uid}",
})  # fmt: skip
"""Routes whose answers name patients or studies, or say what there is of one."""
FILES = frozenset({"/quarantine/{number}/file", "/quarantine/{number}"})
"""Routes that show what was not let in: nobody knows of which study it is."""
TRAILS = frozenset({
    "/trail", "/trail/{number}", "/api/audit", "/api/audit/{number}", "/api/audit/verdict",
})  # fmt: skip
"""Routes that show the trail itself."""


class Told(Protocol):
    """Takes what is to be written down, and knows what it has just been told."""

    def note(self, *happenings: Happening) -> None:
        """Keep what has happened; never raises, never waits."""

    def is_news(self, what: tuple[str, ...]) -> bool:
        """Return whether nobody has asked this for five minutes."""


class Audited:
    """Tells of every answer by which somebody has seen something of a patient."""

    def __init__(self, app: ASGIApp, told: Told, now: Callable[[], datetime]) -> None:
        self._app = app
        self._told = told
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            # Before the answer: who goes away in the middle of it has seen something, too.
            if message["type"] == "http.response.start" and message["status"] in _SUCCESSES:
                self._tell(Request(scope))
            await send(message)

        await self._app(scope, receive, answer)

    def _tell(self, request: Request) -> None:
        path = str(getattr(request.scope.get("route"), "path", ""))
        study = str(next(filter(None, map(request.path_params.get, STUDY_NAMES)), ""))
        if path in TRAILS:
            if self._told.is_news((*_who(request), "trail")):
                self._told.note(log_used(_actor(request), self._now()))
        elif path in QUESTIONS:
            where, query = request.url.path, str(request.url.query)
            if self._told.is_news((*_who(request), where, query)):
                by = _actor(request).participant()
                asked = Asked(address=where, query=query.encode())
                self._told.note(queried(by, asked, self._now()))
        elif (path in FILES or study) and self._told.is_news(
            (*_who(request), study or request.url.path)
        ):
            looked_at = [StudyTold(study_instance_uid=study)] if study else []
            self._told.note(accessed(_actor(request), looked_at, self._now()))


def _actor(request: Request) -> Actor:
    name, address = _who(request)
    return Actor(name=name, address=address)


def _who(request: Request) -> tuple[str, str]:
    person = getattr(request.state, "person", None)
    return ("" if person is None else person.name), address_of(request)
