"""What may be asked by HTTP, by whom, and how it is refused."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.similar import Similar
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.similar import similar_router
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.schema import migrate
from tests.phantoms import CANARY
from tests.serve.token_door import TokenDoor
from tests.store.made import placed, sha

TOKEN = "a long secret é"  # noqa: S105 - of nobody
WHO = {"Authorization": b"Bearer " + TOKEN.encode()}
ASK = "/api/studies/1.1/similar"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """Return a ledger with three studies."""
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    migrate(database)
    ledger = SqlLedger(database)
    for uid, angle in (("1.1.1", 0), ("1.2.1", 60), ("1.3.1", 20)):
        placed(ledger, uid, angle)
    yield ledger
    database.close()


def api(similar: Similar, model: Sha256, token: str) -> FastAPI:
    """Return the one wing behind the door of one token."""
    return application(TokenDoor(token), [similar_router(similar, model)])


@pytest.fixture
def app(ledger: SqlLedger) -> FastAPI:
    """Return what is asked."""
    return api(ledger, sha("model"), TOKEN)


def ask(
    app: FastAPI, path: str, headers: Mapping[str, str | bytes] = WHO, method: str = "GET"
) -> httpx.Response:
    """Ask once, without a socket."""

    async def once() -> httpx.Response:
        way = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=way, base_url="http://node") as client:
            return await client.request(method, path, headers=dict(headers))

    return asyncio.run(once())


def test_it_gives_the_neighbours_of_a_study(app: FastAPI) -> None:
    """Best first, each with its score, its modality and when it came; no more than asked for."""
    answer = ask(app, ASK)
    assert answer.status_code == 200
    first, second = answer.json()
    assert first == {
        "study_instance_uid": "1.3",
        "series_instance_uid": "1.3.1",
        "score": pytest.approx(0.9397, abs=1e-4),
        "modality": "CT",
        "study_date": "",
        "received_at": "2026-03-01T12:00:00Z",
    }
    assert second["study_instance_uid"] == "1.2"
    assert len(ask(app, f"{ASK}?count=1").json()) == 1


@pytest.mark.parametrize("path", [ASK, "/api/studies/9.9/similar", "/api/studies/x/similar"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no token"),
        pytest.param({"Authorization": "Bearer another"}, id="another token"),
        pytest.param({"Authorization": "Bearer "}, id="an empty token"),
        pytest.param({"Authorization": "Basic YTpi"}, id="another scheme"),
        pytest.param({"Authorization": b"Bearer \xff\xfe"}, id="bytes that are no text"),
    ],
)
def test_who_does_not_know_the_token_hears_nothing(
    app: FastAPI, path: str, headers: dict[str, str | bytes]
) -> None:
    """Not even whether a study is here."""
    answer = ask(app, path, headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json() == {"detail": "who are you?"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        pytest.param("/api/studies/9.9/similar", 404, id="a study that is not here"),
        pytest.param("/api/studies/1%2F..%2F2/similar", 404, id="a path instead of a UID"),
        pytest.param("/api/studies/Doe^John/similar", 422, id="a name instead of a UID"),
        pytest.param(f"{ASK}?count=0", 422, id="none"),
        pytest.param(f"{ASK}?count=101", 422, id="too many"),
        pytest.param("/docs", 404, id="pages that would load scripts"),
        pytest.param("/openapi.json", 404, id="a description of itself"),
    ],
)
def test_what_cannot_be_answered_is_refused(app: FastAPI, path: str, status: int) -> None:
    """With the status that says why."""
    assert ask(app, path).status_code == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(app: FastAPI, method: str) -> None:
    """It is a window, no door."""
    assert ask(app, ASK, method=method).status_code == 405


class Broken:
    """A ledger that does not answer."""

    def __init__(self, trouble: Exception) -> None:
        self.trouble = trouble

    def is_placed(self, *_asked: object) -> bool:
        raise self.trouble


def test_a_busy_ledger_is_not_now() -> None:
    """Whoever asks may ask again."""
    busy = api(Broken(OutOfResources("the ledger cannot answer now")), sha("model"), TOKEN)  # type: ignore[arg-type]
    answer = ask(busy, ASK)
    assert (answer.status_code, answer.json()["detail"]) == (503, "the ledger cannot answer now")


def test_a_bug_quotes_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither in the answer nor in the log."""
    buggy = api(Broken(ValueError(CANARY)), sha("model"), TOKEN)  # type: ignore[arg-type]
    answer = ask(buggy, ASK)
    assert answer.status_code == 500
    assert CANARY not in json.dumps(answer.json())
    assert CANARY.split("^", maxsplit=1)[0] not in "".join(capsys.readouterr())
