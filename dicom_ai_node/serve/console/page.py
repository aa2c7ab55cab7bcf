"""Every page: one frame, one language, one theme; nothing of a stranger is ever markup."""

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.serve.access import NOBODY, Person, Role
from dicom_ai_node.serve.console import display
from dicom_ai_node.serve.console.desk import Desk, Remembered
from dicom_ai_node.serve.console.words import LANGUAGES, Words, preferred
from dicom_ai_node.serve.csrf import csrf_token
from dicom_ai_node.serve.login import must_change_password

THEMES = ("auto", "light", "dark")
STATE_SECONDS = 2.0
"""How old the numbers in the frame of a page may be."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of every page: nothing from elsewhere, no inline script or style, nothing of it is kept."""
NAVIGATION = (
    ("overview", "/", "g o"),
    ("studies", "/studies", "g s"),
    ("jobs", "/jobs", "g j"),
    ("quarantine", "/quarantine", "g q"),
    ("routes", "/routes", "g r"),
    ("destinations", "/destinations", "g d"),
    ("models", "/models", "g m"),
    ("workers", "/workers", "g w"),
    ("similar", "/similar", "g n"),
    ("audit", "/audit", "g a"),
    ("storage", "/storage", "g t"),
    ("trail", "/trail", "g p"),
)  # fmt: skip
"""Page, address and keys, in the order in which they stand in the frame."""
FOR_ADMINS = frozenset({"trail"})
"""What nobody else is led to."""
_UNAUTHORIZED, _FORBIDDEN, _UNPROCESSABLE = 401, 403, 422


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the frame of a page says about the node."""

    counts: Mapping[str, int]
    free_bytes: int
    is_short_of_room: bool

    @property
    def waiting(self) -> int:
        """Jobs for a person: parked, or put aside because they took their workers down."""
        return self.counts["jobs.parked"] + self.counts["jobs.quarantined"]

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return not (self.waiting or self.counts["quarantine.open"] or self.is_short_of_room)


class Pages:
    """Makes pages of templates."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._words = {language: Words(language) for language in LANGUAGES}
        self._environment = _environment()
        self.state = Remembered(self._look, STATE_SECONDS)

    def words(self, request: Request) -> Words:
        """Return what to say to who asks: by their choice, else by what their browser likes."""
        chosen = request.cookies.get("language", "")
        accepted = request.headers.get("Accept-Language", "")
        return self._words[chosen if chosen in LANGUAGES else preferred(accepted)]

    def show(self, request: Request, name: str, facts: Mapping[str, object]) -> HTMLResponse:
        """Return the page of a template, filled in with `facts`."""
        return self._made(request, name, {"state": self.state(), **facts}, 200)

    def part(self, request: Request, name: str, facts: Mapping[str, object]) -> HTMLResponse:
        """Return a piece of a page, which asks for itself again and again."""
        return self._made(request, name, facts, 200)

    def trouble(self, request: Request, status: int, detail: str) -> HTMLResponse:
        """Return the page that says what went wrong; it asks the ledger nothing."""
        facts = {"state": None, "status": status, "detail": detail}
        return self._made(request, "trouble", facts, status)

    def _made(
        self, request: Request, name: str, facts: Mapping[str, object], status: int
    ) -> HTMLResponse:
        template = self._environment.get_template(f"{name}.html")
        frame = self._frame(request, name)
        return HTMLResponse(template.render({**frame, **facts}), status, dict(HEADERS))

    def _frame(self, request: Request, name: str) -> dict[str, Any]:
        words = self.words(request)
        theme = request.cookies.get("theme", "auto")
        told = f"told.{request.query_params.get('told', '')}"
        somebody: Person = getattr(request.state, "person", NOBODY)
        return {
            "t": words,
            "page": name,
            "language": words.language,
            "languages": LANGUAGES,
            "theme": theme if theme in THEMES else "auto",
            "themes": THEMES,
            "navigation": [
                one for one in NAVIGATION if somebody.may(Role.ADMIN) or one[0] not in FOR_ADMINS
            ],
            "about": self._desk.about,
            "here": _address(request),
            "person": somebody,
            "may_act": somebody.may(Role.OPERATOR),
            "csrf": csrf_token(request),
            "told": words(told) if words.has(told) else "",
            "has_viewer": self._desk.has_viewer(),
            "has_images": _serves(request, "/dicom-web/studies/{study}/thumbnail"),
            "has_pictures": _serves(request, "/api/studies/", "/picture"),
            "has_account": _serves(request, "/account"),
        }

    def _look(self) -> State:
        free = self._desk.blobs.free_bytes()
        return State(
            counts=self._desk.ledger.pending(),
            free_bytes=free,
            is_short_of_room=free < self._desk.about.min_free_bytes,
        )


def page_route(pages: Pages) -> type[APIRoute]:
    """Return the kind of route whose errors are pages, too; who nobody is the login knows."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def answer(request: Request) -> Response:
                try:
                    return await handler(request)
                except HTTPException as no:
                    if no.status_code == _UNAUTHORIZED or must_change_password(request):
                        raise
                    return pages.trouble(request, no.status_code, str(no.detail))
                except RequestValidationError:
                    return pages.trouble(request, _UNPROCESSABLE, "")
                except NodeError as trouble:
                    return pages.trouble(request, trouble.http_status, str(trouble))

            return answer

    return PageRoute


def from_here(request: Request) -> None:
    """Raise 403 for a form that another site has sent with the reader's rights.

    Browsers say so themselves; a program without a browser has no reader to betray.
    """
    if is_elsewhere(request):
        raise HTTPException(_FORBIDDEN, "missing.elsewhere")


def is_elsewhere(request: Request) -> bool:
    """Return whether a page of another site has made a browser send this."""
    site = request.headers.get("Sec-Fetch-Site")
    return site is not None and site not in {"same-origin", "none"}


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,  # everywhere: a DICOM text is text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        moment=display.moment, size=display.size, span=display.span, said=display.said,
        person=display.person,
    )  # fmt: skip
    made.globals.update(Stage=Stage, with_param=_with_param)
    return made


def _address(request: Request) -> str:
    """Return this page as a link, without what it was told on the way."""
    query = [pair for pair in request.query_params.multi_items() if pair[0] != "told"]
    return request.url.path + (f"?{urlencode(query)}" if query else "")


def _with_param(address: str, name: str, value: object) -> str:
    """Return the address of the same list with one parameter more, or another."""
    path, _, query = address.partition("?")
    kept = [pair for pair in parse_qsl(query) if pair[0] != name]
    return f"{path}?{urlencode([*kept, (name, str(value))])}"


def _serves(request: Request, beginning: str, end: str = "") -> bool:
    """Return whether this node serves such an address: not every part is everywhere."""
    paths: Collection[str] = request.app.state.paths
    return any(path.startswith(beginning) and path.endswith(end) for path in paths)
