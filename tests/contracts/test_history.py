"""What the ledger promises about studies of one patient, in SQLite and in PostgreSQL."""

import inspect
from dataclasses import replace

from dicom_ai_node.domain.history import History
from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, SOPClassUID, StudyInstanceUID
from dicom_ai_node.store.ledger import SqlLedger
from tests.store.made import (
    DAY,
    LEASE,
    MINUTE,
    NOON,
    QUIET,
    arrival,
    arrived,
    job_for,
    listed,
    results_of,
)

REPORT = SOPClassUID("1.2.840.10008.5.1.4.1.1.88.34")
ANNA, BERTA = "a" * 64, "b" * 64
NOW_UID = StudyInstanceUID("9.9")


def note(ledger: SqlLedger, **patients: str) -> None:
    """Keep whose series are: `s1_2_1` is the series 1.2.1."""
    ledger.note_patients(
        {SeriesInstanceUID(name[1:].replace("_", ".")): who for name, who in patients.items()}
    )


def reported(ledger: SqlLedger, uid: str) -> tuple[Job, Sha256]:
    """Bring a series, its job and the report of the job into the ledger."""
    return reported_by(ledger, listed(ledger, uid=uid))


def reported_by(ledger: SqlLedger, job: Job) -> tuple[Job, Sha256]:
    """Let a job that is due write its report."""
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.move(held, Stage.INFERRED, NOON)
    (encoding,) = ledger.claim(Stage.INFERRED, NOON, LEASE)
    made = results_of(job, ["segmentation", "structured_report"])
    assert ledger.commit_results(encoding, made, [], NOON)
    return job, made[1].sha256


def of(ledger: SqlLedger, patient: str, limit: int = 10) -> list[Sha256]:
    """Return the reports of a patient."""
    return list(ledger.reports_of(patient, NOW_UID, limit))


def test_it_is_what_the_port_asks_for() -> None:
    """Every method of the port is there, and can be called as the port says."""
    for name, asked in inspect.getmembers(History, inspect.isfunction):
        if not name.startswith("_"):
            there = inspect.signature(getattr(SqlLedger, name)).parameters
            assert list(there) == list(inspect.signature(asked).parameters), name


def test_every_series_is_asked_once_whose_it_is(ledger: SqlLedger) -> None:
    """By one of its instances, the latest arrivals first; also when nobody knows."""
    first = arrived(ledger, 1, 2, series="1.1.1", study="1.1")
    second = arrived(ledger, 1, series="1.2.1", study="1.2", now=NOON + MINUTE)
    (asked,) = ledger.of_unknown_patient(1).items()
    assert asked == ("1.2.1", second.instances[0].sha256)
    assert set(ledger.of_unknown_patient(10)) == {"1.1.1", "1.2.1"}
    assert ledger.of_unknown_patient(10)[SeriesInstanceUID("1.1.1")] in {
        instance.sha256 for instance in first.instances
    }
    note(ledger, s1_1_1=ANNA, s1_2_1="")
    assert ledger.of_unknown_patient(10) == {}


def test_a_patient_has_the_reports_of_her_studies_and_no_others(ledger: SqlLedger) -> None:
    """The latest first, and no more than are wanted; none of the study that asks."""
    reports = [reported(ledger, uid)[1] for uid in ("1.1.1", "1.2.1", "1.3.1")]
    note(ledger, s1_1_1=ANNA, s1_2_1=ANNA, s1_3_1=BERTA)
    assert of(ledger, ANNA) == [reports[1], reports[0]]
    assert of(ledger, ANNA, 1) == [reports[1]]
    assert of(ledger, BERTA) == [reports[2]]
    assert ledger.reports_of(ANNA, StudyInstanceUID("1.2"), 10) == [reports[0]]


def test_reports_of_other_systems_count_too(ledger: SqlLedger) -> None:
    """Whatever series they come in; images do not."""
    given = arrival(1, "1.1.7", "1.1")
    given = replace(given, instance=replace(given.instance, sop_class_uid=REPORT))
    ledger.record([given, arrival(1, "1.1.1", "1.1")], NOON, QUIET)
    note(ledger, s1_1_7=ANNA, s1_1_1=ANNA)
    assert of(ledger, ANNA) == [given.instance.sha256]


def test_a_report_that_comes_back_is_found_although_its_study_was_forgotten(
    ledger: SqlLedger,
) -> None:
    """It is ours and never routed, but a prior all the same."""
    given = arrival(1, "1.1.7", "1.1", is_ours=True)
    given = replace(given, instance=replace(given.instance, sop_class_uid=REPORT))
    ledger.record([given], NOON, QUIET)
    assert set(ledger.of_unknown_patient(10)) == {"1.1.7"}
    note(ledger, s1_1_7=ANNA)
    assert of(ledger, ANNA) == [given.instance.sha256]


def test_what_was_superseded_is_not_compared_with(ledger: SqlLedger) -> None:
    """The report of the later job is; both would count one study twice."""
    reported(ledger, "1.1.1")
    later = NOON + MINUTE
    ledger.record([arrival(4, "1.1.1", "1.1")], later, QUIET)
    (series,) = ledger.study(StudyInstanceUID("1.1")).series
    newer = job_for(series, created_at=later)
    assert ledger.complete(series, "quiet", [newer], [], later)
    _, report = reported_by(ledger, newer)
    note(ledger, s1_1_1=ANNA)
    assert of(ledger, ANNA) == [report]


def test_a_study_of_two_patients_belongs_to_nobody(ledger: SqlLedger) -> None:
    """Somebody has mixed up something, and it is not for us to guess what."""
    reported(ledger, "1.1.1")
    arrived(ledger, 1, series="1.1.2", study="1.1")
    note(ledger, s1_1_1=ANNA, s1_1_2=BERTA)
    assert of(ledger, ANNA) == []


def test_with_a_study_goes_whose_it_was(ledger: SqlLedger) -> None:
    """Nothing of it is left, and nothing is noted of a series that is gone."""
    reported(ledger, "1.1.1")
    note(ledger, s1_1_1=ANNA)
    ledger.forget(NOON + DAY)
    note(ledger, s1_1_1=ANNA)
    assert of(ledger, ANNA) == []
    assert ledger.of_unknown_patient(10) == {}


def _dated(ledger: SqlLedger, uid: str, date: str, *, is_complete: bool = True) -> Job:
    """Bring a series of a study at `date` and its job into the ledger."""
    study = uid.rpartition(".")[0]
    ledger.record([arrival(1, uid, study, StudyDate=date, StudyTime="0800")], NOON, QUIET)
    (series,) = ledger.study(StudyInstanceUID(study)).series
    made = job_for(series)
    if is_complete:
        assert ledger.complete(series, "quiet", [made], [], NOON)
    note(ledger, **{f"s{uid.replace('.', '_')}": ANNA})
    return made


def test_a_study_waits_for_the_earlier_ones_of_its_patient(ledger: SqlLedger) -> None:
    """Until their work on the same route is done; the earlier one does not wait for the later."""
    earlier, later = _dated(ledger, "1.1.1", "20250101"), _dated(ledger, "1.2.1", "20250201")
    assert ledger.awaits_earlier(later, ANNA)
    assert not ledger.awaits_earlier(earlier, ANNA)
    assert not ledger.awaits_earlier(replace(later, route="another"), ANNA)
    reported_by(ledger, earlier)
    assert not ledger.awaits_earlier(later, ANNA)


def test_a_study_waits_for_an_earlier_one_that_is_still_arriving(ledger: SqlLedger) -> None:
    """But not for one of somebody else, and none without a date for any."""
    later = _dated(ledger, "1.2.1", "20250201")
    _dated(ledger, "1.1.1", "20250101", is_complete=False)
    assert ledger.awaits_earlier(later, ANNA)
    assert not ledger.awaits_earlier(later, BERTA)
    undated = _dated(ledger, "1.3.1", "")
    assert not ledger.awaits_earlier(undated, ANNA)


def test_what_a_route_was_given_then_is_known(ledger: SqlLedger) -> None:
    """By input, of the latest job of each study, and of no other route or patient."""
    jobs = [listed(ledger, uid=uid) for uid in ("1.1.1", "1.2.1", "1.3.1")]
    note(ledger, s1_1_1=ANNA, s1_2_1=ANNA, s1_3_1=BERTA)
    asks = replace(jobs[0], study_instance_uid=NOW_UID)
    latest, before = ledger.inputs_of(ANNA, asks, 5)
    assert latest == {"input0": tuple(item.sha256 for item in jobs[1].inputs)}
    assert before == {"input0": tuple(item.sha256 for item in jobs[0].inputs)}
    assert ledger.inputs_of(ANNA, asks, 1) == [latest]
    assert ledger.inputs_of(ANNA, replace(asks, route="another"), 5) == []
    assert ledger.inputs_of(ANNA, jobs[0], 5) == [latest]
