"""Who may do what by HTTP: every route names the role that it needs, and nothing answers without.

A role allows what it says and what the roles that it includes allow. Who somebody is, an `Access`
says; what a route needs stands beside the route: `dependencies=[needs(Role.VIEWER)]`.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Depends, HTTPException, Request

from dicom_ai_node.domain.accounts import INCLUDED, Role
from dicom_ai_node.serve import csrf

__all__ = ["EVERYBODY", "NOBODY", "Access", "Needs", "Person", "Role", "needs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who asks: somebody who has logged in, or a program with a token."""

    name: str
    roles: frozenset[Role]

    def may(self, role: Role) -> bool:
        """Return whether one of the roles includes `role`."""
        return any(role in INCLUDED[mine] for mine in self.roles)


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
        person = await _who(request)
        if not person.may(self.role):
            if person is NOBODY:
                raise HTTPException(401, "who are you?", {"WWW-Authenticate": "Bearer"})
            raise HTTPException(403, f"this needs the role {self.role}")
        if self.role is not Role.PUBLIC:
            await csrf.check(request)
        return person


async def _who(request: Request) -> Person:
    """Return who asks; a request is looked at once, however many dependencies it has."""
    known: Person | None = getattr(request.state, "person", None)
    if known is None:
        access: Access = request.app.state.access
        known = request.state.person = await access.who(request)
    return known


def needs(role: Role) -> Any:  # noqa: ANN401 - FastAPI gives no type for it
    """Return the dependency of a route that needs `role`."""
    return Depends(Needs(role))
