"""Studies come in through a real socket, and what looks alike is found, told and forgotten."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import KeyObjectSelectionDocumentStorage

from dicom_ai_node import compose
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.samples import images, volumes
from tests.confided import confided
from tests.journey.node import ROOT, Node, running
from tests.journey.senders import Sender
from tests.peers.orthanc import Orthanc
from tests.peers.tools import free_port
from tests.peers.validators import validate
from tests.phantoms import CANARY, write

TOKEN = "a long secret"  # noqa: S105 - of nobody
ROUTES = """\
- {name: slides, when: {Modality: SM}, run: segment, model: ct_tissue, write: segmentation, to: []}
"""
SENT: Mapping[str, Any] = {
    "head": lambda: images.fetal_head("us-fetal-head-2nd"),
    "chest": images.cr_chest,
    "brain": volumes.pet_brain,
    "another head": lambda: images.fetal_head("us-fetal-head-3rd"),
}


def _node(folder: Path) -> tuple[Node, str]:
    port = free_port()
    folder.mkdir(parents=True)
    confided(folder / "token", TOKEN)
    window = f"serve: {{port: {port}, token: {{file: token}}}}"
    extra = f"similar: {{model: image_encoder}}\n{window}\n"
    return Node(folder, ROUTES, "  {}\n", extra=extra), f"http://127.0.0.1:{port}"


def _told(node: Node, study: str) -> Sequence[dict[str, Any]]:
    """Ask on the command line."""
    done = subprocess.run(
        [sys.executable, "-m", "dicom_ai_node", "similar", study, "-c", str(node.config), "--json"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _asked(address: str, study: str) -> httpx.Response:
    """Ask by HTTP."""
    return httpx.get(
        f"{address}/api/studies/{study}/similar", headers={"Authorization": f"Bearer {TOKEN}"}
    )


@pytest.mark.timeout(400)
def test_what_looks_alike_is_found_until_it_is_forgotten(tmp_path: Path) -> None:
    """A second head is nearest to the first one, also after a power cut, and not once that is gone."""
    node, address = _node(tmp_path / "node")
    studies: dict[str, str] = {}
    with running(node):
        for number, (name, make) in enumerate(SENT.items(), start=1):
            series = make()
            for one in series:
                one.PatientName = CANARY
            assert set(Sender(node.port).send(series)) == {0}
            studies[name] = str(series[0].StudyInstanceUID)
            node.ended(number)
        assert {(job.route, job.stage) for job in node.jobs()} == {("similar", Stage.DELIVERED)}
        asked = studies["another head"]
        found = _told(node, asked)
        assert found[0]["study_instance_uid"] == studies["head"]
        assert found[0]["score"] > found[1]["score"]
        assert {one["study_instance_uid"] for one in found} == set(studies.values()) - {asked}
        by_http = _asked(address, asked).json()
        keys = ("study_instance_uid", "score", "modality")
        assert [[one[k] for k in keys] for one in by_http] == [
            [one[k] for k in keys] for one in found
        ]
        assert httpx.get(f"{address}/api/studies/{asked}/similar").status_code == 401
        node.kill()
        node.start()
        assert _asked(address, asked).json() == by_http
        # The oldest study has had its time.
        gone = compose.ledger(compose.settings(node.config)).forget(
            compose.now() + timedelta(hours=1), 1
        )
        assert gone.studies == 1
        left = [one["study_instance_uid"] for one in _asked(address, asked).json()]
        assert set(left) == set(studies.values()) - {asked, studies["head"]}
        assert _asked(address, studies["head"]).status_code == 404
        assert node.stop() == 0
    said = node.log.read_text()
    assert '"role": "web"' in said
    assert CANARY.split("^", maxsplit=1)[0] not in said
    assert not [uid for uid in studies.values() if uid in said]


@pytest.mark.peer
@pytest.mark.timeout(400)
def test_earlier_studies_of_the_same_patient_are_named_to_the_pacs(tmp_path: Path) -> None:
    """The first study has no past and nothing is written; the second names it, and no one else's.

    What comes back from the PACS starts nothing.
    """
    with Orthanc(tmp_path / "pacs") as pacs:
        peer = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        extra = "similar: {model: image_encoder, to: [pacs]}\n"
        (tmp_path / "node").mkdir()
        with running(Node(tmp_path / "node", ROUTES, peer, extra=extra)) as node:
            sender, studies = Sender(node.port), {}
            for number, (name, make) in enumerate(SENT.items(), start=1):
                series = make()
                for one in series:
                    one.PatientName = CANARY
                    one.PatientID = "A" if "head" in name else name
                    one.StudyDate = f"2024010{number}"
                assert set(sender.send(series)) == {0}
                studies[name] = str(series[0].StudyInstanceUID)
                node.ended(number)
            found = [pacs.dataset(uid) for uid in pacs.instances()]
            (document,) = found
            assert document.SOPClassUID == KeyObjectSelectionDocumentStorage
            assert document.StudyInstanceUID == studies["another head"]
            evidence = document.CurrentRequestedProcedureEvidenceSequence
            assert [item.StudyInstanceUID for item in evidence] == [studies["head"]]
            notes = [
                event.detail
                for job in node.jobs()
                for event in node.ledger.time_line(job.key)
                if "no earlier study of this patient" in event.detail
            ]
            assert len(notes) == 3
            (path,) = write([document], tmp_path / "back")
            assert [one.text for one in validate([path], tmp_path).complaints] == []
            assert set(sender.send([document])) == {0}
            assert len(node.ended(4)) == 4
            assert not node.ledger.counts().get("series.open", 0)
            assert node.stop() == 0
