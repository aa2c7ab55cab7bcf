"""Who may delete, and what is said."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from fastapi import Request

from dicom_ai_node.domain.audit import Actor
from dicom_ai_node.domain.errors import OutOfResources, StillNeeded
from dicom_ai_node.serve.access import Person, Role
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.dicomweb.delete import delete_router

ADDRESSES = [
    ("/dicom-web/studies/1.2", ("1.2",)),
    ("/dicom-web/studies/1.2/series/3.4", ("1.2", "3.4")),
    ("/dicom-web/studies/1.2/series/3.4/instances/5.6", ("1.2", "3.4", "5.6")),
]


class _Door:
    def __init__(self, role: Role) -> None:
        self._role = role

    async def who(self, _request: Request) -> Person:
        return Person(name="x", roles=frozenset({self._role}))


class _Deletion:
    """Has one object, or says what it is told to."""

    def __init__(self, answer: int | Exception = 1) -> None:
        self.asked: list[Sequence[str]] = []
        self._answer = answer

    def delete(self, *uids: str, by: Actor) -> int:
        assert by.name == "x"
        self.asked.append(uids)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def delete(deletion: _Deletion, address: str, role: Role = Role.ADMIN) -> httpx.Response:
    """Let somebody with a role ask."""
    app = application(_Door(role), [delete_router(deletion)])  # type: ignore[arg-type]

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.delete(address)

    return asyncio.run(ask())


@pytest.mark.parametrize(("address", "uids"), ADDRESSES)
def test_an_admin_deletes_at_every_level(address: str, uids: Sequence[str]) -> None:
    """204: there is nothing more to say."""
    deletion = _Deletion()
    answer = delete(deletion, address)
    assert (answer.status_code, answer.content) == (204, b"")
    assert deletion.asked == [uids]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SENDER, Role.OPERATOR])
def test_nobody_else_does(role: Role) -> None:
    """403, and nothing was asked of the store."""
    deletion = _Deletion()
    assert delete(deletion, ADDRESSES[0][0], role).status_code == 403
    assert not deletion.asked


@pytest.mark.parametrize(
    ("answer", "status", "why"),
    [
        pytest.param(0, 404, "not here", id="not here"),
        pytest.param(StillNeeded("delete it when"), 409, "delete it when", id="at work"),
        pytest.param(OutOfResources("not now"), 503, "not now", id="a busy ledger"),
    ],
)
def test_what_cannot_be_deleted_is_told(answer: int | Exception, status: int, why: str) -> None:
    """In a sentence."""
    said = delete(_Deletion(answer), ADDRESSES[0][0])
    assert (said.status_code, why in said.json()["detail"]) == (status, True)


@pytest.mark.parametrize("uid", ["..x", "1.02", "1" * 65, "%2E%2E%2Fx", "a"])
def test_what_is_no_uid_is_not_looked_for(uid: str) -> None:
    """400, or 404 where it is not even an address."""
    deletion = _Deletion()
    said = delete(deletion, f"/dicom-web/studies/1.2/series/{uid}")
    assert said.status_code in (400, 404, 405)
    assert not deletion.asked
