"""Every route of the node and the role that it needs: one that is not listed here is a mistake."""

from collections.abc import Iterator, Mapping, Sequence
from textwrap import dedent
from typing import Any

import pytest
from fastapi import FastAPI

from dicom_ai_node import compose
from dicom_ai_node.domain.accounts import ApiToken, Role, digest
from dicom_ai_node.serve.access import NOBODY, Person
from dicom_ai_node.serve.application import role_of
from dicom_ai_node.web import served
from tests.serve.house import Browser

STUDY = "/dicom-web/studies/{study}"
SERIES = STUDY + "/series/{series}"
INSTANCE = SERIES + "/instances/{instance}"
ROUTES: Mapping[Role, Sequence[str]] = {
    Role.PUBLIC: [
        "GET /health/live",
        "GET /health/ready",
        "GET /login",
        "POST /login",
        "GET /login/login.css",
    ],
    Role.KNOWN: [
        "POST /logout",
        "GET /account",
        "POST /account",
        "POST /account/sessions/{number}",
    ],
    Role.VIEWER: [
        "GET /metrics",
        "GET /api/openapi.json",
        "GET /dicom-web/",
        "OPTIONS /dicom-web/",
        *(f"GET /dicom-web/{what}" for what in ("studies", "series", "instances")),
        f"GET {STUDY}/series",
        f"GET {STUDY}/instances",
        f"GET {SERIES}/instances",
        "GET /api/studies/{study_instance_uid}/similar",
        *(f"GET {STUDY}{what}" for what in ("", "/metadata", "/rendered", "/thumbnail")),
        *(f"GET {SERIES}{what}" for what in ("", "/metadata", "/rendered", "/thumbnail")),
        *(f"GET {INSTANCE}{what}" for what in ("", "/metadata", "/rendered", "/thumbnail")),
        f"GET {INSTANCE}/bulkdata/{{path:path}}",
        *(f"GET {INSTANCE}/frames/{{numbers}}{what}" for what in ("", "/rendered", "/thumbnail")),
    ],
    Role.SENDER: [
        "POST /dicom-web/studies",
        "POST /dicom-web/studies/{study_instance_uid}",
    ],
    Role.OPERATOR: [],
    Role.ADMIN: [],
}
"""Add yours: `METHOD path`, as the path stands at the route; HEAD goes without saying with GET."""

NOT_ENOUGH: Mapping[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.SENDER}),
    Role.SENDER: frozenset({Role.VIEWER}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.SENDER}),
    Role.ADMIN: frozenset({Role.OPERATOR}),
}
"""As much as one can be allowed without being allowed this."""

FILLED = {"number": "1", "numbers": "1", "path": "7FE00010"}
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


LISTED = [(role, route) for role, routes in ROUTES.items() for route in routes]
GUARDED = [(role, route) for role, route in LISTED if role is not Role.PUBLIC]


def _ask(app: FastAPI, route: str, **headers: str) -> Any:  # noqa: ANN401 - a response
    method, _, path = route.partition(" ")
    for part in path.split("/"):
        if part.startswith("{"):
            name = part[1:-1].partition(":")[0]
            path = path.replace(part, FILLED.get(name, "1.2.3"))
    if method == "WEBSOCKET":
        pytest.skip("no socket")
    return Browser(app).ask(method, path, headers=headers)


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
    assert answer.json() == {"detail": f"this needs the role {role}"}


@pytest.mark.parametrize("route", ROUTES[Role.PUBLIC])
def test_what_everybody_may_see_is_little(app: FastAPI, route: str) -> None:
    """Whether the node lives, and a form to fill in."""
    assert route.split(" ")[1].startswith(("/health/", "/login"))
    assert _ask(app, route).status_code in {200, 415}


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
