"""Every route of the node and the role that it needs: one that is not listed here is a mistake."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message

from dicom_ai_node import compose
from dicom_ai_node.domain.accounts import GIVEN, Account, ApiToken, Role, digest
from dicom_ai_node.serve import console
from dicom_ai_node.serve.access import NOBODY, Person
from dicom_ai_node.serve.application import role_of
from dicom_ai_node.serve.audited import FILES, QUESTIONS, STUDY_NAMES, TRAILS
from dicom_ai_node.serve.passwords import Passwords
from dicom_ai_node.serve.viewer.router import BASE
from dicom_ai_node.web import served
from tests.serve.house import FAST, PASSWORD, Browser

STUDY = "/dicom-web/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
SUBSCRIBER = "/dicom-web/workitems/{resource}/subscribers/{aetitle}"
CONSOLE = (
    *("audit", "destinations", "events", "help", "jobs", "models", "quarantine", "routes"),
    *("similar", "storage", "studies", "workers"),
)
API = (
    *("destinations", "events", "jobs", "models", "overview", "quarantine", "routes", "storage"),
    *("studies", "workers"),
)
ROUTES: Mapping[Role, Sequence[str]] = {
    Role.PUBLIC: [
        "GET /health/live",
        "GET /health/ready",
        "GET /login",
        "POST /login",
        "GET /login/login.css",
        "GET /static/{name}",
        "POST /preferences",
    ],
    Role.KNOWN: [
        "POST /logout",
        "GET /account",
        "POST /account",
        "POST /account/sessions/{number}",
    ],
    Role.VIEWER: [
        "GET /metrics",
        "GET /",
        *(f"GET /{page}" for page in CONSOLE),
        "GET /jobs/{name}",
        "GET /jobs/{name}/progress",
        "GET /models/{name}",
        "GET /models/{name}/pictures/{picture}",
        "GET /quarantine/{number}",
        "GET /quarantine/{number}/file",
        "GET /studies/{study_instance_uid}",
        "GET /studies/{study_instance_uid}/explain",
        "GET /viewer",
        "GET /viewer/app-config.js",
        f"GET /viewer/{BASE}/{{name:path}}",
        "GET /viewer/{page:path}",
        "GET /api/studies/{study}/series/{series}/instances/{instance}/frames/{frame}/picture",
        "GET /api/studies/{study}/series/{series}/instances/{instance}/segments",
        "GET /api/openapi.json",
        *(f"GET /api/{what}" for what in API),
        "GET /api/jobs/{name}",
        "GET /api/models/{name}",
        "GET /api/studies/{study_instance_uid}",
        *(f"{method} /dicom-web/" for method in ("GET", "OPTIONS")),
        "GET /dicom-web/studies",
        *(f"GET {STUDY}/{what}" for what in ("series", "instances")),
        f"GET {SERIES}/instances",
        "GET /dicom-web/series",
        "GET /dicom-web/instances",
        "GET /dicom-web/workitems",
        "GET /dicom-web/workitems/{uid}",
        *(f"{method} {SUBSCRIBER}" for method in ("POST", "DELETE")),
        f"POST {SUBSCRIBER}/suspend",
        "WEBSOCKET /dicom-web/subscribers/{aetitle}",
        "GET /api/studies/{study_instance_uid}/similar",
        *(f"GET {STUDY}{what}" for what in ("", "/metadata", "/rendered", "/thumbnail")),
        *(f"GET {SERIES}{what}" for what in ("", "/metadata", "/rendered", "/thumbnail")),
        *(f"GET {INSTANCE}{what}" for what in ("", "/metadata", "/rendered", "/thumbnail")),
        f"GET {INSTANCE}/bulkdata/{{path:path}}",
        *(f"GET {where}/bulkdata" for where in (STUDY, SERIES, INSTANCE)),
        *(f"GET {INSTANCE}/frames/{{numbers}}{what}" for what in ("", "/rendered", "/thumbnail")),
    ],
    Role.SENDER: [
        "POST /dicom-web/studies",
        "POST /dicom-web/studies/{study_instance_uid}",
        *(
            f"{method} /dicom-web/commitment-requests/{{transaction_uid}}"
            for method in ("GET", "POST")
        ),
    ],
    Role.OPERATOR: [
        "POST /dicom-web/workitems",
        "POST /dicom-web/workitems/{uid}",
        "POST /dicom-web/workitems/{uid}/cancelrequest",
        "POST /dicom-web/workitems/{uid}/cancelrequest/{requester}",
        "PUT /dicom-web/workitems/{uid}/state",
        "PUT /dicom-web/workitems/{uid}/state/{requester}",
        "POST /api/destinations/{name}/retry",
        "POST /api/jobs/{name}/cancel",
        "POST /api/jobs/{name}/retry",
        "POST /api/quarantine/{number}/retry",
        "DELETE /api/quarantine/{number}",
        "POST /api/routes/explain",
        "POST /destinations/{name}/retry",
        "POST /jobs/{name}/cancel",
        "POST /jobs/{name}/retry",
        "POST /quarantine/{number}/discard",
        "POST /quarantine/{number}/retry",
        "POST /routes/explain",
    ],
    Role.ADMIN: [
        *(f"DELETE {what}" for what in (STUDY, SERIES, INSTANCE)),
        *("GET /trail", "GET /trail/{number}", "POST /trail/verify"),
        *("GET /api/audit", "GET /api/audit/{number}", "GET /api/audit/verdict"),
    ],
}
"""Add yours: `METHOD path`, as the path stands at the route; HEAD goes without saying with GET."""

NOT_ENOUGH: Mapping[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.SENDER}),
    Role.SENDER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.SENDER}),
    Role.ADMIN: frozenset({Role.OPERATOR}),
}
"""As much as one can be allowed without being allowed this."""

FILLED = {"number": "1", "numbers": "1", "frame": "1", "name": "it", "aetitle": "PACS"}
"""What stands for a part of a path, where it is no UID."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """Return the application with every wing that a configuration can switch on."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "keys.json").write_text('{"keys": []}')
    path = folder / "ae_config.yaml"
    path.write_text(
        dedent("""\
        receive: {ae_title: AI_NODE, accept_from: [CT1]}
        store: {folder: ./node}
        routes:
          - {name: tissue, when: {}, run: segment, model: ct_tissue, write: segmentation, to: []}
        similar: {model: image_encoder}
        serve:
          oidc: {issuer: "https://id", audience: node, jwks_file: keys.json}
        """)
    )
    settings = compose.settings(path)
    compose.prepare(settings)
    accounts = compose.accounts(settings)
    for roles in NOT_ENOUGH.values():
        name = _token(roles)
        token = ApiToken(name=name, roles=roles, start="dan_", created_at=compose.now())
        accounts.add_token(token, digest(name))
    return served(settings)


def _token(roles: frozenset[Role]) -> str:
    return f"dan_{'-'.join(sorted(roles))}"


def _routes(routes: Sequence[Any], prefix: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield every route with its role, those of included routers too."""
    for route in routes:
        if hasattr(route, "original_router"):
            inner = prefix + route.include_context.prefix
            yield from _routes(route.original_router.routes, inner)
        else:
            methods = set(getattr(route, "methods", None) or ["WEBSOCKET"])
            for method in methods - ({"HEAD"} if "GET" in methods else set()):
                yield f"{method} {prefix}{route.path}", role_of(route)


def test_every_route_is_listed_with_its_role(app: FastAPI) -> None:
    """What somebody adds has to be decided here, too; what is gone does not stay in the list."""
    there = dict(_routes(app.routes))
    listed = {route: str(role) for role, routes in ROUTES.items() for route in routes}
    assert {*there} - {*listed} == set(), "not in the list"
    assert {*listed} - {*there} == set(), "no longer there"
    assert there == listed


ABOUT_NOBODY = {
    "/metrics", "/help", "/events", "/models", "/models/{name}", "/routes", "/workers",
    "/models/{name}/pictures/{picture}", "/destinations", "/audit", "/quarantine",
    "/jobs/{name}/progress", "/viewer", "/viewer/app-config.js", "/viewer/{page:path}",
    f"/viewer/{BASE}/{{name:path}}", "/dicom-web/", "/api/openapi.json", "/api/destinations",
    "/api/events", "/api/models", "/api/models/{name}", "/api/overview", "/api/quarantine",
    "/api/routes", "/dicom-web/commitment-requests/{transaction_uid}",
}  # fmt: skip
"""Whoever looks there sees no images and no names: the audit trail need not know."""
TEMPLATES = Path(console.__file__).parent / "templates"


def test_every_route_that_tells_of_patients_is_audited(app: FastAPI) -> None:
    """What somebody adds has to be decided here, too."""
    looks = [
        path for method, path in map(str.split, [route for role in GIVEN for route in ROUTES[role]])
        if method == "GET"
    ]  # fmt: skip
    names = tuple(f"{{{name}}}" for name in STUDY_NAMES)
    audited = {
        path for path in looks
        if path in QUESTIONS | TRAILS | FILES or any(name in path for name in names)
    }  # fmt: skip
    assert {*looks} - audited == ABOUT_NOBODY
    assert {*looks} >= QUESTIONS | TRAILS | FILES


@pytest.mark.parametrize("path", sorted(ABOUT_NOBODY))
def test_no_page_that_names_patients_is_about_nobody(path: str) -> None:
    """Its template would say so."""
    template = TEMPLATES / f"{path.strip('/')}.html"
    assert not template.is_file() or "patients" not in template.read_text(encoding="utf-8")


LISTED = [(role, route) for role, routes in ROUTES.items() for route in routes]
ASKED = [(role, route) for role, route in LISTED if not route.startswith("WEBSOCKET")]
GUARDED = [(role, route) for role, route in ASKED if role is not Role.PUBLIC]
SOCKETS = [(role, route) for role, route in LISTED if route.startswith("WEBSOCKET")]


def _path(route: str) -> tuple[str, str]:
    """Return a method and a path with something in the place of its variables."""
    method, _, path = route.partition(" ")
    for part in re.findall(r"{[^}]+}", path):
        name = part[1:-1].partition(":")[0]
        path = path.replace(part, FILLED.get(name, "1.2.3"))
    return method, path


def _ask(app: FastAPI, route: str, **headers: str) -> httpx.Response:
    method, path = _path(route)
    return Browser(app).ask(method, path, headers=headers)


def _opened(app: FastAPI, route: str, **headers: str) -> list[str]:
    """Return what kinds of messages answer who opens a socket."""
    said: list[str] = []
    to_say = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]

    async def receive() -> Message:
        return to_say.pop(0)

    async def send(message: Message) -> None:
        said.append(message["type"])

    path = _path(route)[1]
    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"",
        "scheme": "wss", "root_path": "", "client": ("192.0.2.7", 1), "subprotocols": [],
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return said


@pytest.mark.parametrize(("role", "route"), SOCKETS, ids=str)
def test_a_socket_opens_to_who_may(app: FastAPI, role: Role, route: str) -> None:
    """Nobody else hears anything, and no page from elsewhere."""
    enough = f"Bearer {_token(frozenset({Role.OPERATOR}))}"
    assert _opened(app, route) == ["websocket.close"]
    wrong = f"Bearer {_token(NOT_ENOUGH[role])}"
    assert _opened(app, route, Authorization=wrong) == ["websocket.close"]
    assert _opened(app, route, Authorization=enough)[0] == "websocket.accept"


@pytest.mark.parametrize(("role", "route"), GUARDED, ids=str)
def test_who_has_not_logged_in_is_refused(app: FastAPI, role: Role, route: str) -> None:
    """Programs get 401; a person who opens a page is led to the login."""
    assert _ask(app, route).status_code == 401
    page = _ask(app, route, Accept="text/html,*/*;q=0.8")
    if route.startswith("GET ") and not route.startswith(("GET /api/", "GET /dicom-web/")):
        assert page.status_code == 303
        assert page.headers["Location"].startswith("/login?next=%2F")
    else:
        assert page.status_code == 401


@pytest.mark.parametrize(("role", "route"), GUARDED, ids=str)
def test_who_shows_something_wrong_is_refused(app: FastAPI, role: Role, route: str) -> None:
    """A token that nobody has given, a password of nobody, a cookie that somebody made up."""
    for said in ("Bearer dan_made-up", "Bearer a.b.c", "Basic YTpi", "Digest x", "Bearer", ""):
        assert _ask(app, route, Authorization=said).status_code in {401, 429}
    assert _ask(app, route, Cookie="__Host-dicom_ai_node=made-up").status_code == 401


@pytest.mark.parametrize(
    ("role", "route"), [one for one in GUARDED if one[0] in NOT_ENOUGH], ids=str
)
def test_who_may_too_little_is_refused(app: FastAPI, role: Role, route: str) -> None:
    """Whatever else they may."""
    answer = _ask(app, route, Authorization=f"Bearer {_token(NOT_ENOUGH[role])}")
    assert answer.status_code == 403
    if answer.headers["Content-Type"] == "application/json":
        assert answer.json() == {"detail": f"this needs the role {role}"}


@pytest.mark.parametrize("route", ROUTES[Role.PUBLIC])
def test_what_everybody_may_see_is_little(app: FastAPI, route: str) -> None:
    """Whether the node lives, a form to fill in, and how the pages look."""
    assert route.split(" ")[1].startswith(("/health/", "/login", "/static/", "/preferences"))
    assert _ask(app, route).status_code not in {401, 403, 500}


def test_a_first_password_leads_to_its_replacement(app: FastAPI) -> None:
    """From every page; nothing else answers until then."""
    accounts = app.state.access.accounts
    account = Account(
        name="anna",
        roles=frozenset({Role.ADMIN}),
        password_hash=Passwords(FAST).hashed(PASSWORD),
        created_at=compose.now(),
        must_change_password=True,
    )
    accounts.add_account(account)
    browser = Browser(app)
    assert browser.log_in("anna").status_code == 303
    for path in ("/", "/studies", "/viewer", "/metrics"):
        answer = browser.get(path, headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
        assert browser.get(path).status_code == 403


def test_a_role_includes_what_it_says() -> None:
    """A sender sees nothing, a viewer stores nothing, an operator deletes nothing."""

    def may(*roles: Role) -> set[str]:
        person = Person(name="x", roles=frozenset(roles))
        return {str(role) for role in Role if person.may(role)}

    assert may(Role.VIEWER) == {"public", "known", "viewer"}
    assert may(Role.SENDER) == {"public", "known", "sender"}
    assert may(Role.VIEWER, Role.SENDER) == {"public", "known", "viewer", "sender"}
    assert may(Role.OPERATOR) == {"public", "known", "viewer", "sender", "operator"}
    assert may(Role.ADMIN) == {str(role) for role in Role}
    assert {str(role) for role in Role if NOBODY.may(role)} == {"public"}
