"""Storage commitment over real HTTP, PS3.18 13."""

import json
from collections.abc import Iterator

import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.json_model import data_set, items, text, values
from tests.contracts.test_archive import CT, arrive
from tests.contracts.test_commitments import ABSENT, ONE
from tests.serve.test_workitems import Desk, running

SAID = data_set(
    ReferencedSOPSequence=[
        data_set(
            ReferencedSOPClassUID=one.sop_class_uid, ReferencedSOPInstanceUID=one.sop_instance_uid
        )
        for one in (ONE, ABSENT)
    ]
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Open the window of a node that has one instance."""
    folder = tmp_path_factory.mktemp("node")
    with running(folder) as desk:
        arrive(desk.ledger, compose.blobs(desk.config), CT)
        yield desk


def test_whoever_asks_is_answered_at_once(desk: Desk) -> None:
    """Instance by instance; whoever loses the answer asks for it again."""
    answer = desk.ask("POST", "/commitment-requests/1.2.50.1", SAID)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/dicom+json")
    told = answer.json()
    assert text(items(told, "ReferencedSOPSequence")[0], "ReferencedSOPInstanceUID") == (
        ONE.sop_instance_uid
    )
    assert values(items(told, "FailedSOPSequence")[0], "FailureReason") == [0x0112]
    assert desk.ask("GET", "/commitment-requests/1.2.50.1").json() == told


def test_a_transaction_uid_is_used_once(desk: Desk) -> None:
    """409 for the second request, 404 for a result of none."""
    assert desk.ask("POST", "/commitment-requests/1.2.51.1", SAID).status_code == 200
    again = desk.ask("POST", "/commitment-requests/1.2.51.1", SAID)
    assert (again.status_code, "before" in again.json()["detail"]) == (409, True)
    assert desk.ask("GET", "/commitment-requests/1.2.51.2").status_code == 404


@pytest.mark.parametrize(
    ("path", "said", "headers", "status"),
    [
        pytest.param("hello", SAID, {}, 400, id="no UID"),
        pytest.param("1.2.52.1", {}, {}, 400, id="nothing"),
        pytest.param("1.2.52.1", data_set(PatientID="1"), {}, 400, id="no instances"),
        pytest.param("1.2.52.1", SAID, {"Content-Type": "text/plain"}, 415, id="text"),
        pytest.param("1.2.52.1", SAID, {"Accept": "text/html"}, 406, id="for a browser"),
    ],
)
def test_bad_requests_are_told_what_is_wrong(
    desk: Desk, path: str, said: object, headers: dict[str, str], status: int
) -> None:
    """And use up no Transaction UID."""
    answer = desk.ask("POST", f"/commitment-requests/{path}", said, **headers)
    assert (answer.status_code, bool(json.loads(answer.content)["detail"])) == (status, True)
    assert desk.ask("GET", "/commitment-requests/1.2.52.1").status_code == 404
