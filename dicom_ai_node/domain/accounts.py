"""Who may: roles, the accounts of people, the tokens of programs, and who is logged in."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol


class Role(StrEnum):
    """What somebody is allowed to do."""

    PUBLIC = "public"  # no more than anybody who reaches the port: health, the login page
    KNOWN = "known"  # has said who they are: log out, change the own password
    VIEWER = "viewer"  # see studies, results and jobs
    SENDER = "sender"  # store instances
    OPERATOR = "operator"  # retry, discard, explain; sees and stores too
    ADMIN = "admin"  # everything, deleting and users included


GIVEN = (Role.VIEWER, Role.SENDER, Role.OPERATOR, Role.ADMIN)
"""What an account or a token can be given."""

INCLUDED: Mapping[Role, frozenset[Role]] = MappingProxyType({
    Role.PUBLIC: frozenset({Role.PUBLIC}),
    Role.KNOWN: frozenset({Role.PUBLIC, Role.KNOWN}),
    Role.VIEWER: frozenset({Role.PUBLIC, Role.KNOWN, Role.VIEWER}),
    Role.SENDER: frozenset({Role.PUBLIC, Role.KNOWN, Role.SENDER}),
    Role.OPERATOR: frozenset(Role) - {Role.ADMIN},
    Role.ADMIN: frozenset(Role),
})  # fmt: skip
"""What each role allows."""

TOKEN_PREFIX = "dan_"  # noqa: S105 - what it begins with is no secret
"""What every token begins with, so that one that has leaked into a text can be found."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


def account_name(said: str) -> str:
    """Return a name in the form in which it is kept: small letters.

    Raises
    ------
    ValueError
        If it cannot be the name of an account or of a token.
    """
    name = said.strip().lower()
    if _NAME.fullmatch(name) is None:
        raise ValueError(
            "a name is a letter or a digit, then letters, digits, . _ @ and -, at most 64 together"
        )
    return name


def digest(secret: str) -> str:
    """Return what is kept of a secret of 256 random bits: nobody can go back from it."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who may log in with a password."""

    name: str
    roles: frozenset[Role]
    password_hash: str = field(repr=False)
    created_at: datetime
    is_disabled: bool = False
    must_change_password: bool = False
    last_login_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What a program shows instead of a password; the token itself is kept nowhere."""

    name: str
    roles: frozenset[Role]
    start: str  # its first characters, to tell which one it is
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginSession:
    """Somebody who has logged in with a browser, until they leave, rest or have been here long."""

    number: int
    account: Account
    created_at: datetime
    seen_at: datetime
    expires_at: datetime
    address: str
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What is known of a browser when somebody logs in with it."""

    digest: str  # of the session's secret
    expires_at: datetime
    address: str
    agent: str


class Accounts(Protocol):
    """Knows everybody who may log in; implemented by `store.accounts`.

    What changes an account raises `NeedsAttention` if there is none of this name.
    """

    def accounts(self) -> Sequence[Account]:
        """Return all accounts, by name."""

    def account(self, name: str) -> Account | None:
        """Return the account of this name."""

    def add_account(self, account: Account) -> None:
        """Add an account; raise `NeedsAttention` if there is one of this name."""

    def remove_account(self, name: str) -> None:
        """Remove an account; whoever has logged in with it is out."""

    def set_disabled(self, name: str, *, is_disabled: bool) -> None:
        """Let nobody log in with an account, or let them again; who is in with it is out."""

    def set_roles(self, name: str, roles: frozenset[Role]) -> None:
        """Give an account other roles, from the next request on."""

    def set_password(
        self, name: str, password_hash: str, *, must_change: bool, but: str = ""
    ) -> None:
        """Give an account another password; whoever is in with it is out, but the session `but`."""

    def rehash(self, account: Account, password_hash: str) -> None:
        """Keep the same password in another way, unless it has been changed meanwhile."""

    def tokens(self) -> Sequence[ApiToken]:
        """Return all tokens, by name."""

    def token(self, digest: str, now: datetime) -> ApiToken | None:
        """Return the token whose digest this is, and note that it was used."""

    def add_token(self, token: ApiToken, digest: str) -> None:
        """Add a token; raise `NeedsAttention` if there is one of this name."""

    def remove_token(self, name: str) -> None:
        """Remove a token."""

    def log_in(self, account: Account, visit: Visit, now: datetime) -> None:
        """Begin a session; sweep away those that are over."""

    def session(self, digest: str, now: datetime, idle: timedelta) -> LoginSession | None:
        """Return the session that is not over, and note that it was seen."""

    def sessions(self, name: str, now: datetime) -> Sequence[LoginSession]:
        """Return the sessions of an account that have not expired, the latest first."""

    def log_out(self, digest: str) -> None:
        """End a session, if there is one."""

    def end_session(self, name: str, number: int) -> None:
        """End a session of an account by its number, if there is one."""
