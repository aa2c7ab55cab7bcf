"""Who may do what by HTTP: every route names the role that it needs, and nothing answers without.

A role allows what it says and what the roles that it includes allow. Who somebody is, an `Access`
says; what a route needs stands beside the route: `dependencies=[needs(Role.VIEWER)]`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from fastapi import Depends, HTTPException, Request


class Role(StrEnum):
    """What somebody is allowed to do."""

    PUBLIC = "public"  # no more than anybody who reaches the port: health, the login page
    VIEWER = "viewer"  # see studies, results and jobs
    SENDER = "sender"  # store instances
    OPERATOR = "operator"  # retry, discard, explain; sees and stores too
    ADMIN = "admin"  # everything, deleting and users included


_INCLUDED: Mapping[Role, frozenset[Role]] = MappingProxyType({
    Role.PUBLIC: frozenset({Role.PUBLIC}),
    Role.VIEWER: frozenset({Role.PUBLIC, Role.VIEWER}),
    Role.SENDER: frozenset({Role.PUBLIC, Role.SENDER}),
    Role.OPERATOR: frozenset({Role.PUBLIC, Role.VIEWER, Role.SENDER, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who asks: somebody who has logged in, or a program with a token."""

    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """Return whether one of the roles includes `role`."""
        return any(role in _INCLUDED[mine] for mine in self.roles)


NOBODY = Person(name="", roles=frozenset({Role.PUBLIC}))
"""Who has not said who they are."""
EVERYBODY = Person(name="", roles=frozenset({Role.ADMIN}))
"""Whoever asks, where no login is asked for: on this machine only."""


class Access(Protocol):
    """Knows who asks."""

    async def who(self, request: Request) -> Person:
        """Return who sends a request; `NOBODY` if it does not say.

        Raises
        ------
        HTTPException
            401, if it says something that is wrong; 429, if it has been wrong too often.
        """


class Needs:
    """A dependency of a route: lets nobody pass who may not, and returns who passes."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request) -> Person:
        """Return who asks, or raise 401 or 403."""
        access: Access = request.app.state.access
        person = await access.who(request)
        request.state.person = person
        if person.may(self.role):
            return person
        if person is NOBODY:
            raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})
        raise HTTPException(403, f"this needs the role {self.role}")


def needs(role: Role) -> Any:  # noqa: ANN401 - FastAPI gives no type for it
    """Return the dependency of a route that needs `role`."""
    return Depends(Needs(role))
