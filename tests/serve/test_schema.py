"""The whole interface, asked everything that its own description allows, and what it forbids.

`/api/openapi.json` says what may be asked; questions are made of that by the hundred, right ones
and wrong ones, with the names and UIDs of what is there and of what is not. Nothing may be a bug
of the node, and no answer may have a status or a form of which the description says nothing.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.python.asgi import ASGIClient, get_client
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.serve.console.node import ConsoleNode, ct

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "3"))
"""Questions of each kind to each operation; the more, the longer it takes."""
ALLOWED_SERVER_ERRORS = frozenset({503})
"""Not now, says the node; the description says so, too."""
OUR_WORDS = (status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> ConsoleNode:
    """Return a node with studies, jobs, results and bytes put aside."""
    made = ConsoleNode(tmp_path_factory.mktemp("schema"))
    made.encoded(made.routed(ct("delivered", PatientName="Larch^Ada")))
    made.sent()
    made.parked(made.routed(ct("parked")))
    made.put(ct("arriving"))
    for number in range(3):
        made.aside(bytes(number + 1))
    return made


@pytest.fixture(scope="module")
def client(node: ConsoleNode) -> ASGIClient:
    """Return what asks, without a socket."""
    return get_client(node.app)


@pytest.fixture(scope="module")
def there(node: ConsoleNode) -> Mapping[str, str]:
    """Return what is there by the part of a path that it stands for."""
    parked = ct("parked")
    return {
        "study": parked.StudyInstanceUID,
        "study_instance_uid": parked.StudyInstanceUID,
        "series": parked.SeriesInstanceUID,
        "instance": parked.SOPInstanceUID,
        "number": "2",
        "numbers": "1",
        "frame": "1",
        "/api/jobs/": node.ledger.jobs()[0].name,
        "/api/models/": "ct_tissue",
        "/api/destinations/": "pacs",
    }


@schemathesis.serializer("application/dicom")
def as_it_is(_context: schemathesis.SerializationContext, value: object) -> bytes:
    """Send as a DICOM file what is hardly ever one."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


def _filled_in(case: Case, there: Mapping[str, str]) -> None:
    """Let a question be about something that is there."""
    for name in case.path_parameters:
        place = case.operation.path.partition("{name}")[0] if name == "name" else name
        if place in there:
            case.path_parameters[name] = there[place]


def test_nothing_that_can_be_asked_is_a_bug_of_the_node(
    node: ConsoleNode, client: ASGIClient, there: Mapping[str, str]
) -> None:
    """And every answer has a status and a form that the description names."""
    asked: dict[str, int] = {}

    def ask(case: Case, is_there: bool) -> None:
        if is_there:
            _filled_in(case, there)
        answer = case.call(session=client)
        checks = [*OUR_WORDS]
        if answer.status_code not in ALLOWED_SERVER_ERRORS:
            checks.append(not_a_server_error)
        case.validate_response(answer, checks=checks)
        asked[case.operation.label] = asked.get(case.operation.label, 0) + 1

    calmly = settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    labels: list[str] = []
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", node.app)
    # What deletes goes last: the others ask for what is there.
    for operation in sorted(_operations(schema), key=lambda one: one.method == "delete"):
        labels.append(operation.label)
        right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        calmly(given(right, st.booleans())(ask))()
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        with suppress(Unsatisfiable):  # some have nothing that could be wrong
            calmly(given(wrong, st.booleans())(ask))()
    assert set(asked) == set(labels)
    assert len(labels) > 70


def _operations(schema: Any) -> list[Any]:  # noqa: ANN401 - of many kinds
    return [found.ok() for found in schema.get_all_operations()]
