"""A workitem that names this node as its station is done by it, over real HTTP."""

from collections.abc import Iterator

import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.json_model import code_item, data_set, merged
from tests.contracts.test_archive import CT, STUDY, arrive
from tests.contracts.test_commitments import HEADER, ONE
from tests.serve.test_workitems import CLAIM, Desk, running, warned
from tests.workitems import order

SOURCE = data_set(
    StudyInstanceUID=STUDY,
    SeriesInstanceUID=HEADER.SeriesInstanceUID,
    ReferencedSOPSequence=[
        data_set(
            ReferencedSOPClassUID=ONE.sop_class_uid, ReferencedSOPInstanceUID=ONE.sop_instance_uid
        )
    ],
)
REQUEST = order(
    ProcedureStepLabel="liver",
    StudyInstanceUID=STUDY,
    ScheduledStationNameCodeSequence=[code_item("AI_NODE", "99TEST", "the node")],
    InputInformationSequence=[SOURCE],
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Open the window of a node that has one CT slice."""
    with running(tmp_path_factory.mktemp("node")) as desk:
        arrive(desk.ledger, compose.blobs(desk.config), CT)
        yield desk


def test_a_request_becomes_a_job_of_the_route_that_it_names(desk: Desk) -> None:
    """With the models and routes of the configuration; the workitem is the job's only one."""
    assert desk.create("1.2.60.1", REQUEST).status_code == 201
    (job,) = desk.ledger.jobs()
    assert (job.route, job.model) == ("liver", "ct_tissue")
    found = desk.ask("GET", "/workitems").json()
    assert [one["00080018"]["Value"] for one in found] == [["1.2.60.1"]]
    assert desk.to("IN PROGRESS", CLAIM, "1.2.60.1").status_code == 409
    assert desk.ask("POST", "/workitems/1.2.60.1/cancelrequest").status_code == 202
    assert desk.state("1.2.60.1") == "CANCELED"


def test_what_the_node_cannot_do_is_refused(desk: Desk) -> None:
    """409 with the reason; nothing is entered."""
    answer = desk.create("1.2.61.1", merged(REQUEST, data_set(ProcedureStepLabel="brain")))
    assert (answer.status_code, warned(answer)) == (
        409, "This node cannot perform the Workitem.",
    )  # fmt: skip
    assert answer.json() == {"detail": "no route of this node has that name"}
    assert desk.ask("GET", "/workitems/1.2.61.1").status_code == 404
