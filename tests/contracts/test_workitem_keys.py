"""A search of the worklist reads what may match, and finds what it would find if it read all."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy import text as sql

from dicom_ai_node.domain.archive import Key
from dicom_ai_node.domain.json_model import code_item, data_set, text
from dicom_ai_node.domain.levels import path_of
from dicom_ai_node.domain.matching import header_test
from dicom_ai_node.domain.workitem_of_job import Station
from dicom_ai_node.domain.worklist import Search
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.schema import migrate
from dicom_ai_node.store.workitem_keys import LONGEST, MOST_VALUES, narrowed
from dicom_ai_node.store.workitem_tables import workitem_keys, workitems
from dicom_ai_node.store.workitems import SqlWorklist
from tests.workitems import order

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STATION = Station(ae_title="AI_NODE", kinds={})


def _codes(*values: str) -> list[dict[str, Any]]:
    return [code_item(value, "99TEST", "a station") for value in values]


SAID: list[dict[str, Any]] = [
    {},
    {"PatientName": "Müller^Jörg", "PatientID": "a_b%c"},
    {"PatientName": [{"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"}]},
    {"PatientBirthDate": "", "WorklistLabel": "", "PatientID": " 4711 "},
    {"ScheduledProcedureStepStartDateTime": "20260302003000+0200", "WorklistLabel": "Readers"},
    {"ScheduledProcedureStepStartDateTime": "2026", "ProcedureStepLabel": "x" * (LONGEST + 1)},
    {"ScheduledStationNameCodeSequence": _codes("WS1", "WS2")},
    {"ScheduledStationNameCodeSequence": _codes(*(f"S{n}" for n in range(MOST_VALUES + 1)))},
    {"ReferencedRequestSequence": [data_set(AccessionNumber="A1"), data_set(AccessionNumber="")]},
    {"StudyInstanceUID": "1.2.4", "AdmissionID": "\0 weird \ud800"},
]


@pytest.fixture
def worklist(database: Database, tmp_path: Path) -> SqlWorklist:
    """Return a worklist of a few that differ in what is searched."""
    worklist = SqlWorklist(database, SqlArchive(database, FolderBlobs(tmp_path / "store")), STATION)
    for number, said in enumerate(SAID):
        worklist.create(f"1.2.9.{number}", order(**said), NOON)
    return worklist


def _key(name: str, value: str) -> Key:
    return Key(path=path_of(name), value=value)


@pytest.mark.parametrize("is_fuzzy", [False, True], ids=["exactly", "fuzzily"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PatientID", "4711"), ("PatientID", "A_B%C"), ("PatientID", "a_b%c"), ("PatientID", "a*c"),
        ("PatientID", "*b*"), ("PatientID", '""'), ("PatientID", "4711\\a?b%c"), ("PatientID", "*"),
        ("PatientID", "nobody"), ("PatientID", "?711"),
        ("PatientName", "muller^jorg"), ("PatientName", "Mül*"), ("PatientName", "wang*"),
        ("PatientName", "王小東"), ("PatientName", "*nobody"), ("PatientName", "x^y"),
        ("PatientBirthDate", "19700101"), ("PatientBirthDate", "1970.01.01"),
        ("PatientBirthDate", "19691231-19700102"), ("PatientBirthDate", "-19600101"),
        ("ScheduledProcedureStepStartDateTime", "20260301"),
        ("ScheduledProcedureStepStartDateTime", "20260301220000+0000-20260301230000+0000"),
        ("ScheduledProcedureStepStartDateTime", "20260101-"),
        ("ScheduledProcedureStepStartDateTime", "-2025"),
        ("ScheduledProcedureStepStartDateTime", "99991231-"),
        ("ScheduledProcedureStepStartDateTime", "-00010101"),
        ("WorklistLabel", "readers"), ("WorklistLabel", "READERS"), ("WorklistLabel", '""'),
        ("ProcedureStepLabel", "x" * (LONGEST + 1)), ("ProcedureStepLabel", "x*"),
        ("ScheduledStationNameCodeSequence.CodeValue", "WS2"),
        ("ScheduledStationNameCodeSequence.CodeValue", f"S{MOST_VALUES}"),
        ("ScheduledStationNameCodeSequence.CodeValue", "WS1\\WS2"),
        ("ScheduledStationNameCodeSequence.CodeMeaning", "a station"),
        ("ReferencedRequestSequence.AccessionNumber", "A1"),
        ("ReferencedRequestSequence.AccessionNumber", '""'),
        ("StudyInstanceUID", "1.2.4"), ("StudyInstanceUID", "1.2.3\\1.2.4"),
        ("SOPInstanceUID", "1.2.9.1"), ("ProcedureStepState", "SCHEDULED"),
        ("ProcedureStepState", "SCHED*"), ("ProcedureStepState", "COMPLETED"),
        ("AdmissionID", "*weird*"), ("PatientSex", "O"), ("Occupation", "none"),
    ],
)  # fmt: skip
def test_nothing_is_missed(name: str, value: str, is_fuzzy: bool, worklist: SqlWorklist) -> None:
    """Whatever a key is: SQL leaves out nothing that matches."""
    key = _key(name, value)
    every = list(worklist.search(Search()))
    assert len(every) == len(SAID)
    test = header_test([key], is_fuzzy=is_fuzzy)
    expected = [text(one, "SOPInstanceUID") for one in every if test(one)]
    found = worklist.search(Search(keys=(key,), is_fuzzy=is_fuzzy))
    assert [text(one, "SOPInstanceUID") for one in found] == expected


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [
        ("PatientID", "nobody", 0), ("PatientID", "a*", 1), ("PatientName", "stranger*", 0),
        ("WorklistLabel", "Readers", 1), ("AdmissionID", "none", 0),
        ("ReferencedRequestSequence.AccessionNumber", "A1", 1),
        ("ScheduledProcedureStepStartDateTime", "19990101-20000101", 1),
        ("PatientBirthDate", "18000101-18991231", 0),
        ("ScheduledStationNameCodeSequence.CodeValue", "none", 1),
        ("SOPInstanceUID", "1.2", 0), ("StudyInstanceUID", "1.2.4", 1),
        ("ProcedureStepState", "COMPLETED", 0),
    ],
)  # fmt: skip
def test_what_cannot_match_is_not_read(
    name: str, value: str, most: int, database: Database, worklist: SqlWorklist
) -> None:
    """Of ten workitems hardly one: the reading is what takes long."""
    condition = narrowed(_key(name, value), is_fuzzy=False)
    assert condition is not None
    with database.reading() as connection:
        read = connection.scalar(select(func.count()).select_from(workitems).where(condition))
    assert read is not None
    assert read <= most


def test_a_workitem_is_found_by_what_it_says_now(database: Database, worklist: SqlWorklist) -> None:
    """After an update by its new label only; forgotten with the workitem."""
    worklist.update("1.2.9.4", data_set(WorklistLabel="night"), "", NOON)

    def found(label: str) -> list[str]:
        search = Search(keys=(_key("WorklistLabel", label),))
        return [text(one, "SOPInstanceUID") for one in worklist.search(search)]

    assert (found("night"), found("Readers")) == (["1.2.9.4"], [])
    labels = select(workitem_keys.c.value).where(
        workitem_keys.c.path == path_of("WorklistLabel")[0]
    )
    with database.reading() as connection:
        assert "Readers" not in connection.scalars(labels).all()


def test_workitems_of_an_older_version_are_found(database: Database, worklist: SqlWorklist) -> None:
    """The migration enters what is there."""
    with database.writing() as connection:
        for later in (
            "workitem_keys",
            "audit_notes",
            "audit_records",
            "audit_anchors",
            "audit_settled",
            "commitment_requests",
            "promised_studies",
        ):
            connection.execute(sql(f"DROP TABLE {later}"))
        connection.execute(sql("DROP INDEX ix_jobs_newest"))
        connection.execute(sql("DROP INDEX ix_deliveries_unproven"))
        for table, columns in (
            ("deliveries", ("transaction_uid", "asked", "lost", "unproven_since")),
            ("commitments", ("due_at", "ae_title", "attempts")),
        ):
            connection.execute(sql(f"DROP INDEX ix_{table}_{columns[0]}"))
            for column in columns:
                connection.execute(sql(f"ALTER TABLE {table} DROP COLUMN {column}"))
        connection.execute(sql("UPDATE alembic_version SET version_num = '0010'"))
    migrate(database)
    found = worklist.search(Search(keys=(_key("WorklistLabel", "Readers"),)))
    assert [text(one, "SOPInstanceUID") for one in found] == ["1.2.9.4"]
