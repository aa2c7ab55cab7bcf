"""What a job has found out about where its image lies is entered in the ledger."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from dicom_ai_node.domain.findings import Embedding, Findings
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.findings import keep_findings
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.patients import Patients
from dicom_ai_node.store.places import Places
from dicom_ai_node.store.schema import migrate
from tests.store.made import LEASE, NOON, listed, towards


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """Return an empty ledger."""
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    migrate(database)
    yield SqlLedger(database)
    database.close()


@pytest.mark.parametrize("has_embedding", [True, False])
def test_only_what_has_been_placed_is_entered(
    ledger: SqlLedger, tmp_path: Path, has_embedding: bool
) -> None:
    """Its patient as a hash, or as nobody where the file does not tell."""
    job = listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    found = Embedding(vector=towards(0), sources=()) if has_embedding else None
    keep_findings(tmp_path / "findings", Findings(embedding=found))
    places = Places(ledger, FolderBlobs(tmp_path), Patients(b"k" * 32))
    places.enter(held, tmp_path / "findings", NOON)
    study = StudyInstanceUID(job.study_instance_uid)
    assert ledger.is_placed(study, job.model_digest) is has_embedding
    with ledger.database.reading() as connection:
        rows = connection.execute(select(tables.embeddings)).all()
    assert [(row.patient, row.placed_at) for row in rows] == [("", NOON)] * has_embedding
