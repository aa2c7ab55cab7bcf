"""A search finds what matches and nothing else: compared with looking at every header."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian
from sqlalchemy import event

from dicom_ai_node.domain.archive import Header, Key, Level, Query
from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.levels import path_of
from dicom_ai_node.domain.matching import header_test
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.header_json import header_json
from dicom_ai_node.store.ledger import SqlLedger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CT, MR, SR = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "88.33"))
PATIENTS = (
    ("Müller^Jörg", "P1"), ("Smith^John", "P2"), ("Smith^Joan=王^小東", "p2"),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "P%_"), ("", ""), ("O'Neil^A*", "P2\\P9"),
)  # fmt: skip


def studies() -> Iterator[Dataset]:
    """Yield the instances of studies of several patients, days, modalities and characters."""
    number = count(1)
    for at, (name, patient) in enumerate(PATIENTS * 2):
        for series, (modality, sop_class) in enumerate(
            (("CT", CT), ("MR", MR), ("SR", SR))[: 1 + at % 3]
        ):
            for instance in range(1 + (at + series) % 3):
                made = Dataset()
                made.SpecificCharacterSet = "ISO_IR 192"
                made.PatientName, made.PatientID = name, patient
                made.StudyInstanceUID = f"1.2.{at + 1}"
                made.SeriesInstanceUID = f"1.2.{at + 1}.{series + 1}"
                made.SOPInstanceUID = f"1.2.{at + 1}.{series + 1}.{instance + 1}"
                made.SOPClassUID = sop_class
                made.StudyDate = f"200401{1 + at % 5:02}" if at != 4 else ""
                made.StudyTime = f"{8 + at:02}3000"
                made.AccessionNumber = f"A{at % 4}"
                made.ReferringPhysicianName = ("House^Gregory", "Who")[at % 2]
                made.Modality = modality
                made.SeriesNumber = series + 1
                made.SeriesDescription = ("T1 axial", "T2 axial", "report")[series]
                made.InstanceNumber = instance + 1
                made.Rows = 128 * (1 + instance)
                made.SliceThickness = f"{1 + instance}.50"
                made.EchoTime = str(next(number))
                item = Dataset()
                item.RequestedProcedureID = f"R{at % 2}"
                made.RequestAttributesSequence = Items([item])
                yield made


def stored(blobs: FolderBlobs, dataset: Dataset) -> Arrival:
    """Store an instance as a receiver does."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    spooled = blobs.spool()
    dataset.save_as(spooled, enforce_file_format=True)
    instance = instance_of(spooled)
    blobs.keep(spooled)
    peer = AETitle("CT1")
    return Arrival(
        instance=instance, calling_ae_title=peer, called_ae_title=peer, address="127.0.0.1"
    )


@pytest.fixture
def filled(
    ledger: SqlLedger, database: Database, tmp_path: Path
) -> tuple[SqlArchive, Sequence[Header]]:
    """Return an archive of all studies, and the whole header of each instance."""
    blobs = FolderBlobs(tmp_path / "store")
    arrivals = [stored(blobs, dataset) for dataset in studies()]
    ledger.record(arrivals, NOW, timedelta(seconds=1))
    headers = [header_json(blobs.path(one.instance.sha256)) for one in arrivals]
    return SqlArchive(database, blobs), headers


def key(name: str, value: str) -> Key:
    """Return a key by keyword."""
    return Key(path=path_of(name), value=value)


UID_OF = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.IMAGE: "00080018"}
POSSIBLE = [
    key(name, value)
    for name, values in {
        "PatientName": ("smith*", "*jo*", "MULLER^JORG", "王*", "joan", "tarou yamada", '""', "O'N*"),
        "PatientID": ("P2", "p?", "P%_", "P*", '""', "P9", "P1\\p2", "*9"),
        "StudyDate": ("20040101", "20040102-20040103", "-20040102", "20040104-", '""'),
        "StudyTime": ("0800-1200", "10"),
        "AccessionNumber": ("A1", "A?", "A1\\A2"),
        "ReferringPhysicianName": ("house*", "who"),
        "StudyInstanceUID": ("1.2.3", "1.2.1\\1.2.2\\1.2.3\\1.2.4\\1.2.6\\9.9"),
        "Modality": ("CT", "MR\\SR", "?R", "ct"),
        "ModalitiesInStudy": ("MR", "S*", "CT\\SR", "US"),
        "SOPClassesInStudy": (SR, MR),
        "NumberOfStudyRelatedSeries": ("1", "2\\3"),
        "NumberOfStudyRelatedInstances": ("3",),
        "NumberOfSeriesRelatedInstances": ("2", "1.5"),
        "InstanceAvailability": ("ONLINE", "OFF*"),
        "SeriesNumber": ("2", "02\\7"),
        "SeriesDescription": ("T? axial", "*e*"),
        "SeriesInstanceUID": ("1.2.3.1", "1.2.1.1\\1.2.2.1\\1.2.2.2"),
        "RequestAttributesSequence.RequestedProcedureID": ("R1", "R*"),
        "SOPInstanceUID": ("1.2.3.1.1", "1.2.3.1.1\\1.2.3.2.1\\1.2.2.1.1"),
        "SOPClassUID": (CT, f"{MR}\\{SR}"),
        "InstanceNumber": ("1", "2\\3", "99999999999"),
        "Rows": ("128", "256\\384"),
        "SliceThickness": ("1.5", "2.50"),
        "EchoTime": ("7", '""'),
        "EchoNumbers": ('""', "1"),
    }.items()
    for value in values
]  # fmt: skip


def by_hand(headers: Sequence[Header], query: Query) -> set[str]:
    """Return the UIDs of what matches, one header after the other."""
    told = [{**header, **_counted(headers, header)} for header in headers]
    test = header_test(query.keys, is_fuzzy=query.is_fuzzy)
    return {value(header, UID_OF[query.level]) for header in told if test(header)}


def _counted(headers: Sequence[Header], header: Header) -> dict[str, Any]:
    study = [one for one in headers if one["0020000D"] == header["0020000D"]]
    series = [one for one in study if one["0020000E"] == header["0020000E"]]

    def all_of(tag: str) -> dict[str, Any]:
        return {"vr": "CS", "Value": sorted({value(one, tag) for one in study})}

    return {
        "00080056": {"vr": "CS", "Value": ["ONLINE"]},
        "00080061": all_of("00080060"),
        "00080062": all_of("00080016"),
        "00201206": {"vr": "IS", "Value": [len({value(one, "0020000E") for one in study})]},
        "00201208": {"vr": "IS", "Value": [len(study)]},
        "00201209": {"vr": "IS", "Value": [len(series)]},
    }


def value(header: Header, tag: str) -> str:
    """Return the first value of an element."""
    return str(header[tag]["Value"][0])


def uids(found: Sequence[Header], level: Level) -> list[str]:
    """Return what was found."""
    return [value(header, UID_OF[level]) for header in found]


def test_each_key_finds_what_matches_at_each_level(
    filled: tuple[SqlArchive, Sequence[Header]],
) -> None:
    """Keys of a level above and of a level below, too."""
    archive, headers = filled
    for level in Level:
        for one in POSSIBLE:
            for is_fuzzy in (False, True):
                query = Query(level=level, keys=(one,), is_fuzzy=is_fuzzy)
                found = uids(archive.search(query), level)
                assert len(found) == len(set(found))
                assert set(found) == by_hand(headers, query), query


def test_keys_together_find_what_matches_them_all(
    filled: tuple[SqlArchive, Sequence[Header]],
) -> None:
    """Any of them, at any level, and page by page the same in the same order."""
    archive, headers = filled
    chance = random.Random(7)
    hits = 0
    for _ in range(300):
        keys = tuple(chance.sample(POSSIBLE, chance.randint(2, 4)))
        level = chance.choice(list(Level))
        query = Query(level=level, keys=keys, is_fuzzy=chance.random() < 0.3)
        found = uids(archive.search(query), level)
        assert set(found) == by_hand(headers, query), query
        assert len(found) == len(set(found))
        hits += bool(found)
        pages: list[str] = []
        for offset in range(0, len(found) + 2, 2):
            page = Query(level=level, keys=keys, is_fuzzy=query.is_fuzzy, limit=2, offset=offset)
            pages += uids(archive.search(page), level)
        assert pages == found
    assert hits > 50


def test_an_answer_tells_what_belongs_to_it(filled: tuple[SqlArchive, Sequence[Header]]) -> None:
    """What is counted, what is above it, and not a whole header."""
    archive, headers = filled
    for level in Level:
        for found in archive.search(Query(level=level)):
            uid = value(found, UID_OF[level])
            whole = next(one for one in headers if value(one, UID_OF[level]) == uid)
            counted = _counted(headers, whole)
            told = set(counted) - ({"00201209"} if level is Level.STUDY else set())
            for tag in told:
                assert found[tag]["Value"] == counted[tag]["Value"]
            assert value(found, "0020000D") == value(whole, "0020000D")
            assert "00180050" not in found
            assert ("00280010" in found) is (level is Level.IMAGE)
            assert ("00080060" in found) is (level is not Level.STUDY)
            assert list(found) == sorted(found)


def test_the_latest_study_comes_first(filled: tuple[SqlArchive, Sequence[Header]]) -> None:
    """And the series of a study, and the instances, by their numbers."""
    archive, _ = filled
    found = archive.search(Query(level=Level.STUDY))
    days = [header.get("00080020", {}).get("Value", [""])[0] for header in found]
    assert days == sorted(days, reverse=True)
    query = Query(level=Level.IMAGE, keys=(key("StudyInstanceUID", "1.2.3"),))
    numbers = [(value(one, "00200011"), value(one, "00200013")) for one in archive.search(query)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("level", list(Level))
def test_an_answer_takes_the_same_few_statements(
    filled: tuple[SqlArchive, Sequence[Header]], database: Database, level: Level
) -> None:
    """However many lines it has."""
    archive, _ = filled
    archive.search(Query(level=level))
    keys = (key("ReferringPhysicianName", "*"), key("PatientName", "*o*"), key("Modality", "*R"),
            key("SliceThickness", "1.5"))  # fmt: skip
    taken: list[int] = []
    for limit in (1, 3, 1000):
        statements: list[str] = []

        def note(*context: object, seen: list[str] = statements) -> None:
            seen.append(str(context[2]))

        event.listen(database.read, "before_cursor_execute", note)
        archive.search(Query(level=level, keys=keys, limit=limit))
        event.remove(database.read, "before_cursor_execute", note)
        taken.append(len(statements))
    assert len(set(taken)) == 1
    assert taken[0] <= 13  # with two for catching up, and SQLite says BEGIN


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        pytest.param("PatientName", "jo\0an", id="a zero in a name"),
        pytest.param("PatientID", "P\0?\\\0", id="a zero in an identifier"),
        pytest.param("ModalitiesInStudy", "C\0T\\MR\0*", id="a zero in what is computed"),
        pytest.param("PatientID", "\\".join(f"P{n}" for n in range(5000)), id="thousands"),
        pytest.param("PatientID", "\\".join(f"P{n}*" for n in range(5000)), id="of wildcards"),
        pytest.param("PatientName", "\\".join(f"P{n}" for n in range(5000)), id="of names"),
        pytest.param("PatientName", "*%_a" * 500, id="signs that mean something in SQL"),
        pytest.param("StudyInstanceUID", "\\".join(f"1.{n}" for n in range(40_000)), id="of UIDs"),
    ],
)
def test_an_odd_question_has_an_answer(
    filled: tuple[SqlArchive, Sequence[Header]], name: str, odd: str
) -> None:
    """The same on every database, and no trouble."""
    archive, headers = filled
    for is_fuzzy in (False, True):
        query = Query(level=Level.STUDY, keys=(key(name, odd),), is_fuzzy=is_fuzzy)
        assert set(uids(archive.search(query), Level.STUDY)) == by_hand(headers, query)


def test_a_key_that_cannot_be_compared_is_refused(
    filled: tuple[SqlArchive, Sequence[Header]],
) -> None:
    """Before anything is looked for."""
    archive, _ = filled
    for name, wrong in (("StudyDate", "*1"), ("StudyInstanceUID", "1.*"), ("SeriesNumber", "one"),
                        ("NumberOfStudyRelatedSeries", "*1"), ("SOPClassUID", "CT")):  # fmt: skip
        with pytest.raises(Refused, match=name):
            archive.search(Query(level=Level.STUDY, keys=(key(name, wrong),)))
