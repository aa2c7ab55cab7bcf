"""The archive finds what was recorded, whatever database it lies in."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom_ai_node.domain.archive import Key, Level, Query
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle, SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CT = get_testdata_file("CT_small.dcm")
STUDY = StudyInstanceUID("1.3.6.1.4.1.5962.1.2.1.20040119072730.12322")


@pytest.fixture
def blobs(tmp_path: Path) -> FolderBlobs:
    """Return an empty store."""
    return FolderBlobs(tmp_path / "store")


@pytest.fixture
def archive(database: Database, blobs: FolderBlobs) -> SqlArchive:
    """Return an empty archive."""
    return SqlArchive(database, blobs)


def arrive(ledger: SqlLedger, blobs: FolderBlobs, source: str, uid: str = "") -> None:
    """Store a file, as another instance of its series if `uid` is given, and record it."""
    dataset = dcmread(source)
    if uid:
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = uid
        dataset.InstanceNumber = uid.rsplit(".", maxsplit=1)[-1]
    spooled = blobs.spool()
    dataset.save_as(spooled)
    instance = instance_of(spooled)
    assert blobs.keep(spooled) == instance.sha256
    peer = AETitle("CT1")
    arrival = Arrival(
        instance=instance, calling_ae_title=peer, called_ae_title=peer, address="127.0.0.1"
    )
    ledger.record([arrival], NOW, timedelta(seconds=1))


def test_what_was_recorded_is_found_at_once(
    ledger: SqlLedger, blobs: FolderBlobs, archive: SqlArchive
) -> None:
    """At every level, each with what is above it; nobody had to index it first."""
    arrive(ledger, blobs, CT)
    arrive(ledger, blobs, CT, uid="1.2.3.7")
    (study,) = archive.search(Query(level=Level.STUDY))
    assert study["00100010"]["Value"] == [{"Alphabetic": "CompressedSamples^CT1"}]
    assert "00080060" not in study
    (series,) = archive.search(
        Query(level=Level.SERIES, keys=(Key(path=("0020000D",), value=STUDY),))
    )
    assert series["00080060"]["Value"] == ["CT"]
    assert series["0020000D"]["Value"] == [STUDY]
    first, second = archive.search(Query(level=Level.IMAGE))
    assert [one["00200013"]["Value"] for one in (first, second)] == [[1], [7]]
    assert archive.search(Query(level=Level.IMAGE, limit=1, offset=1)) == [second]


def test_a_uid_leads_to_the_bytes(
    ledger: SqlLedger, blobs: FolderBlobs, archive: SqlArchive
) -> None:
    """By study, series and instance; what is not part of the study is not there."""
    arrive(ledger, blobs, CT)
    (one,) = archive.held(STUDY)
    assert dcmread(blobs.path(one.sha256)).SOPInstanceUID == one.sop_instance_uid
    assert archive.held(STUDY, one.series_instance_uid, one.sop_instance_uid) == [one]
    assert archive.held(STUDY, SeriesInstanceUID("1.2")) == []
    assert archive.held(StudyInstanceUID("1.2"), one.series_instance_uid) == []
    assert archive.instances([one.sop_instance_uid, SOPInstanceUID("1.2.3")]) == [one]


def test_a_whole_header_names_its_long_values(
    ledger: SqlLedger, blobs: FolderBlobs, archive: SqlArchive
) -> None:
    """The pixel data among them; short ones stand in it."""
    arrive(ledger, blobs, CT)
    (encoded,) = archive.headers(archive.held(STUDY))
    header = json.loads(encoded)
    assert header["00280010"] == {"vr": "US", "Value": [128]}
    assert header["7FE00010"]["BulkDataURI"].startswith(f"/studies/{STUDY}/series/")
    assert header["7FE00010"]["BulkDataURI"].endswith("/bulkdata/7FE00010")


def test_what_is_forgotten_is_not_found(
    ledger: SqlLedger, blobs: FolderBlobs, archive: SqlArchive
) -> None:
    """Neither when it had been indexed nor when it had not."""
    arrive(ledger, blobs, CT)
    assert len(archive.search(Query(level=Level.STUDY))) == 1
    (series,) = ledger.due_series(NOW + timedelta(minutes=1))
    ledger.complete(series, "told so", [], [], NOW)
    assert ledger.forget(NOW + timedelta(days=1)).studies == 1
    assert archive.search(Query(level=Level.STUDY)) == []
    assert archive.held(STUDY) == []
