"""The door for people and programs: cookies of sessions, tokens, and passwords as a last resort."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypedDict

from fastapi import HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

from dicom_ai_node.domain.accounts import Account, Accounts, Role, Visit, digest
from dicom_ai_node.serve.access import NOBODY, Person
from dicom_ai_node.serve.basic import Basic, address_of, is_safe
from dicom_ai_node.serve.csrf import Cookie, cookie_of
from dicom_ai_node.serve.password_check import PasswordCheck
from dicom_ai_node.serve.tokens import Bearer

LONGEST_AGENT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """How long somebody stays logged in."""

    idle: timedelta = timedelta(minutes=30)
    longest: timedelta = timedelta(hours=12)


class AccountsDoor:
    """Knows whoever has an account or a token; implements `serve.access.Access`."""

    def __init__(
        self,
        accounts: Accounts,
        check: PasswordCheck,
        bearer: Bearer,
        now: Callable[[], datetime],
        stay: Stay = Stay(),
    ) -> None:
        self.accounts = accounts
        self.check = check
        self.now = now
        self.stay = stay
        self._bearer = bearer
        self._basic = Basic(accounts, check)

    async def who(self, request: Request) -> Person:
        """Return who sends a request: by the header `Authorization`, else by the cookie."""
        said = request.headers.get("Authorization")
        if said is None:
            return await self._by_cookie(request)
        scheme, _, given = said.partition(" ")
        match scheme.lower():
            case "bearer":
                return await self._by_token(request, given.strip())
            case "basic":
                return person_of(await self._basic.account(request, given.strip()))
            case _:
                raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})

    async def _by_token(self, request: Request, token: str) -> Person:
        try:
            return await run_in_threadpool(self._bearer.holder, token)
        except HTTPException:
            self.check.refused("", address_of(request))
            raise

    async def _by_cookie(self, request: Request) -> Person:
        secret = request.cookies.get(cookie_name(request))
        if not secret:
            return NOBODY
        session = await run_in_threadpool(
            self.accounts.session, digest(secret), self.now(), self.stay.idle
        )
        if session is None:
            return NOBODY
        request.state.cookie = Cookie(secret=secret, session=session)
        return person_of(session.account)

    async def let_in(self, request: Request, account: Account, answer: Response) -> None:
        """Begin a session, and end the one that the browser had.

        The secret is new at each login: one that somebody else has put into the browser is worth
        nothing afterwards.
        """
        now, secret = self.now(), secrets.token_urlsafe(32)
        await self._end(request)
        visit = Visit(
            digest=digest(secret),
            expires_at=now + self.stay.longest,
            address=address_of(request),
            agent=request.headers.get("User-Agent", "")[:LONGEST_AGENT],
        )
        await run_in_threadpool(self.accounts.log_in, account, visit, now)
        answer.set_cookie(cookie_name(request), secret, **_manners(request))

    async def let_out(self, request: Request, answer: Response) -> None:
        """End the session."""
        await self._end(request)
        answer.delete_cookie(cookie_name(request), **_manners(request))

    async def _end(self, request: Request) -> None:
        old = request.cookies.get(cookie_name(request))
        if old:
            await run_in_threadpool(self.accounts.log_out, digest(old))


def person_of(account: Account) -> Person:
    """Return who has an account; until the first password is replaced they may do nothing else."""
    may = frozenset({Role.KNOWN}) if account.must_change_password else account.roles
    return Person(name=account.name, roles=may | {Role.KNOWN})


def must_change_password(request: Request) -> bool:
    """Return whether whoever has logged in has to choose another password first."""
    cookie = cookie_of(request)
    return cookie is not None and cookie.session.account.must_change_password


def cookie_name(request: Request) -> str:
    """Return the name of the cookie; a browser keeps no `__Host-` that another host has set."""
    return "__Host-dicom_ai_node" if is_safe(request) else "dicom_ai_node_session"


class _Manners(TypedDict):
    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax"]


def _manners(request: Request) -> _Manners:
    return {
        "path": "/",
        "secure": is_safe(request),
        "httponly": True,
        # Lax and not Strict: a link in the PACS shall find whoever follows it logged in.
        "samesite": "lax",
    }
