"""A node with accounts, and browsers and programs that ask it, without a socket."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from argon2 import PasswordHasher, profiles
from fastapi import APIRouter, Request, Response
from starlette.types import ASGIApp

from dicom_ai_node.domain.accounts import Account, ApiToken, Role, digest
from dicom_ai_node.serve.access import needs
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.login import AccountsDoor
from dicom_ai_node.serve.login_pages import login_router
from dicom_ai_node.serve.password_check import PasswordCheck
from dicom_ai_node.serve.passwords import Passwords
from dicom_ai_node.serve.refusals import forbidden, unknown
from dicom_ai_node.serve.shield import Shield
from dicom_ai_node.serve.tokens import Bearer
from dicom_ai_node.store.accounts import SqlAccounts

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
ADMIN_TOKEN = "the configured one é"  # noqa: S105 - of nobody
FAST = PasswordHasher.from_parameters(profiles.CHEAPEST)


@dataclass
class Browser:
    """Whoever asks: keeps cookies as a browser does, and comes from an address."""

    app: ASGIApp
    url: str = "https://node"
    address: str = "192.0.2.7"
    headers: dict[str, str] = field(default_factory=dict)
    cookies: httpx.Cookies = field(default_factory=httpx.Cookies)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        """Ask once; redirects are not followed."""

        async def once() -> httpx.Response:
            way = httpx.ASGITransport(
                self.app, raise_app_exceptions=False, client=(self.address, 50000)
            )
            async with httpx.AsyncClient(
                transport=way, base_url=self.url, cookies=self.cookies, headers=self.headers
            ) as client:
                answer = await client.request(method, path, **more)
                self.cookies = client.cookies
                return answer

        return asyncio.run(once())

    def get(self, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401
        """Ask for a page."""
        return self.ask("GET", path, **more)

    def post(self, path: str, data: Mapping[str, str], **more: Any) -> httpx.Response:  # noqa: ANN401
        """Send a form."""
        return self.ask("POST", path, data=dict(data), **more)

    def log_in(
        self, name: str = "anna", password: str = PASSWORD, onward: str = ""
    ) -> httpx.Response:
        """Fill in the form of the login."""
        return self.post("/login", {"name": name, "password": password, "next": onward})

    def csrf(self) -> str:
        """Return what a form of ours would bring along."""
        found = re.search(r'name="csrf_token" value="([0-9a-f]{64})"', self.get("/account").text)
        assert found
        return found[1]

    def is_in(self) -> bool:
        """Return whether the node knows who asks."""
        return self.get("/account").status_code == 200


@dataclass
class House:
    """A node that nobody but a test asks, with a clock that stands still until it is set."""

    accounts: SqlAccounts
    now: datetime = NOON
    app: ASGIApp = field(init=False)
    passwords: Passwords = field(default_factory=lambda: Passwords(FAST))

    def __post_init__(self) -> None:
        self.check = PasswordCheck(self.accounts, self.passwords, self.clock)
        bearer = Bearer(self.accounts, ADMIN_TOKEN, None, self.clock)
        door = AccountsDoor(self.accounts, self.check, bearer, self.clock)
        app = application(door, [login_router(door), things()])
        app.add_exception_handler(401, unknown)
        app.add_exception_handler(403, forbidden)
        self.app = Shield(app, frozenset({"node", "*.wild.example"}))

    def clock(self) -> datetime:
        """Return what time it is."""
        return self.now

    def add(self, name: str = "anna", *roles: Role, must_change: bool = False) -> Account:
        """Add somebody who knows `PASSWORD`."""
        account = Account(
            name=name,
            roles=frozenset(roles or {Role.VIEWER}),
            password_hash=self.passwords.hashed(PASSWORD),
            created_at=self.now,
            must_change_password=must_change,
        )
        self.accounts.add_account(account)
        return account

    def token(self, *roles: Role, days: float | None = None) -> str:
        """Return a token."""
        secret = f"dan_{'-'.join(sorted(roles))}{days}"
        token = ApiToken(
            name=secret[4:],
            roles=frozenset(roles),
            start=secret[:8],
            created_at=self.now,
            expires_at=None if days is None else self.now + timedelta(days=days),
        )
        self.accounts.add_token(token, digest(secret))
        return secret

    def browser(self, **more: Any) -> Browser:  # noqa: ANN401
        """Return somebody who asks."""
        return Browser(self.app, **more)


def things() -> APIRouter:
    """Return routes as other parts of the node have them."""
    router = APIRouter()

    @router.get("/things", dependencies=[needs(Role.VIEWER)])
    async def see(request: Request) -> dict[str, str]:
        return {"who": request.state.person.name, "base": str(request.base_url)}

    @router.post("/things", dependencies=[needs(Role.OPERATOR)])
    async def change(request: Request) -> int:
        return len(await request.body())

    @router.get("/api/things", dependencies=[needs(Role.VIEWER)])
    def list_them() -> list[str]:
        return []

    @router.post("/dicom-web/studies", dependencies=[needs(Role.SENDER)])
    async def store(request: Request) -> int:
        return sum([len(part) async for part in request.stream()])

    @router.get("/viewer/index.html", dependencies=[needs(Role.PUBLIC)])
    def viewer() -> Response:
        policy = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "private"}
        return Response("viewer", headers=policy)

    @router.get("/bug", dependencies=[needs(Role.PUBLIC)])
    def bug() -> None:
        raise ValueError("bug")

    @router.get("/health/live", dependencies=[needs(Role.PUBLIC)])
    def live() -> str:
        return "live"

    return router
