"""Storage commitment with Orthanc, both ways: what it keeps for us, and what we keep for it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from dicom_ai_node import compose
from dicom_ai_node.deliver.found_there import QidoProver
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.destination import WebPeer
from dicom_ai_node.domain.job import DeliveryState, Job
from dicom_ai_node.domain.proof import Report, Unproven
from dicom_ai_node.store.ledger import SqlLedger
from tests.holding import Holding, holding
from tests.peers.orthanc import PATIENCE_SECONDS, Orthanc
from tests.peers.tools import free_port
from tests.phantoms import ct, write
from tests.store.made import LEASE, delivering, results_of

pytestmark = pytest.mark.peer

STATES = [DeliveryState.COMMITTED, DeliveryState.DUE]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Holding, Orthanc]]:
    """Run a node that holds two slices, and an Orthanc, which know each other."""
    folder, port = tmp_path_factory.mktemp("pair"), free_port()
    with holding(
        folder / "node", accept_from="[CT1, ORTHANC]", destinations={"ORTHANC": port},
        proof="commitment",
    ) as node:  # fmt: skip
        modality = {
            "AET": "AI_NODE", "Host": "127.0.0.1", "Port": node.port,
            "AllowStorageCommitment": True,
        }  # fmt: skip
        settings = {"DicomPort": port, "DicomModalities": {"node": modality}}
        with Orthanc(folder, **settings) as orthanc:
            orthanc.dicom_port = port
            node.take(ct(slices=2))
            yield node, orthanc


def until(true: Callable[[], object]) -> bool:
    """Wait for something to become true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.1)
    return False


def half_delivered(ledger: SqlLedger, node: Holding, folder: Path) -> Job:
    """Deliver the two objects of a job, of which the second gets lost on the way."""
    job = delivering(ledger, "orthanc", now=compose.now())
    images = ct(slices=2)
    for image, result in zip(images, results_of(job), strict=True):
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = result.sop_instance_uid
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = result.sop_class_uid
        image.StudyInstanceUID = job.study_instance_uid
        image.SeriesInstanceUID = result.series_instance_uid
    sender = compose.senders(node.config)["orthanc"]
    [note] = sender.send(write(images[:1], folder))
    assert isinstance(note, str), note
    for one in ledger.claim_deliveries("orthanc", compose.now(), LEASE):
        assert ledger.delivered(one, compose.now())
    return job


def test_orthanc_commits_to_what_it_has(pair: tuple[Holding, Orthanc], tmp_path: Path) -> None:
    """It tells us on an association of its own; what it has not is due to be sent again."""
    node, orthanc = pair
    ledger = compose.ledger(node.config)
    job = half_delivered(ledger, node, tmp_path)
    assert compose.proving_desk(node.config).ask("orthanc") == 2
    assert until(lambda: [one.state for one in ledger.deliveries(job.key)] == STATES)
    assert "0x0112" in ledger.deliveries(job.key)[1].note
    _found_by_qido(orthanc, job)
    ledger.database.close()


def _found_by_qido(orthanc: Orthanc, job: Job) -> None:
    """Ask by a query over HTTP, which tells the same."""
    heard: list[Report] = []

    def hear(report: Report) -> bool:
        heard.append(report)
        return True

    url = orthanc.dicomweb_url
    made = results_of(job)
    QidoProver(WebSender(WebPeer(url=url)), url, "archive", hear).ask(
        "1.9",
        [
            Unproven(
                study_instance_uid=job.study_instance_uid,
                series_instance_uid=one.series_instance_uid,
                sop_class_uid=one.sop_class_uid,
                sop_instance_uid=one.sop_instance_uid,
            )
            for one in made
        ],
    )
    kept = frozenset({made[0].sop_instance_uid})
    failed = {made[1].sop_instance_uid: 0x0112}
    assert heard == [Report(transaction_uid="1.9", kept=kept, failed=failed)]


@pytest.mark.parametrize(
    ("absent", "said"), [([], "Success"), ([["1.2.840.10008.5.1.4.1.1.2", "1.2.3"]], "Failure")]
)
def test_orthanc_asks_us(pair: tuple[Holding, Orthanc], absent: list[list[str]], said: str) -> None:
    """It leaves after its request, and hears the answer on an association of ours."""
    node, orthanc = pair
    asked = [[str(it.SOPClassUID), str(it.SOPInstanceUID)] for it in ct(slices=2)]
    answer = httpx.post(
        f"{orthanc.url}/modalities/node/storage-commitment",
        json={"DicomInstances": asked + absent}, trust_env=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    answer.raise_for_status()
    transaction, telling = answer.json()["Path"], compose.telling(node.config)

    def status() -> str:
        telling.next()
        return str(orthanc.get(transaction)["Status"])

    assert until(lambda: status() == said)
    assert len(orthanc.get(transaction)["Failures"]) == len(absent)
