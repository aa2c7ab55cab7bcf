"""What the ledger promises, in SQLite and in PostgreSQL alike."""

import inspect
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from dicom_ai_node.domain.errors import IllegalMove
from dicom_ai_node.domain.job import DeliveryState, Job, Stage
from dicom_ai_node.domain.ports import Blobs, Ledger
from dicom_ai_node.domain.progress import HowFar, Phase, Progress
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.domain.study import Received
from dicom_ai_node.domain.uids import JobKey, SeriesInstanceUID, StudyInstanceUID
from dicom_ai_node.store import tables
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database, open_database
from dicom_ai_node.store.ledger import SqlLedger
from tests.store.made import (
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NOON,
    QUIET,
    SECOND,
    arrival,
    arrived,
    delivered,
    delivering,
    encoding,
    job_for,
    listed,
    results_of,
    sha,
    stage_of,
)

ROOT = Path(__file__).parents[2]
STUDY, SERIES = StudyInstanceUID("1.2"), SeriesInstanceUID("1.2.1")


@pytest.mark.parametrize(
    ("port", "real"),
    [
        pytest.param(Ledger, SqlLedger, id="the ledger"),
        pytest.param(Blobs, FolderBlobs, id="the blobs"),
    ],
)
def test_it_is_what_the_port_asks_for(port: type, real: type) -> None:
    """Every method of the port is there, and can be called as the port says."""
    for name, asked in inspect.getmembers(port, inspect.isfunction):
        if not name.startswith("_"):
            there = inspect.signature(getattr(real, name)).parameters
            wanted = inspect.signature(asked).parameters
            assert list(there)[: len(wanted)] == list(wanted), name


# receive


def test_a_new_instance_opens_its_series(ledger: SqlLedger) -> None:
    """The first slice makes the series, and the series falls due when it has been quiet."""
    assert ledger.record([arrival(1)], NOON, QUIET) == [Received.NEW]
    assert ledger.due_series(NOON + QUIET - SECOND) == []
    (series,) = ledger.due_series(NOON + QUIET)
    assert series.series_instance_uid == SERIES
    assert series.instances == (arrival(1).instance,)
    assert (series.first_received, series.last_received) == (NOON, NOON)
    assert (series.is_complete, series.is_released, series.revision) == (False, False, 1)
    assert series.calling_ae_title == "CT1"


def test_every_arrival_pushes_the_due_time_back(ledger: SqlLedger) -> None:
    """A slow modality is waited for as long as it goes on sending."""
    ledger.record([arrival(1)], NOON, QUIET)
    ledger.record([arrival(2)], NOON + 20 * SECOND, QUIET)
    assert ledger.due_series(NOON + QUIET) == []
    (series,) = ledger.due_series(NOON + 50 * SECOND)
    assert series.revision == 2
    assert (series.first_received, series.last_received) == (NOON, NOON + 20 * SECOND)


def test_the_ledger_says_when_the_next_series_is_due(ledger: SqlLedger) -> None:
    """So that nobody has to ask all the time; what is closed is no longer due."""
    assert ledger.next_due() is None
    ledger.record([arrival(1)], NOON, QUIET)
    assert ledger.next_due() == NOON + QUIET
    ledger.release([SERIES], NOON, NOON + SECOND)
    assert ledger.next_due() == NOON + SECOND
    (series,) = ledger.due_series(NOON + SECOND)
    ledger.complete(series, "released", [], [], NOON + SECOND)
    assert ledger.next_due() is None


def test_what_is_not_over_is_counted_apart(ledger: SqlLedger) -> None:
    """The same numbers as among all counts, in every stage that a job goes through."""
    looks: list[Mapping[str, int]] = []

    def look() -> Mapping[str, int]:
        looks.append(ledger.pending())
        counts = ledger.counts()
        assert looks[-1] == {name: counts[name] for name in looks[-1]}
        return looks[-1]

    assert set(look().values()) == {0}
    arrived(ledger, 1, 2, series="1.9.1", study="1.9")
    assert look()["series.open"] == 1
    delivering(ledger, "pacs", "archive", "research")
    assert look()["deliveries.due"] == 6
    (one, other) = ledger.claim_deliveries("pacs", NOON, LEASE)
    assert (look()["deliveries.sending"], looks[-1]["jobs.delivering"]) == (2, 1)
    ledger.delivered(one, NOON)
    ledger.not_delivered(other, NOON, "no", None)
    assert (look()["deliveries.sending"], looks[-1]["jobs.parked"]) == (0, 1)
    listed(ledger, uid="1.3.1")
    ledger.quarantine(sha("broken"), "not DICOM", "CT1", NOON)
    assert (look()["jobs.ready"], looks[-1]["quarantine.open"]) == (1, 1)
    assert set(looks[-1]) < set(ledger.counts())


def test_nothing_recorded_is_nothing_received(ledger: SqlLedger) -> None:
    """An empty batch is no transaction."""
    assert ledger.record([], NOON, QUIET) == ()


def test_the_same_bytes_again_are_a_duplicate(ledger: SqlLedger) -> None:
    """A sender that repeats itself after a broken association changes nothing, not even the due time."""
    arrived(ledger, 1, 2)
    assert ledger.record([arrival(1), arrival(2)], NOON + QUIET, QUIET) == [Received.DUPLICATE] * 2
    (series,) = ledger.due_series(NOON + QUIET)
    assert series.revision == 2
    assert ledger.quarantined() == []


def test_other_bytes_under_the_same_uid_are_a_conflict(ledger: SqlLedger) -> None:
    """The first instance stays, the second is set aside, and a person is told once."""
    arrived(ledger, 1)
    edited = arrival(1, content="edited")
    for _ in range(2):
        assert ledger.record([edited], NOON + SECOND, QUIET) == [Received.CONFLICT]
    (series,) = ledger.study(STUDY).series
    assert series.instances == (arrival(1).instance,)
    (entry,) = ledger.quarantined()
    assert (entry.sha256, entry.sender, entry.at) == (edited.instance.sha256, "CT1", NOON + SECOND)
    assert entry.is_open


def test_the_same_data_set_from_another_sender_is_a_duplicate(ledger: SqlLedger) -> None:
    """The file meta information names the sender, so its bytes differ; the instance does not."""
    first = arrival(1)
    again = arrival(1, content="with another sender in its file meta information")
    first, again = (
        replace(one, instance=replace(one.instance, data_set_sha256="d" * 64))
        for one in (first, again)
    )
    assert ledger.record([first], NOON, QUIET) == [Received.NEW]
    assert ledger.record([again], NOON, QUIET) == [Received.DUPLICATE]
    assert ledger.quarantined() == []


def test_one_batch_may_hold_the_same_instance_twice(ledger: SqlLedger) -> None:
    """Two associations that are committed together may have brought the same slice."""
    batch = [arrival(1), arrival(1), arrival(1, content="edited"), arrival(2)]
    assert ledger.record(batch, NOON, QUIET) == [
        Received.NEW, Received.DUPLICATE, Received.CONFLICT, Received.NEW,
    ]  # fmt: skip
    (series,) = ledger.study(STUDY).series
    assert [each.sop_instance_uid for each in series.instances] == ["1.2.1.1", "1.2.1.2"]
    assert series.revision == 2


def test_one_batch_may_hold_many_series(ledger: SqlLedger) -> None:
    """A busy minute brings slices of several studies, known and new, in one transaction."""
    arrived(ledger, 1, series="1.2.1")
    arrived(ledger, 1, series="1.3.1", study="1.3")
    batch = [
        arrival(n, f"{study}.{s}", study)
        for n in (2, 3)
        for s in (1, 2)
        for study in ("1.2", "1.3")
    ]
    assert set(ledger.record(batch, NOON, QUIET)) == {Received.NEW}
    for study in ("1.2", "1.3"):
        sizes = {
            s.series_instance_uid: len(s.instances)
            for s in ledger.study(StudyInstanceUID(study)).series
        }
        assert sizes == {f"{study}.1": 3, f"{study}.2": 2}


def test_an_attribute_that_differs_is_none_of_the_series(ledger: SqlLedger) -> None:
    """No rule can rely on an attribute that changes within the series; each instance keeps its own."""
    first = arrival(1, ImageType="ORIGINAL", KVP="120", BodyPartExamined="LIVER")
    second = arrival(2, ImageType="DERIVED", KVP="120")
    third = arrival(
        3, ImageType="ORIGINAL", KVP="120", BodyPartExamined="LIVER", SliceThickness="2"
    )
    ledger.record([first], NOON, QUIET)
    ledger.record([second, third], NOON, QUIET)
    (series,) = ledger.study(STUDY).series
    assert series.attributes == {"Modality": "CT", "KVP": "120"}
    assert series.instances == (first.instance, second.instance, third.instance)


def test_awkward_text_from_a_stranger_is_kept(ledger: SqlLedger) -> None:
    """NUL, quotes, emoji and half characters in an attribute do not stop the batch."""
    text = 'NUL \0, "quote", \\ , é 体 🫀, half \ud83e'
    strange = arrival(1, SeriesDescription=text)
    strange = replace(strange, calling_ae_title="CT\0\ud83e")  # type: ignore[arg-type]
    assert ledger.record([strange], NOON, QUIET) == [Received.NEW]
    (series,) = ledger.study(STUDY).series
    assert series.attributes["SeriesDescription"] == text
    assert series.calling_ae_title == "CT?"


def test_a_result_that_comes_back_is_ours(ledger: SqlLedger) -> None:
    """An archive that forwards everything to us does not make us analyse our own results."""
    job = delivered(ledger)
    (seg, sr) = results_of(job)
    back = arrival(1, seg.series_instance_uid)
    back = replace(back, instance=replace(back.instance, sop_instance_uid=seg.sop_instance_uid))
    same_series = arrival(7, sr.series_instance_uid)
    edited = replace(back, instance=replace(back.instance, sha256=sha("coerced by the archive")))
    assert ledger.record([back, same_series, edited], NOON, QUIET) == [Received.OURS] * 3
    assert ledger.due_series(NOON + DAY) == []
    assert [each.series_instance_uid for each in ledger.study(STUDY).series] == [SERIES]
    assert ledger.quarantined() == []
    assert ledger.counts()["series.ours"] == 2


def test_an_object_that_names_us_as_its_maker_is_ours(ledger: SqlLedger) -> None:
    """A ledger that was restored from an old backup still breaks the loop."""
    batch = [arrival(1, "1.9.1", is_ours=True), arrival(2, "1.9.1")]
    assert ledger.record(batch, NOON, QUIET) == [Received.OURS] * 2
    assert ledger.record([arrival(3, "1.9.1")], NOON, QUIET) == [Received.OURS]
    assert ledger.due_series(NOON + DAY) == []
    assert ledger.study(STUDY).series == ()


def test_our_object_in_a_series_of_others_does_not_wake_it(ledger: SqlLedger) -> None:
    """Somebody who puts our result into the source series starts nothing."""
    series = arrived(ledger, 1)
    assert ledger.complete(series, "quiet", [], [], NOON)
    assert ledger.record([arrival(2, is_ours=True)], NOON, QUIET) == [Received.OURS]
    assert ledger.due_series(NOON + DAY) == []
    (same,) = ledger.study(STUDY).series
    assert same.instances == series.instances


def test_bytes_that_were_not_let_in_are_counted_and_can_be_closed(ledger: SqlLedger) -> None:
    """A person sees what was set aside, newest first, until it is closed."""
    first = ledger.quarantine(sha("a"), "not DICOM", "CT1", NOON)
    second = ledger.quarantine(sha("b"), "truncated", "CT2", NOON + SECOND)
    assert [entry.number for entry in ledger.quarantined()] == [second, first]
    ledger.close_quarantine(first)
    (entry,) = ledger.quarantined()
    assert (entry.sha256, entry.reason, entry.sender) == (sha("b"), "truncated", "CT2")
    assert ledger.counts()["quarantine.open"] == 1


def test_the_end_of_an_association_pulls_the_due_time_forward(ledger: SqlLedger) -> None:
    """A sender that says goodbye need not be waited for so long; never the other way round."""
    arrived(ledger, 1)
    ledger.release([SERIES], NOON, NOON + 2 * SECOND)
    (series,) = ledger.due_series(NOON + 2 * SECOND)
    assert series.is_released
    ledger.release([SERIES], NOON, NOON + HOUR)
    assert len(ledger.due_series(NOON + 2 * SECOND)) == 1
    ledger.record([arrival(2)], NOON + SECOND, QUIET)
    (series,) = ledger.due_series(NOON + HOUR)
    assert not series.is_released


def test_a_release_opens_nothing(ledger: SqlLedger) -> None:
    """A series that is complete stays complete when its association ends afterwards."""
    series = arrived(ledger, 1)
    ledger.complete(series, "quiet", [], [], NOON)
    ledger.release([SERIES, SeriesInstanceUID("1.9")], NOON, NOON)
    assert ledger.due_series(NOON + DAY) == []


# complete and route


def test_the_longest_due_series_comes_first(ledger: SqlLedger) -> None:
    """No series is overtaken for ever."""
    for number, second in ((1, 2), (2, 0), (3, 1)):
        arrived(ledger, 1, series=f"1.2.{number}", now=NOON + second * SECOND)
    due = ledger.due_series(NOON + HOUR, limit=2)
    assert [each.series_instance_uid for each in due] == ["1.2.2", "1.2.3"]


def test_a_series_can_wait_and_says_why_once(ledger: SqlLedger) -> None:
    """A PET that waits for its CT is not asked every second, and its time line stays readable."""
    job = job_for(series := arrived(ledger, 1))
    for minute in range(1, 4):
        ledger.wait_for(series, NOON + minute * MINUTE, "ct is missing")
    assert ledger.due_series(NOON + 2 * MINUTE) == []
    (same,) = ledger.due_series(NOON + 3 * MINUTE)
    ledger.complete(same, "deadline", [job], [], NOON + 3 * MINUTE)
    waits = [event.detail for event in ledger.time_line(job.key) if event.what == "series_waits"]
    assert waits == ["ct is missing"]


def test_a_wait_does_not_hold_back_what_has_arrived_since(ledger: SqlLedger) -> None:
    """A new slice sets a due time of its own, which an old decision must not overwrite."""
    series = arrived(ledger, 1)
    arrived(ledger, 2)
    ledger.wait_for(series, NOON + DAY, "ct is missing")
    assert len(ledger.due_series(NOON + QUIET)) == 1


def test_completing_closes_the_series_and_lists_its_jobs(ledger: SqlLedger) -> None:
    """Closing and listing is one step: there is no complete series whose jobs were lost."""
    series = arrived(ledger, 1, 2)
    jobs = [job_for(series, route="liver"), job_for(series, route="lung", priority=Priority.STAT)]
    assert ledger.complete(series, "released and quiet", jobs, ["liver took it"], NOON)
    assert ledger.due_series(NOON + DAY) == []
    (closed,) = ledger.study(STUDY).series
    assert (closed.is_complete, closed.complete_because) == (True, "released and quiet")
    assert [job.key for job in ledger.jobs()] == [jobs[1].key, jobs[0].key]
    assert ledger.job(jobs[0].key) == jobs[0]


def test_completing_an_outdated_view_does_nothing(ledger: SqlLedger) -> None:
    """A slice that arrives while the router thinks is not left behind."""
    series = arrived(ledger, 1)
    arrived(ledger, 2)
    assert not ledger.complete(series, "quiet", [job_for(series)], [], NOON)
    assert ledger.jobs() == []
    assert len(ledger.due_series(NOON + QUIET)) == 1


def test_only_one_of_two_dispatchers_completes_a_series(ledger: SqlLedger) -> None:
    """Two machines that look at the same series list its jobs once."""
    series = arrived(ledger, 1)
    assert ledger.complete(series, "quiet", [job_for(series)], [], NOON)
    assert not ledger.complete(series, "quiet", [job_for(series)], [], NOON)
    assert len(ledger.jobs()) == 1


def test_the_same_job_is_never_listed_twice(ledger: SqlLedger) -> None:
    """The same route on the same bytes has the same key and is not done again."""
    one, two = arrived(ledger, 1, series="1.2.1"), arrived(ledger, 1, series="1.2.2")
    pair = job_for(one, two)
    assert ledger.complete(one, "quiet", [pair, pair], [], NOON)
    assert ledger.complete(two, "quiet", [pair], [], NOON)
    (job,) = ledger.jobs()
    assert (job.key, job.supersedes, job.stage) == (pair.key, None, Stage.READY)


def waits_until(ledger: SqlLedger, moment: datetime) -> list[tuple[str, str]]:
    """Return which study which route has waited long enough for at `moment`."""
    return [(study.study_instance_uid, name) for study, name in ledger.due_waits(moment)]


def test_a_route_waits_for_the_rest_of_a_study(ledger: SqlLedger, url: str) -> None:
    """Each route as long as it likes; the ledger remembers it through a restart."""
    pet = arrived(ledger, 1)
    waits = {"petct": NOON + MINUTE, "fusion": NOON + HOUR}
    assert ledger.complete(pet, "quiet", [], ["petct waits"], NOON, waits)
    again = open_database(url)
    for one in (ledger, SqlLedger(again)):
        assert waits_until(one, NOON + MINUTE - SECOND) == []
        assert waits_until(one, NOON + MINUTE) == [(STUDY, "petct")]
        assert waits_until(one, NOON + HOUR) == [(STUDY, "petct"), (STUDY, "fusion")]
    again.close()
    ((study, _),) = ledger.due_waits(NOON + HOUR, limit=1)
    assert study == ledger.study(STUDY)


def test_the_last_series_sets_the_time(ledger: SqlLedger) -> None:
    """A second partial input starts the wait of its route anew, and that of no other."""
    pet, other = arrived(ledger, 1), arrived(ledger, 1, series="1.2.2")
    waits = {"petct": NOON + MINUTE, "fusion": NOON + MINUTE}
    ledger.complete(pet, "quiet", [], [], NOON, waits)
    ledger.complete(other, "quiet", [], [], NOON, {"petct": NOON + HOUR})
    assert waits_until(ledger, NOON + MINUTE) == [(STUDY, "fusion")]
    assert waits_until(ledger, NOON + HOUR) == [(STUDY, "fusion"), (STUDY, "petct")]


def test_nobody_waits_with_a_series_that_was_not_closed(ledger: SqlLedger) -> None:
    """The wait and the closing of the series are one step."""
    pet = arrived(ledger, 1)
    arrived(ledger, 2)
    assert not ledger.complete(pet, "quiet", [], [], NOON, {"petct": NOON})
    series = arrived(ledger, 3)
    assert ledger.complete(series, "quiet", [], [], NOON)
    assert waits_until(ledger, NOON + DAY) == []


def test_a_wait_is_not_over_while_its_study_arrives(ledger: SqlLedger) -> None:
    """The series that is still open may be what is missing; other studies are not held back."""
    for study in ("1.2", "1.3"):
        pet = arrived(ledger, 1, series=f"{study}.1", study=study)
        ledger.complete(pet, "quiet", [], [], NOON, {"petct": NOON + MINUTE})
    coming = arrived(ledger, 1, series="1.2.2")
    assert waits_until(ledger, NOON + HOUR) == [("1.3", "petct")]
    ledger.complete(coming, "quiet", [], [], NOON + HOUR)
    assert waits_until(ledger, NOON + HOUR) == [("1.2", "petct"), ("1.3", "petct")]


def test_a_wait_ends_once_and_tells_the_series(ledger: SqlLedger) -> None:
    """Of two dispatchers one writes the note; a job that comes later shows it in its time line."""
    pet = arrived(ledger, 1)
    ledger.complete(pet, "quiet", [], [], NOON, {"petct": NOON + MINUTE})
    ((study, route),) = ledger.due_waits(NOON + MINUTE)
    notes = {SERIES: "no ct came"}
    assert not ledger.end_wait(study, route, notes, NOON), "it is not due yet"
    assert ledger.end_wait(study, route, notes, NOON + MINUTE)
    assert not ledger.end_wait(study, route, notes, NOON + MINUTE), "somebody has told already"
    assert waits_until(ledger, NOON + DAY) == []
    ct = arrived(ledger, 1, series="1.2.2", now=NOON + HOUR)
    job = job_for(pet, ct)
    ledger.complete(ct, "quiet", [job], [], NOON + HOUR)
    told = [event for event in ledger.time_line(job.key) if event.what == "input_missing"]
    assert [(event.at, event.detail) for event in told] == [(NOON + MINUTE, "no ct came")]


def test_a_wait_that_was_set_anew_is_not_ended(ledger: SqlLedger) -> None:
    """Who was about to give up learns that another series has come in between."""
    ledger.complete(arrived(ledger, 1), "quiet", [], [], NOON, {"petct": NOON + MINUTE})
    ((study, route),) = ledger.due_waits(NOON + MINUTE)
    other = arrived(ledger, 1, series="1.2.2")
    ledger.complete(other, "quiet", [], [], NOON + MINUTE, {"petct": NOON + HOUR})
    assert not ledger.end_wait(study, route, {}, NOON + MINUTE)
    assert waits_until(ledger, NOON + HOUR) == [(STUDY, "petct")]


def late(ledger: SqlLedger, first: Job) -> Job:
    """Let one more slice arrive after `first` was listed, and list the job that replaces it."""
    series = arrived(ledger, 99, now=NOON + HOUR)
    assert not series.is_complete
    second = job_for(series, created_at=NOON + HOUR)
    assert second.key != first.key
    assert ledger.complete(series, "quiet", [second], [], NOON + HOUR)
    return second


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(Stage.READY, id="while it waits"),
        pytest.param(Stage.INFERRING, id="while it is computed"),
        pytest.param(Stage.REJECTED, id="after it was rejected"),
        pytest.param(Stage.PARKED, id="while a person should look"),
        pytest.param(Stage.QUARANTINED, id="after it has taken its workers down"),
    ],
)
def test_late_instances_replace_a_job(ledger: SqlLedger, stage: Stage) -> None:
    """A late slice reopens its series, and the job without it is not finished."""
    first = listed(ledger)
    held = first
    if stage is not Stage.READY:
        (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    if stage not in {Stage.READY, Stage.INFERRING}:
        assert ledger.move(held, stage, NOON)
    second = late(ledger, first)
    assert stage_of(ledger, first) is Stage.SUPERSEDED
    found = ledger.job(second.key)
    assert found is not None
    assert (found.supersedes, found.stage) == (first.key, Stage.READY)
    if stage is Stage.INFERRING:
        assert not ledger.move(held, Stage.INFERRED, NOON)


def test_late_instances_do_not_recall_what_was_delivered(ledger: SqlLedger) -> None:
    """A report that has left the house stays; the new one says that it replaces it."""
    first = delivered(ledger)
    second = late(ledger, first)
    assert stage_of(ledger, first) is Stage.DELIVERED
    found = ledger.job(second.key)
    assert found is not None
    assert found.supersedes == first.key


def test_a_job_may_name_the_one_that_it_replaces(ledger: SqlLedger) -> None:
    """One with an input more is another job, but takes the place of that without it."""
    first = listed(ledger)
    series = arrived(ledger, 99, now=NOON + HOUR)
    more = job_for(series, created_at=NOON + HOUR)
    more = replace(
        more,
        inputs=tuple(replace(one, name="other") for one in more.inputs),
        supersedes=first.key,
    )
    assert ledger.complete(series, "quiet", [more], [], NOON + HOUR)
    assert stage_of(ledger, first) is Stage.SUPERSEDED
    found = ledger.job(more.key)
    assert found is not None
    assert found.supersedes == first.key


def test_late_instances_stop_what_one_destination_has_refused(ledger: SqlLedger) -> None:
    """Nothing more of an outdated result is sent, whoever still waits for it."""
    first = delivering(ledger, "pacs", "viewer")
    refused = ledger.claim_deliveries("pacs", NOON, LEASE)[0]
    ledger.not_delivered(refused, NOON, "no", None)
    late(ledger, first)
    assert stage_of(ledger, first) is Stage.SUPERSEDED
    assert ledger.claim_deliveries("viewer", NOON, LEASE) == []


def test_another_route_replaces_nothing(ledger: SqlLedger) -> None:
    """Jobs replace each other only within one route and for the same named series."""
    first = listed(ledger)
    series = arrived(ledger, 99)
    ledger.complete(series, "quiet", [job_for(series, route="lung")], [], NOON)
    assert stage_of(ledger, first) is Stage.READY


# infer and encode


def test_a_claim_takes_a_job_under_a_new_fence(ledger: SqlLedger) -> None:
    """Who claims a job gets it with its inputs, one more attempt and a fence of its own."""
    job = listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert held == replace(job, stage=Stage.INFERRING, attempts=1, fence=1)
    assert ledger.claim(Stage.READY, NOON, LEASE) == []


def test_only_ready_and_inferred_jobs_can_be_claimed(ledger: SqlLedger) -> None:
    """Nobody works on a job that is parked or at its end."""
    with pytest.raises(IllegalMove):
        ledger.claim(Stage.PARKED, NOON, LEASE)


def test_the_most_urgent_job_comes_first(ledger: SqlLedger) -> None:
    """STAT before high before routine, and the older of two equals first."""
    order = [Priority.ROUTINE, Priority.STAT, Priority.HIGH, Priority.ROUTINE, Priority.STAT]
    jobs = [
        listed(ledger, uid=f"1.{number}.1", priority=priority, now=NOON + number * SECOND)
        for number, priority in enumerate(order, start=3)
    ]
    claimed = ledger.claim(Stage.READY, NOON + MINUTE, LEASE, limit=9)
    assert [job.key for job in claimed] == [jobs[n].key for n in (1, 4, 2, 0, 3)]


def test_waiting_makes_a_job_more_urgent_but_never_more_than_stat(ledger: SqlLedger) -> None:
    """A routine job gains a step an hour; the stroke of now still goes before the morning's backlog."""
    aged = listed(ledger, uid="1.3.1", priority=Priority.ROUTINE, now=NOON)
    high = listed(ledger, uid="1.4.1", priority=Priority.HIGH, now=NOON + HOUR + SECOND)
    stat = listed(ledger, uid="1.5.1", priority=Priority.STAT, now=NOON + 9 * HOUR)
    claimed = ledger.claim(Stage.READY, NOON + 9 * HOUR, LEASE, limit=3)
    assert [job.key for job in claimed] == [stat.key, aged.key, high.key]


def test_a_postponed_job_waits_for_its_time(ledger: SqlLedger) -> None:
    """After a hitch the job is tried again, and not before it is due."""
    listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.move(held, Stage.READY, NOON, note="GPU full", due_at=NOON + MINUTE)
    assert ledger.claim(Stage.READY, NOON + 59 * SECOND, LEASE) == []
    (again,) = ledger.claim(Stage.READY, NOON + MINUTE, LEASE)
    assert (again.attempts, again.fence) == (2, 2)


def test_a_move_says_who_has_to_act(ledger: SqlLedger) -> None:
    """A rejected job names the reason and the person."""
    job = listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.move(held, Stage.REJECTED, NOON, note="GEO_MISSING_SLICE", who=Who.SENDER)
    found = ledger.job(job.key)
    assert found is not None
    assert (found.stage, found.note, found.who) == (
        Stage.REJECTED, "GEO_MISSING_SLICE", Who.SENDER,
    )  # fmt: skip


def test_a_job_cannot_skip_a_leg(ledger: SqlLedger) -> None:
    """Nothing is encoded that was not inferred; only what writes nothing ends without it."""
    listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    with pytest.raises(IllegalMove):
        ledger.move(held, Stage.ENCODING, NOON)
    with pytest.raises(IllegalMove):
        ledger.commit_results(held, [], [], NOON)


def test_each_leg_has_its_own_attempts(ledger: SqlLedger) -> None:
    """Two hitches in inference do not count against encoding."""
    listed(ledger)
    for _ in range(2):
        (held,) = ledger.claim(Stage.READY, NOON, LEASE)
        ledger.move(held, Stage.READY, NOON)
    assert encoding(ledger).attempts == 1


def test_a_stale_fence_finishes_nothing(ledger: SqlLedger) -> None:
    """A worker that was given up and wakes up again cannot write over its successor."""
    job = listed(ledger)
    (zombie,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.reap(NOON + LEASE, attempts=3)
    (held,) = ledger.claim(Stage.READY, NOON + LEASE, LEASE)
    assert held.fence > zombie.fence
    assert not ledger.move(zombie, Stage.INFERRED, NOON + LEASE)
    ledger.renew([zombie], NOON + LEASE, HOUR)
    assert [each.key for each in ledger.reap(NOON + 2 * LEASE, attempts=3)] == [job.key]
    encoder = encoding(ledger, NOON + 2 * LEASE)
    stale = replace(encoder, fence=encoder.fence - 1)
    assert not ledger.commit_results(stale, results_of(job), ["pacs"], NOON)
    assert ledger.results(job.key) == []


def test_a_move_counts_once(ledger: SqlLedger) -> None:
    """An answer that was lost on the way and is given again changes nothing."""
    listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert ledger.move(held, Stage.INFERRED, NOON)
    assert not ledger.move(held, Stage.INFERRED, NOON)


def test_a_renewed_lease_holds(ledger: SqlLedger) -> None:
    """A long computation stays with its worker as long as that says so."""
    listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.renew([held], NOON + LEASE - SECOND, LEASE)
    ledger.renew([], NOON, LEASE)
    assert ledger.reap(NOON + LEASE, attempts=3) == []


def test_how_far_a_job_is_belongs_to_who_holds_it(ledger: SqlLedger) -> None:
    """What a worker says that was given up is of no interest, and a new leg begins at nothing."""
    job = listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)

    def told(fence: int, part: float) -> tuple[float, Phase | None]:
        ledger.note_progress([HowFar(job.key, fence, Progress(Phase.READING, part))])
        found = ledger.job(job.key)
        assert found is not None
        return found.progress, found.doing

    ledger.note_progress([])
    assert told(held.fence - 1, 0.9) == (0.0, None)
    assert told(held.fence, 0.5) == (0.5, Phase.READING)
    ledger.renew([held], NOON, LEASE)
    assert told(held.fence + 1, 0.9) == (0.5, Phase.READING)
    ledger.move(held, Stage.INFERRED, NOON)
    assert told(held.fence, 0.9) == (0.0, None)


@pytest.mark.parametrize("leg", [Stage.READY, Stage.INFERRED])
def test_a_lost_lease_gives_the_job_back(ledger: SqlLedger, leg: Stage) -> None:
    """A machine that disappears takes no study with it; three lost attempts are enough."""
    job = listed(ledger)
    if leg is Stage.INFERRED:
        (held,) = ledger.claim(Stage.READY, NOON, LEASE)
        ledger.move(held, Stage.INFERRED, NOON)
    now = NOON
    for attempt in (1, 2):
        (held,) = ledger.claim(leg, now, LEASE)
        assert ledger.reap(now + LEASE - SECOND, attempts=3) == []
        now += LEASE
        (back,) = ledger.reap(now, attempts=3)
        assert (back.key, back.stage, back.attempts) == (job.key, leg, attempt)
        assert back.fence > held.fence
        assert back.inputs == job.inputs
    ledger.claim(leg, now, LEASE)
    (poison,) = ledger.reap(now + LEASE, attempts=3)
    assert (poison.stage, poison.who) == (Stage.QUARANTINED, Who.PERSON)
    assert ledger.claim(leg, now + DAY, LEASE) == []


def test_two_threads_never_share_a_job(ledger: SqlLedger) -> None:
    """However many slots ask at once, each job goes to one of them."""
    keys = {listed(ledger, uid=f"1.{number}.1").key for number in range(3, 23)}

    def greedy(_: int) -> list[JobKey]:
        mine = []
        while claimed := ledger.claim(Stage.READY, NOON, LEASE, limit=2):
            mine.extend(job.key for job in claimed)
        return mine

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(greedy, range(4)))
    claimed = [key for share in shares for key in share]
    assert len(claimed) == len(keys)
    assert set(claimed) == keys


_CLAIMER = """
import sys
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.ledger import SqlLedger
from tests.store.made import LEASE, NOON
ledger = SqlLedger(open_database(sys.argv[1]))
while claimed := ledger.claim(Stage.READY, NOON, LEASE):
    print(claimed[0].key)
    assert ledger.move(claimed[0], Stage.INFERRED, NOON)
"""


def test_two_processes_never_share_a_job(ledger: SqlLedger, url: str) -> None:
    """Several dispatchers on one ledger need nobody to direct them."""
    keys = [listed(ledger, uid=f"1.{number}.1").key for number in range(3, 33)]
    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", _CLAIMER, url], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    shares = [claimer.communicate(timeout=60)[0].split() for claimer in claimers]
    assert [claimer.returncode for claimer in claimers] == [0, 0]
    assert sorted(shares[0] + shares[1]) == sorted(keys)
    assert ledger.counts()["jobs.inferred"] == 30


def test_many_receivers_write_at_once(ledger: SqlLedger) -> None:
    """Parallel associations that bring parts of the same series lose and double nothing."""

    def receive(receiver: int) -> list[Received]:
        received: list[Received] = []
        for batch in range(12):
            alone = 1000 * receiver + 10 * batch
            received.extend(ledger.record([arrival(alone), arrival(alone + 1)], NOON, QUIET))
        received.extend(ledger.record([arrival(n) for n in range(1, 9)], NOON, QUIET))
        return received

    with ThreadPoolExecutor(4) as pool:
        received = [what for share in pool.map(receive, range(1, 5)) for what in share]
    (series,) = ledger.study(STUDY).series
    assert len(series.instances) == series.revision == received.count(Received.NEW) == 104
    assert received.count(Received.DUPLICATE) == 24
    assert series.attributes == {"Modality": "CT"}


# deliver


def test_results_are_listed_with_one_delivery_each(ledger: SqlLedger) -> None:
    """Every object goes to every destination, in the order in which it was made."""
    job = delivering(ledger, "pacs", "viewer", "pacs")
    assert stage_of(ledger, job) is Stage.DELIVERING
    assert ledger.results(job.key) == results_of(job)
    found = [
        (each.result.kind, each.destination, each.state) for each in ledger.deliveries(job.key)
    ]
    assert found == [
        (kind, destination, DeliveryState.DUE)
        for kind in ("seg", "sr")
        for destination in ("pacs", "viewer")
    ]


@pytest.mark.parametrize(
    ("kinds", "destinations"),
    [
        pytest.param((), ["pacs"], id="no object"),
        pytest.param(("seg",), [], id="no destination"),
    ],
)
def test_nothing_to_send_is_delivered(
    ledger: SqlLedger, kinds: tuple[str, ...], destinations: list[str]
) -> None:
    """A job without findings or without destinations is at its end."""
    listed(ledger)
    held = encoding(ledger)
    assert ledger.commit_results(held, results_of(held, kinds), destinations, NOON)
    assert stage_of(ledger, held) is Stage.DELIVERED


def test_a_delivery_is_claimed_by_one_sender(ledger: SqlLedger) -> None:
    """Two senders to one archive do not send the same object twice."""
    job = delivering(ledger, "pacs")
    first = ledger.claim_deliveries("pacs", NOON, LEASE, limit=1)
    second = ledger.claim_deliveries("pacs", NOON, LEASE)
    assert [each.result.kind for each in (*first, *second)] == ["seg", "sr"]
    assert {(each.state, each.attempts, each.fence) for each in (*first, *second)} == {
        (DeliveryState.SENDING, 1, 1)
    }
    assert ledger.claim_deliveries("pacs", NOON, LEASE) == []
    assert ledger.claim_deliveries("elsewhere", NOON, LEASE) == []
    assert stage_of(ledger, job) is Stage.DELIVERING


def test_the_most_urgent_job_is_sent_first(ledger: SqlLedger) -> None:
    """One association carries the results of one job, the STAT job's before the others."""
    routine = delivering(ledger, "pacs", uid="1.3.1")
    listed(ledger, uid="1.4.1", priority=Priority.STAT, now=NOON + SECOND)
    stat = encoding(ledger, NOON + SECOND)
    ledger.commit_results(stat, results_of(stat), ["pacs"], NOON + SECOND)
    for job in (stat, routine):
        batch = ledger.claim_deliveries("pacs", NOON + MINUTE, LEASE)
        assert {each.result.job for each in batch} == {job.key}


def test_the_last_delivery_finishes_the_job(ledger: SqlLedger) -> None:
    """A job is delivered when every destination has every object, and not before."""
    job = delivering(ledger, "pacs", "viewer")
    for destination in ("pacs", "viewer"):
        for delivery in ledger.claim_deliveries(destination, NOON, LEASE):
            assert stage_of(ledger, job) is Stage.DELIVERING
            assert ledger.delivered(delivery, NOON + SECOND, "stored with a warning")
            assert not ledger.delivered(delivery, NOON + SECOND)
    assert stage_of(ledger, job) is Stage.DELIVERED
    assert {(each.state, each.note, each.done_at) for each in ledger.deliveries(job.key)} == {
        (DeliveryState.DONE, "stored with a warning", NOON + SECOND)
    }


def test_last_deliveries_that_end_at_once_finish_the_job(ledger: SqlLedger) -> None:
    """Of two senders that end in the same moment one sees the other."""
    for number in range(3, 13):
        uid = f"1.{number}.1"
        job = delivering(ledger, "pacs", "viewer", uid=uid)
        claimed = [
            each
            for destination in ("pacs", "viewer")
            for each in ledger.claim_deliveries(destination, NOON, LEASE)
        ]
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda each: ledger.delivered(each, NOON), claimed))
        assert stage_of(ledger, job) is Stage.DELIVERED


def test_a_delivery_is_tried_again_when_it_is_due(ledger: SqlLedger) -> None:
    """An archive that is down delays its own deliveries and no others."""
    job = delivering(ledger, "pacs", "viewer")
    for delivery in ledger.claim_deliveries("pacs", NOON, LEASE):
        assert ledger.not_delivered(delivery, NOON, "no answer", NOON + MINUTE)
    assert ledger.claim_deliveries("pacs", NOON + 59 * SECOND, LEASE) == []
    for delivery in ledger.claim_deliveries("viewer", NOON, LEASE):
        assert ledger.delivered(delivery, NOON)
    again = ledger.claim_deliveries("pacs", NOON + MINUTE, LEASE)
    assert [(each.attempts, each.note) for each in again] == [(2, "no answer")] * 2
    for delivery in again:
        assert ledger.delivered(delivery, NOON + MINUTE)
    assert stage_of(ledger, job) is Stage.DELIVERED


def test_a_lost_sender_is_replaced(ledger: SqlLedger) -> None:
    """A delivery whose lease has run out is due again, and the lost sender's word counts no more."""
    delivering(ledger, "pacs")
    lost = ledger.claim_deliveries("pacs", NOON, LEASE)
    again = ledger.claim_deliveries("pacs", NOON + LEASE, LEASE)
    assert [each.fence for each in again] == [2, 2]
    assert not ledger.delivered(lost[0], NOON + LEASE)
    assert not ledger.not_delivered(lost[0], NOON + LEASE, "no", None)
    assert ledger.delivered(again[0], NOON + LEASE)


def test_a_refused_delivery_parks_the_job_and_hurts_no_other_destination(ledger: SqlLedger) -> None:
    """A person must look, and meanwhile the others get their objects."""
    job = delivering(ledger, "pacs", "viewer")
    (seg, sr) = ledger.claim_deliveries("pacs", NOON, LEASE)
    assert ledger.not_delivered(seg, NOON, "SOP class not supported", None)
    found = ledger.job(job.key)
    assert found is not None
    assert (found.stage, found.who) == (Stage.PARKED, Who.PERSON)
    assert "SOP class not supported" in found.note
    assert ledger.delivered(sr, NOON)
    for delivery in ledger.claim_deliveries("viewer", NOON, LEASE):
        assert ledger.delivered(delivery, NOON)
    assert stage_of(ledger, job) is Stage.PARKED
    assert ledger.claim_deliveries("pacs", NOON + DAY, LEASE) == []

    ledger.retry(found, NOON + HOUR)
    assert stage_of(ledger, job) is Stage.DELIVERING
    (again,) = ledger.claim_deliveries("pacs", NOON + HOUR, LEASE)
    assert (again.result.kind, again.attempts) == ("seg", 1)
    assert ledger.delivered(again, NOON + HOUR)
    assert stage_of(ledger, job) is Stage.DELIVERED


# people


def test_jobs_are_listed_newest_first(ledger: SqlLedger) -> None:
    """The console shows what is going on now, of the stages that were asked for."""
    keys = [listed(ledger, uid=f"1.{number}.1").key for number in (3, 4, 5)]
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert [job.key for job in ledger.jobs(limit=2)] == [keys[2], keys[1]]
    assert [job.key for job in ledger.jobs([Stage.INFERRING])] == [held.key]
    assert ledger.jobs()[0].inputs == ()


def test_a_job_is_found_by_the_beginning_of_its_key(ledger: SqlLedger) -> None:
    """Nobody types 64 digits; what is ambiguous, unknown or no key finds nothing."""
    job, other = listed(ledger, uid="1.3.1"), listed(ledger, uid="1.4.1")
    assert ledger.job(job.name) == job
    assert ledger.job(other.key) == other
    assert [ledger.job(name) for name in ("", "%", "_" * 12, "f" * 64)] == [None] * 4


@pytest.mark.parametrize("stage", [Stage.PARKED, Stage.REJECTED, Stage.QUARANTINED])
def test_a_person_can_send_a_job_to_work_again(ledger: SqlLedger, stage: Stage) -> None:
    """After a fix the job starts afresh from its inputs, with all its attempts."""
    job = listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.move(held, stage, NOON, note="broken", who=Who.PERSON)
    ledger.retry(job, NOON + HOUR)
    found = ledger.job(job.key)
    assert found is not None
    assert (found.stage, found.attempts, found.note, found.who) == (Stage.READY, 0, "", None)
    assert found.fence > held.fence
    assert len(ledger.claim(Stage.READY, NOON + HOUR, LEASE)) == 1


def test_a_job_at_work_cannot_be_retried(ledger: SqlLedger) -> None:
    """Retrying is for jobs that stopped; anything else would do the work twice."""
    job = listed(ledger)
    for wrong in (job, replace(job, key=JobKey("0" * 64))):
        with pytest.raises(IllegalMove):
            ledger.retry(wrong, NOON)


def test_a_person_can_end_the_pause_of_a_job(ledger: SqlLedger) -> None:
    """Whoever has mended the model does not wait for the next attempt, and it counts afresh."""
    listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.move(held, Stage.READY, NOON, note="weights", who=Who.OPERATOR, due_at=NOON + HOUR)
    ledger.retry(held, NOON + SECOND)
    found = ledger.job(held.key)
    assert found is not None
    assert (found.stage, found.attempts, found.note, found.who) == (Stage.READY, 0, "", None)
    assert len(ledger.claim(Stage.READY, NOON + SECOND, LEASE)) == 1


def test_a_person_can_end_the_pause_of_a_delivery(ledger: SqlLedger) -> None:
    """Whoever has started the archive again need not wait until the node asks it again."""
    job = delivering(ledger, "pacs")
    for delivery in ledger.claim_deliveries("pacs", NOON, LEASE):
        ledger.not_delivered(delivery, NOON, "no answer", NOON + HOUR)
    assert ledger.claim_deliveries("pacs", NOON + SECOND, LEASE) == []
    ledger.retry(job, NOON + SECOND)
    assert [each.attempts for each in ledger.claim_deliveries("pacs", NOON + SECOND, LEASE)] == [
        1,
        1,
    ]
    with pytest.raises(IllegalMove):
        ledger.retry(job, NOON + SECOND)


def test_a_name_that_several_jobs_share_finds_them_all(ledger: SqlLedger) -> None:
    """People are told between which jobs they have to choose, the newest first."""
    keys = [listed(ledger, uid=f"1.{number}.1").key for number in (3, 4, 5)]
    assert [job.key for job in ledger.jobs_called("", 2)] == [keys[2], keys[1]]
    assert [job.key for job in ledger.jobs_called(keys[0][:12], 2)] == [keys[0]]
    assert ledger.jobs_called("%", 2) == []


def test_the_time_line_tells_the_whole_story(ledger: SqlLedger) -> None:
    """From the first slice to the last delivery, in order, and why the series was complete."""
    series = arrived(ledger, 1)
    ledger.release([SERIES], NOON + SECOND, NOON + SECOND)
    (series,) = ledger.due_series(NOON + SECOND)
    job = job_for(series)
    ledger.complete(series, "released", [job], ["liver took it"], NOON + 2 * SECOND)
    held = encoding(ledger, NOON + 3 * SECOND)
    ledger.commit_results(held, results_of(held, ["seg"]), ["pacs"], NOON + 4 * SECOND)
    (delivery,) = ledger.claim_deliveries("pacs", NOON + 5 * SECOND, LEASE)
    ledger.not_delivered(delivery, NOON + 5 * SECOND, "no answer", NOON + 6 * SECOND)
    (delivery,) = ledger.claim_deliveries("pacs", NOON + 6 * SECOND, LEASE)
    ledger.delivered(delivery, NOON + 6 * SECOND)
    ledger.record([arrival(2)], NOON + HOUR, QUIET)
    ledger.record([arrival(2, content="edited")], NOON + HOUR, QUIET)
    line = ledger.time_line(job.key)
    assert [event.what for event in line] == [
        "series_opened", "association_released", "series_complete", "routing", "job_created",
        "job_inferring", "job_inferred", "job_encoding", "job_delivering",
        "delivery_postponed", "delivery_done", "job_delivered", "series_reopened",
        "instance_conflict",
    ]  # fmt: skip
    assert [event.detail for event in line][2:4] == ["released", "liver took it"]
    assert line[0].at == NOON
    assert line[0].fields == {"instances": "1", "sender": "CT1"}
    assert dict(line[10].fields) == {"destination": "pacs", "kind": "seg", "attempt": "2"}


def test_the_ledger_counts_what_it_holds(ledger: SqlLedger) -> None:
    """Metrics and the console agree because both ask here."""
    delivering(ledger, "pacs", uid="1.3.1")
    listed(ledger, uid="1.4.1")
    arrived(ledger, 1, 2, series="1.5.1", study="1.5")
    counts = ledger.counts()
    assert {name: number for name, number in counts.items() if number} == {
        "instances": 8, "series.open": 1, "series.complete": 2,
        "jobs.ready": 1, "jobs.delivering": 1, "deliveries.due": 2,
    }  # fmt: skip
    assert {f"jobs.{stage}" for stage in Stage} <= counts.keys()


# retention


def test_what_is_old_and_delivered_is_forgotten(ledger: SqlLedger, database: Database) -> None:
    """Study, job, results, waits and their bytes go together; only the tombstones stay."""
    job = delivered(ledger)
    unpaired = arrived(ledger, 1, series="1.2.9")
    ledger.complete(unpaired, "quiet", [], [], NOON, {"petct": NOON + DAY})
    blobs = {arrival(n).instance.sha256 for n in (1, 2, 3)} | {r.sha256 for r in results_of(job)}
    blobs.add(unpaired.instances[0].sha256)
    assert ledger.forget(NOON).studies == 0
    gone = ledger.forget(NOON + SECOND)
    assert (gone.studies, gone.instances, set(gone.blobs)) == (1, 4, blobs)
    assert ledger.study(STUDY).series == ()
    assert ledger.job(job.key) is None
    with database.reading() as connection:
        left = {
            t.name for t in tables.metadata.sorted_tables if connection.execute(select(t)).first()
        }
    assert left == {"own_uids", "audit_notes"}
    back = arrival(1, results_of(job)[0].series_instance_uid, "1.7")
    assert ledger.record([back], NOON + DAY, QUIET) == [Received.OURS]


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(None, id="an open series"),
        pytest.param(Stage.READY, id="a job that waits"),
        pytest.param(Stage.INFERRING, id="a job at work"),
        pytest.param(Stage.INFERRED, id="findings without objects"),
        pytest.param(Stage.DELIVERING, id="an open delivery"),
        pytest.param(Stage.PARKED, id="a job that needs a person"),
        pytest.param(Stage.QUARANTINED, id="a job in quarantine"),
    ],
)
def test_what_is_not_done_is_not_forgotten(ledger: SqlLedger, stage: Stage | None) -> None:
    """However old it is, nothing goes that somebody still waits for."""
    if stage is None:
        arrived(ledger, 1)
    elif stage is Stage.DELIVERING:
        delivering(ledger, "pacs")
    else:
        listed(ledger)
        if stage is not Stage.READY:
            (held,) = ledger.claim(Stage.READY, NOON, LEASE)
        if stage not in {Stage.READY, Stage.INFERRING}:
            ledger.move(held, stage, NOON)
    gone = ledger.forget(NOON + 365 * DAY)
    assert (gone.studies, gone.instances, gone.blobs) == (0, 0, ())


def test_a_prior_is_kept_while_a_job_looks_at_it(ledger: SqlLedger) -> None:
    """Last year's study does not go while this year's follow-up is at work on it."""
    prior = arrived(ledger, 1, series="1.3.1", study="1.3")
    ledger.complete(prior, "quiet", [], [], NOON)
    current = arrived(ledger, 1, series="1.4.1", study="1.4", now=NOON + DAY)
    ledger.complete(current, "quiet", [job_for(current, prior)], [], NOON + DAY)
    assert ledger.forget(NOON + HOUR).studies == 0
    held = encoding(ledger)
    ledger.commit_results(held, [], [], NOON)
    gone = ledger.forget(NOON + HOUR)
    assert (gone.studies, gone.blobs) == (1, ()), "the follow-up still names the prior's bytes"
    gone = ledger.forget(NOON + 2 * DAY)
    assert set(gone.blobs) == {current.instances[0].sha256, prior.instances[0].sha256}


def test_bytes_with_another_reader_stay(ledger: SqlLedger) -> None:
    """The same bytes may belong to two studies."""
    shared = sha("shared")
    for study in ("1.3", "1.4"):
        made = arrival(1, f"{study}.1", study)
        ledger.record([replace(made, instance=replace(made.instance, sha256=shared))], NOON, QUIET)
    for number, study in enumerate(("1.3", "1.4")):
        (series,) = ledger.study(StudyInstanceUID(study)).series
        ledger.complete(series, "quiet", [], [], NOON)
        gone = ledger.forget(NOON + HOUR)
        assert gone.blobs == ((), (shared,))[number]


def test_the_oldest_study_goes_first(ledger: SqlLedger) -> None:
    """Where the disk is full, what was looked at longest ago makes room."""
    for number, age in ((3, 1), (4, 3), (5, 2)):
        delivered(ledger, uid=f"1.{number}.1", now=NOON - age * HOUR)
    left = []
    for _ in range(3):
        assert ledger.forget(NOON, limit=1).studies == 1
        left.append(
            sorted(s for s in ("1.3", "1.4", "1.5") if ledger.study(StudyInstanceUID(s)).series)
        )
    assert left == [["1.3", "1.5"], ["1.3"], []]


def test_closed_quarantine_goes_with_the_next_retention(ledger: SqlLedger) -> None:
    """What a person has dealt with frees its room; what is open stays."""
    number = ledger.quarantine(sha("a"), "truncated", "CT1", NOON)
    ledger.quarantine(sha("b"), "truncated", "CT1", NOON)
    ledger.close_quarantine(number)
    assert ledger.forget(NOON).blobs == (sha("a"),)
    assert ledger.forget(NOON).blobs == ()
    assert len(ledger.quarantined()) == 1


def test_files_without_a_row_are_told_from_those_with_one(ledger: SqlLedger) -> None:
    """After a crash the store asks which of its files nobody knows."""
    job = delivered(ledger)
    ledger.quarantine(sha("aside"), "truncated", "CT1", NOON)
    known = [arrival(1).instance.sha256, results_of(job)[0].sha256, sha("aside")]
    strangers = [sha("stranger", number) for number in range(1200)]
    assert ledger.unread([*known, *strangers]) == sorted(strangers)


# everything


def test_no_time_without_a_zone_is_stored(ledger: SqlLedger) -> None:
    """Noon in one place is night in another; the ledger takes only moments."""
    with pytest.raises(Exception, match="without a zone"):
        ledger.record([arrival(1)], datetime(2026, 3, 1), QUIET)  # noqa: DTZ001


def test_a_moment_comes_back_in_utc(ledger: SqlLedger) -> None:
    """A node that moves its clock to summer time reads the same moments."""
    summer = NOON.astimezone(ZoneInfo("Europe/Berlin"))
    ledger.record([arrival(1)], summer + timedelta(microseconds=7), QUIET)
    (series,) = ledger.study(STUDY).series
    assert series.first_received == NOON + timedelta(microseconds=7)
    assert series.first_received.utcoffset() == timedelta(0)


def test_the_ledger_adds_no_patient(ledger: SqlLedger, database: Database) -> None:
    """Only the attributes that the receiver let through are kept, and in two columns only."""
    text = "ZZCANARY"
    ledger.record(
        [arrival(1, SeriesDescription=text), arrival(2, SeriesDescription=text)], NOON, QUIET
    )
    ledger.record([arrival(1, content="edited", SeriesDescription=text)], NOON, QUIET)
    (series,) = ledger.study(STUDY).series
    job = job_for(series)
    ledger.complete(series, "quiet", [job], ["liver took it"], NOON)
    held = encoding(ledger)
    ledger.commit_results(held, results_of(held), ["pacs"], NOON)
    with database.reading() as connection:
        found = {
            column.name
            for table in tables.metadata.sorted_tables
            for column in table.columns
            if any(text in str(value) for value in connection.scalars(select(column)))
        }
    assert found == {"attributes", "first_attributes"}
