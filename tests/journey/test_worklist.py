"""A real job, watched over the worklist from its beginning to objects that can be fetched."""

import io
import json
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from websockets.sync.client import connect

from dicom_ai_node.domain.json_model import items, text
from dicom_ai_node.domain.workitem import WORKLIST
from dicom_ai_node.samples.studies import write_samples
from tests.confided import confided
from tests.journey.node import Node, running, storescu, until
from tests.peers.tools import free_port

ROUTES = """\
  - name: fetal-head
    when: {Modality: US}
    run: segment
    model: fetal_head_us
    write: [segmentation, structured_report]
    to: []
"""


@pytest.mark.peer
def test_a_job_is_watched_and_what_came_of_it_fetched(tmp_path: Path) -> None:
    """A modality sends, a RIS listens, and the workitem leads it to the segmentation."""
    sent = [
        path
        for path in write_samples(tmp_path / "samples")
        if path.parent.name == "us-fetal-head-2nd"
    ]
    assert sent
    port = free_port()
    confided(tmp_path / "token", "a token that is long enough")
    window = f"serve: {{port: {port}, token: {{file: {tmp_path / 'token'}}}}}\n"
    who = {"Authorization": "Bearer a token that is long enough"}
    with (
        running(Node(tmp_path / "node", ROUTES, "  {}\n", extra=window)) as node,
        httpx.Client(base_url=f"http://127.0.0.1:{port}/dicom-web", headers=who) as client,
    ):
        until(lambda: _answers(client), 30, "the window is open")
        made = client.post(f"/workitems/{WORKLIST}/subscribers/RIS")
        assert made.status_code == 201
        assert storescu(node.port, sent).returncode == 0
        with connect(made.headers["Content-Location"], additional_headers=who) as channel:
            states: list[str] = []
            uid = ""
            while states[-1:] not in (["COMPLETED"], ["CANCELED"]):
                report = json.loads(channel.recv(timeout=120))
                uid = uid or text(report, "AffectedSOPInstanceUID")
                states += [found] if (found := text(report, "ProcedureStepState")) else []
        assert states == ["SCHEDULED", "IN PROGRESS", "COMPLETED"]
        (workitem,) = client.get(f"/workitems/{uid}").raise_for_status().json()
        (done,) = items(workitem, "UnifiedProcedureStepPerformedProcedureSequence")
        made_of = items(done, "OutputInformationSequence")
        fetched = {
            _fetched(client, text(items(one, "WADORSRetrievalSequence")[0], "RetrieveURL"))
            for one in made_of
        }
        assert fetched == {"SEG", "SR"}
        (source,) = items(workitem, "InputInformationSequence")
        assert len(items(source, "ReferencedSOPSequence")) == len(sent)
        assert (
            _fetched(client, text(items(source, "WADORSRetrievalSequence")[0], "RetrieveURL"))
            == "US"
        )


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/workitems").status_code in {200, 204}
    except httpx.TransportError:
        return False


def _fetched(client: httpx.Client, url: str) -> str:
    """Return the modality of the first object that is behind an address."""
    answer = client.get(url, headers={"Accept": 'multipart/related; type="application/dicom"'})
    answer.raise_for_status()
    boundary = b"--" + answer.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
    part = answer.content.split(boundary)[1].partition(b"\r\n\r\n")[2]
    return str(dcmread(io.BytesIO(part), force=True).Modality)
