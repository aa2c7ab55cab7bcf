"""A job is given the earlier reports of its own patient and of nobody else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import Comprehensive3DSRStorage
from sqlalchemy import select

from dicom_ai_node.domain.errors import TryAgain
from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.orders import NOTHING_BEFORE
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, SOPClassUID, StudyInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.histories import Histories
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.patients import Patients
from dicom_ai_node.store.schema import migrate
from tests import phantoms
from tests.store.made import NOON, QUIET, arrival, job_for


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    """Return an empty ledger."""
    database = open_database(f"sqlite:///{tmp_path}/ledger.db")
    migrate(database)
    yield SqlLedger(database)
    database.close()


def _arrives(
    ledger: SqlLedger, blobs: FolderBlobs, study: str, sop_class_uid: str = "", **identity: str
) -> Sha256:
    """Receive one instance of a study of this patient and return its blob."""
    spooled = blobs.spool()
    phantoms.cr(**identity).save_as(spooled, enforce_file_format=True)
    digest = blobs.keep(spooled)
    date = identity.get("StudyDate", "")
    given = arrival(1, f"{study}.{len(sop_class_uid)}", study, StudyDate=date)
    instance = replace(given.instance, sha256=digest)
    if sop_class_uid:
        instance = replace(instance, sop_class_uid=SOPClassUID(sop_class_uid))
    ledger.record([replace(given, instance=instance)], NOON, QUIET)
    return digest


def _job(ledger: SqlLedger, study: str) -> Job:
    return job_for(*ledger.study(StudyInstanceUID(study)).series)


def test_the_number_and_who_has_given_it_decide(ledger: SqlLedger, tmp_path: Path) -> None:
    """Not the name: that is the same for all of them here."""
    blobs = FolderBlobs(tmp_path)
    sr = str(Comprehensive3DSRStorage)
    hers = _arrives(ledger, blobs, "1.1", sr, PatientID="7", IssuerOfPatientID="A")
    _arrives(ledger, blobs, "1.2", sr, PatientID="7", IssuerOfPatientID="B")
    _arrives(ledger, blobs, "1.3", sr, PatientID="8", IssuerOfPatientID="A")
    _arrives(ledger, blobs, "1.4", sr, PatientID="")
    _arrives(ledger, blobs, "1.5", PatientID="7", IssuerOfPatientID="A")
    histories = Histories(ledger, blobs, Patients(b"k" * 32))
    assert histories.before(_job(ledger, "1.5")).reports == (hers,)


def test_who_has_no_number_has_no_history(ledger: SqlLedger, tmp_path: Path) -> None:
    """Or all of those without one would be one patient."""
    blobs = FolderBlobs(tmp_path)
    _arrives(ledger, blobs, "1.1", str(Comprehensive3DSRStorage), PatientID="")
    _arrives(ledger, blobs, "1.2", PatientID="")
    histories = Histories(ledger, blobs, Patients(b"k" * 32))
    assert histories.before(_job(ledger, "1.2")) == NOTHING_BEFORE


def test_a_history_that_is_sent_at_once_is_worked_on_in_its_order(
    ledger: SqlLedger, tmp_path: Path
) -> None:
    """The later study tries again when the earlier one, which is still arriving, is done."""
    blobs = FolderBlobs(tmp_path)
    _arrives(ledger, blobs, "1.1", PatientID="7", StudyDate="20250101")
    _arrives(ledger, blobs, "1.2", PatientID="7", StudyDate="20250201")
    histories = Histories(ledger, blobs, Patients(b"k" * 32))
    with pytest.raises(TryAgain, match="earlier study"):
        histories.before(_job(ledger, "1.2"))
    assert histories.before(_job(ledger, "1.1")).reports == ()


def test_the_ledger_learns_a_hash_and_not_who_it_is(ledger: SqlLedger, tmp_path: Path) -> None:
    """Of a file that has gone meanwhile it learns nothing."""
    blobs = FolderBlobs(tmp_path)
    _arrives(ledger, blobs, "1.1", PatientID="7")
    gone = _arrives(ledger, blobs, "1.2", PatientID="8")
    blobs.discard(gone)
    Histories(ledger, blobs, Patients(b"k" * 32)).before(_job(ledger, "1.1"))
    with ledger.database.reading() as connection:
        rows = connection.execute(select(tables.series_patients)).all()
    known = {SeriesInstanceUID(row.series_instance_uid): row.patient for row in rows}
    assert len(known[SeriesInstanceUID("1.1.0")]) == 64
    assert known[SeriesInstanceUID("1.2.0")] == ""
