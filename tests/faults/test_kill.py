"""kill -9 of the whole tree, at random moments, while instances arrive and jobs run."""

import hashlib
import random
import threading
import time
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.uids import AETitle, derive_uid
from dicom_ai_node.samples.studies import write_samples
from tests.journey.node import Node, running, until
from tests.peers.orthanc import Orthanc

KILLS = 20
STUDIES = 8
SEED = 20261122
LONG_OUTAGE = 3
QUIET_SECONDS = 8.0
"""Longer than the modality here ever pauses while the node listens."""

ROUTES = """\
  - name: hippocampus
    when: {Modality: MR}
    run: segment
    model: hippocampus_mr
    write: [segmentation, structured_report, secondary_capture]
    to: [pacs]
"""


def _studies(folder: Path) -> list[list[Path]]:
    """Return the MR sample as several studies with UIDs of their own: about 200 instances."""
    write_samples(folder / "samples")
    source = folder / "samples" / "mr-hippocampus"
    studies = []
    for number in range(STUDIES):
        studies.append([])
        for index, path in enumerate(sorted(source.iterdir())):
            dataset = dcmread(path)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                changed = derive_uid("kill", str(number), str(getattr(dataset, keyword)))
                setattr(dataset, keyword, changed)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            studies[-1].append(folder / f"{number}-{index}.dcm")
            dataset.save_as(studies[-1][-1])
    return studies


class Modality(threading.Thread):
    """Sends every instance until it has been acknowledged, and remembers which were."""

    def __init__(self, port: int, studies: list[list[Path]]) -> None:
        super().__init__(daemon=True)
        self._sender = DimseSender(
            DimsePeer(
                ae_title=AETitle("AI_NODE"),
                host="127.0.0.1",
                port=port,
                calling_ae_title=AETitle("SENDER"),
            ),
            connect_seconds=2,
            dimse_seconds=5,
        )
        self._studies = studies
        self.acknowledged: list[Path] = []

    def run(self) -> None:
        """Send study by study, a few instances at a time."""
        for study in self._studies:
            waiting = list(study)
            while waiting:
                batch, rest = waiting[:5], waiting[5:]
                answers = self._sender.send(batch)
                there = [p for p, a in zip(batch, answers, strict=True) if isinstance(a, str)]
                self.acknowledged += there
                waiting = [path for path in batch if path not in there] + rest
                if len(there) < len(batch):
                    time.sleep(0.2)


@pytest.mark.peer
@pytest.mark.fault
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_done_twice_when_the_plug_is_pulled(tmp_path: Path) -> None:
    """Every acknowledged instance is there with its hash; every result is at the PACS once."""
    chance = random.Random(SEED)
    studies = _studies(tmp_path)
    with Orthanc(tmp_path / "pacs") as pacs:
        destination = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        node = Node(tmp_path / "node", ROUTES, destination, quiet_seconds=QUIET_SECONDS)
        modality = Modality(node.port, studies)
        with running(node):
            modality.start()
            for kill in range(KILLS):
                time.sleep(chance.uniform(0.2, 4.0))
                node.kill()
                # Once for longer than a series has to be quiet to be taken for complete.
                time.sleep(1.2 * QUIET_SECONDS if kill == LONG_OUTAGE else 0)
                node.start()
            until(lambda: not modality.is_alive(), 240, "the modality has sent everything")
            jobs = node.ended(STUDIES, 240)
            told = [(job.name, job.stage, job.note, job.supersedes) for job in jobs]
            assert len(jobs) == STUDIES, told
            assert {job.stage for job in jobs} == {Stage.DELIVERED}, told
            blobs = tmp_path / "node" / "store" / "blobs"
            stored = {p.name for p in blobs.rglob("*") if p.is_file()}
            ledger = node.ledger
            known = {i.sha256 for job in jobs for i in ledger.job(job.key).inputs}  # type: ignore[union-attr]
            assert len(modality.acknowledged) == len(known) == sum(map(len, studies))
            assert known <= stored
            for digest in known:
                bytes_there = (blobs / digest[:2] / digest).read_bytes()
                assert hashlib.sha256(bytes_there).hexdigest() == digest
            expected = {r.sop_instance_uid for job in jobs for r in ledger.results(job.key)}
            assert set(pacs.instances()) == expected
            assert len(expected) == 3 * STUDIES
