"""What is refused before any route sees it, and what every answer tells a browser."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from dicom_ai_node.domain.accounts import Role
from dicom_ai_node.serve.shield import CONSOLE_POLICY, MOST_BODY_BYTES, Shield
from tests.serve.house import House


@pytest.mark.parametrize(
    "host",
    [
        *("node", "NODE", "node.", "node:8042", "localhost", "localhost:8042"),
        *("127.0.0.1", "192.0.2.1:8042", "[::1]:8042", "a.wild.example"),
    ],
)
def test_a_name_of_the_node_is_answered(house: House, host: str) -> None:
    """And an address, which nobody can point elsewhere."""
    assert house.browser().get("/login", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "node.evil.example", "evil.example:8042", "node@evil.example", "", " "),
        *("node/..", "node\\", "node:x", "a.b.wild.example", "wild.example", "[::1", "no de"),
    ],
)
def test_another_name_is_refused(house: House, host: str) -> None:
    """A page elsewhere that has its own name point here reads nothing (DNS rebinding)."""
    answer = house.browser().get("/login", headers={"Host": host})
    assert answer.status_code == 421
    assert "serve.names" in answer.json()["detail"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_probe_needs_no_name(house: House) -> None:
    """Load balancers ask whoever is there; and hear nothing but that the node lives."""
    probe = house.browser(url="http://10.0.0.7:8042", headers={"Host": "pool-member"})
    assert probe.get("/health/live").status_code == 200


def test_nothing_goes_over_a_plain_connection(house: House) -> None:
    """Where somebody might listen; a proxy that says nothing of TLS is told so."""
    answer = house.browser(url="http://node").get("/login")
    assert (answer.status_code, "https://" in answer.json()["detail"]) == (403, True)
    assert house.browser(url="http://node", address="::1").get("/login").status_code == 200


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        pytest.param({"Sec-Fetch-Site": "same-origin"}, True, id="our page"),
        pytest.param({"Sec-Fetch-Site": "none"}, True, id="the person"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, False, id="a page elsewhere"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, False, id="a neighbour"),
        pytest.param(
            {"Sec-Fetch-Site": "cross-site", "Origin": "https://node"},
            False,
            id="what is newer counts",
        ),
        pytest.param({"Origin": "https://node"}, True, id="our page, to an old browser"),
        pytest.param({"Origin": "https://evil.example"}, False, id="elsewhere, to an old browser"),
        pytest.param({"Origin": "https://node.evil.example"}, False, id="a name like ours"),
        pytest.param({"Origin": "null"}, False, id="a page that hides"),
        pytest.param({}, True, id="a program"),
    ],
)
def test_only_our_own_pages_send_something(
    house: House, headers: dict[str, str], is_taken: bool
) -> None:
    """The form of the login included; whatever the browser, or a proxy, adds to it."""
    house.add("anna")
    browser = house.browser(headers=headers)
    assert (browser.log_in().status_code == 303) is is_taken
    assert house.browser(headers=headers).get("/login").status_code == 200
    program = house.browser(headers=headers)
    token = {"Authorization": f"Bearer {house.token(Role.OPERATOR)}"}
    assert program.ask("POST", "/things", headers=token).status_code == (200 if is_taken else 403)


async def _parts(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield b"x" * 65_536


def test_nobody_floods_the_memory(house: House) -> None:
    """A body that is too large is refused by its length, or where it becomes too large."""
    who = {"Authorization": f"Bearer {house.token(Role.OPERATOR)}"}
    program = house.browser(headers=who)
    right = program.ask("POST", "/things", content=b"x" * MOST_BODY_BYTES)
    assert (right.status_code, right.json()) == (200, MOST_BODY_BYTES)
    assert program.ask("POST", "/things", content=b"x" * (MOST_BODY_BYTES + 1)).status_code == 413
    assert program.ask("POST", "/things", content=_parts(16)).status_code == 200
    assert program.ask("POST", "/things", content=_parts(17)).status_code == 413


def test_instances_may_be_large(house: House) -> None:
    """They go to the disk piece by piece."""
    who = {"Authorization": f"Bearer {house.token(Role.SENDER)}"}
    stored = house.browser(headers=who).ask("POST", "/dicom-web/studies", content=_parts(40))
    assert (stored.status_code, stored.json()) == (200, 40 * 65_536)


@pytest.mark.parametrize("path", ["/login", "/things", "/nothing", "/bug", "/account", "/static/x"])
def test_every_answer_is_protected(house: House, path: str) -> None:
    """Errors and bugs, too."""
    answer = house.browser().get(path)
    assert answer.headers["Content-Security-Policy"] == CONSOLE_POLICY
    assert "unsafe" not in CONSOLE_POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_on_this_machine_nobody_has_to_use_tls_from_then_on(house: House) -> None:
    """A browser would never again open another program on localhost."""
    here = house.browser(url="https://localhost", address="127.0.0.1")
    assert "Strict-Transport-Security" not in here.get("/login").headers


def test_an_answer_that_brings_a_policy_of_its_own_keeps_it(house: House) -> None:
    """The viewer needs more than a page does, and may stay in the browser's cache."""
    answer = house.browser().get("/viewer/index.html")
    assert answer.headers.get_list("Content-Security-Policy") == ["default-src 'self'"]
    assert answer.headers.get_list("Cache-Control") == ["private"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_socket_of_a_page_elsewhere_is_closed() -> None:
    """Browsers let any page open one, with our cookies."""
    reached = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope["path"])

    def opened(**headers: str) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "websocket", "path": "/ws", "scheme": "wss", "headers": raw,
            "client": ("192.0.2.7", 1),
        }  # fmt: skip
        asyncio.run(Shield(app, frozenset({"node"}))(scope, receive, send))
        return sent

    assert opened(Host="node", Origin="https://evil.example") == [
        {"type": "websocket.close", "code": 1008}
    ]
    assert opened(Host="evil.example") == [{"type": "websocket.close", "code": 1008}]
    assert reached == []
    assert opened(Host="node", Origin="https://node") == []
    assert reached == ["/ws"]


def test_a_header_cannot_be_smuggled_into_an_answer(house: House) -> None:
    """What was asked for is encoded where it is repeated."""
    path = "/things?next=a%0d%0aSet-Cookie:%20x=1"
    answer = house.browser().get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert "Set-Cookie" not in answer.headers
    assert httpx.URL(answer.headers["Location"]).params["next"] == path
