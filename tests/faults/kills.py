"""kill -9 of the whole tree, at random moments, while instances arrive and jobs run."""

import os
import random
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pydicom import dcmread

from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.domain.destination import DimsePeer
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.uids import AETitle, derive_uid
from dicom_ai_node.samples.studies import write_samples
from dicom_ai_node.selftest.judge import MARK, Evidence, Sent, as_sent, objections
from tests.faults.small_node import NAME
from tests.journey.node import Node, running, until
from tests.peers.orthanc import Orthanc

LONG_OUTAGE = 3
QUIET_SECONDS = 8.0
"""Longer than the modality here ever pauses while the node listens."""
PATIENCE_SECONDS = 900.0
RESULTS = 3
"""Objects that a job writes."""

ROUTES = """\
  - name: hippocampus
    when: {Modality: MR}
    run: segment
    model: hippocampus_mr
    write: [segmentation, structured_report, secondary_capture]
    to: [pacs]
"""


def studies(folder: Path, count: int) -> Iterator[list[Path]]:
    """Yield the MR sample as studies with UIDs of their own, about 25 instances each."""
    write_samples(folder / "samples")
    sources = sorted((folder / "samples" / "mr-hippocampus").iterdir())
    for number in range(count):
        study = []
        for index, path in enumerate(sources):
            dataset = dcmread(path)
            for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
                changed = derive_uid("kill", str(number), str(getattr(dataset, keyword)))
                setattr(dataset, keyword, changed)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            study.append(folder / f"{number}-{index}.dcm")
            dataset.save_as(study[-1])
        yield study


class Modality(threading.Thread):
    """Sends every instance until it has been acknowledged, and remembers which were.

    It begins a study when it may, so that the last plug is pulled under load like the first.
    """

    def __init__(self, port: int, folder: Path, most: int) -> None:
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
        self._studies = studies(folder, most)
        self.is_wanted = True
        self.may = threading.Semaphore(2)
        self.sent = 0
        self.acknowledged: dict[str, Sent] = {}

    def run(self) -> None:
        """Send study by study, a few instances at a time."""
        for study in self._studies:
            self.may.acquire()
            if not self.is_wanted:
                return
            waiting = list(study)
            while waiting:
                batch, rest = waiting[:5], waiting[5:]
                answers = self._sender.send(batch)
                there = [p for p, a in zip(batch, answers, strict=True) if isinstance(a, str)]
                self.acknowledged.update(map(as_sent, there))
                waiting = [path for path in batch if path not in there] + rest
                if len(there) < len(batch):
                    time.sleep(0.2)
            self.sent += 1


def pull_the_plug(folder: Path, kills: int, most: int, dice: random.Random) -> str:
    """Kill the tree so many times, while `most` studies at most are sent, and judge it.

    Most kills fall anywhere after the start, into the start itself, too; of eight, one waits until
    the node works. Once it is away for longer than a series has to be quiet to be complete.
    """
    mark = secrets.token_hex(8)
    with Orthanc(folder / "pacs") as pacs:
        destination = f"  pacs: {{ae_title: ORTHANC, host: 127.0.0.1, port: {pacs.dicom_port}}}\n"
        node = Node(folder / "node", ROUTES, destination, quiet_seconds=QUIET_SECONDS)
        node.environment = {**os.environ, MARK: mark}
        modality = Modality(node.port, folder, most)
        with running(node):
            modality.start()
            for kill in range(kills):
                time.sleep(dice.uniform(0.2, 8.0))
                node.kill()
                time.sleep(1.2 * QUIET_SECONDS if kill == LONG_OUTAGE else 0)
                node.launch()
                if kill % 8 == 0:
                    node.ready()
                if kill % -(-kills // most) == 0:
                    modality.may.release()
            node.ready()
            modality.is_wanted = False
            modality.may.release()
            until(lambda: not modality.is_alive(), PATIENCE_SECONDS, "the modality has ended")
            jobs = node.ended(modality.sent, PATIENCE_SECONDS)
            expected = {r.sop_instance_uid for job in jobs for r in node.ledger.results(job.key)}
            assert node.stop() == 0
        told = [(job.name, job.stage, job.note, job.supersedes) for job in jobs]
        assert len(jobs) == modality.sent > 0, told
        assert {job.stage for job in jobs} == {Stage.DELIVERED}, told
        found = objections(
            Evidence(
                config=node.config, mark=mark, logs=[node.log], name=NAME, answered=modality.acknowledged,
                was_cut=True, jobs=modality.sent,
            )
        )  # fmt: skip
        assert not found, "; ".join(found[:5])
        assert set(pacs.instances()) == expected
        assert len(expected) == RESULTS * len(jobs)
    return (
        f"{kills} kills: {len(modality.acknowledged)} instances acknowledged, each there with its "
        f"hash; {len(jobs)} jobs, each delivered once: {len(expected)} objects"
    )
