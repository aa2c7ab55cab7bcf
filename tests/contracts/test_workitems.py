"""The worklist follows the jobs, takes workitems of others and tells everybody, in any database."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dicom_ai_node.domain.archive import Key
from dicom_ai_node.domain.errors import IllegalMove
from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.json_model import code_item, data_set, items, merged, tag_of, text
from dicom_ai_node.domain.model import Golden, Grid, Intensity, ModelFacts, Scaling, Sees
from dicom_ai_node.domain.progress import HowFar, Phase, Progress
from dicom_ai_node.domain.rule import Input, Priority, Route, one_of
from dicom_ai_node.domain.workitem import (
    ALREADY_CANCELED,
    ALREADY_COMPLETED,
    FILTERED_WORKLIST,
    WORKLIST,
    StepRefused,
    StepState,
    Why,
)
from dicom_ai_node.domain.workitem_of_job import Station, workitem_uid
from dicom_ai_node.domain.worklist import Search
from dicom_ai_node.route.plan import plan
from dicom_ai_node.store import workitem_watch
from dicom_ai_node.store.archive import SqlArchive
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.engines import Database, open_database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.workitems import SqlWorklist
from dicom_ai_node.wanted import Orders
from tests.store.made import (
    DAY,
    LEASE,
    MINUTE,
    NOON,
    SECOND,
    arrived,
    delivered,
    encoding,
    job_for,
    listed,
    results_of,
    sha,
    stage_of,
)
from tests.workitems import CLAIM, discontinued, order, performed, progress

STATION = Station(ae_title="AI_NODE", kinds={"liver": "segment"})
P, D, C = StepState.IN_PROGRESS, StepState.COMPLETED, StepState.CANCELED
UID = "1.2.3.1"


@pytest.fixture
def worklist(database: Database, tmp_path: Path) -> SqlWorklist:
    """Return an empty worklist."""
    archive = SqlArchive(database, FolderBlobs(tmp_path / "store"))
    return SqlWorklist(database, archive, STATION)


def key(path: str, value: str) -> Key:
    """Return a matching key; keywords are joined by dots."""
    return Key(path=tuple(tag_of(one) for one in path.split(".")), value=value)


def found(worklist: SqlWorklist, **keys: str) -> list[str]:
    """Return the UIDs of what matches."""
    asked = tuple(key(path.replace("__", "."), value) for path, value in keys.items())
    return [text(one, "SOPInstanceUID") for one in worklist.search(Search(keys=asked))]


def state(worklist: SqlWorklist, uid: str) -> str:
    """Return Procedure Step State."""
    return text(worklist.workitem(uid), "ProcedureStepState")


def heard(worklist: SqlWorklist, aetitle: str) -> list[str]:
    """Return what a subscriber was not told yet, as words, and tell it."""
    channel = worklist.open_channel(aetitle)
    reports = worklist.reports(aetitle, channel, 10_000)
    assert reports is not None
    worklist.told(aetitle, reports)
    return [_words(report.said) for report in reports]


def _words(said: Mapping[str, Any]) -> str:
    kinds = {"1": "state", "2": "cancel requested", "3": "progress", "5": "assigned"}
    kind = kinds[text(said, "EventTypeID")]
    return f"{kind} {text(said, 'ProcedureStepState')}".strip()


def refused(act: Callable[[], object]) -> Why:
    """Return why an act is refused."""
    with pytest.raises(StepRefused) as no:
        act()
    return no.value.why


def of(job: Job, turn: int = 0) -> str:
    """Return the UID of the workitem that a job is."""
    return workitem_uid(job.key, turn)


# jobs


def test_a_job_is_a_workitem_from_its_beginning_to_its_end(
    ledger: SqlLedger, worklist: SqlWorklist
) -> None:
    """With what goes in at first, and with what has come of it in the end."""
    job = listed(ledger)
    first = worklist.workitem(of(job))
    assert text(first, "ProcedureStepState") == "SCHEDULED"
    assert text(first, "ProcedureStepLabel") == "liver"
    (source,) = items(first, "InputInformationSequence")
    assert len(items(source, "ReferencedSOPSequence")) == 3
    assert text(items(source, "ReferencedSOPSequence")[0], "ReferencedSOPClassUID")
    held = encoding(ledger, NOON + MINUTE)
    second = worklist.workitem(of(job))
    assert text(second, "ProcedureStepState") == "IN PROGRESS"
    (so_far,) = items(second, "ProcedureStepProgressInformationSequence")
    assert text(so_far, "ProcedureStepProgressDescription") == "encoding"
    assert text(so_far, "ProcedureStepProgress") == "60"
    ledger.note_progress([HowFar(job.key, held.fence, Progress(Phase.ENCODING, 0.5))])
    for shown in (worklist.workitem(of(job)), *worklist.search(Search(keys=(), limit=9))):
        (so_far,) = items(shown, "ProcedureStepProgressInformationSequence")
        assert text(so_far, "ProcedureStepProgressDescription") == "encoding: encoding"
        assert text(so_far, "ProcedureStepProgress") == "70"
    ledger.commit_results(held, results_of(held), [], NOON + 2 * MINUTE)
    third = worklist.workitem(of(job))
    assert text(third, "ProcedureStepState") == "COMPLETED"
    (done,) = items(third, "UnifiedProcedureStepPerformedProcedureSequence")
    assert text(done, "PerformedProcedureStepStartDateTime").startswith("202603011201")
    assert text(done, "PerformedProcedureStepEndDateTime").startswith("202603011202")
    assert len(items(done, "OutputInformationSequence")) == 2
    assert found(worklist) == [of(job)]


@pytest.mark.parametrize(
    "stage", [Stage.REJECTED, Stage.PARKED, Stage.QUARANTINED], ids=["rejected", "parked", "lost"]
)
def test_a_job_that_stops_is_canceled_and_its_second_attempt_another_workitem(
    ledger: SqlLedger, worklist: SqlWorklist, stage: Stage
) -> None:
    """What has ended stays as it is, and the new one says what it replaces."""
    job = listed(ledger)
    (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.move(claimed, stage, NOON, note="GEO_MISSING_SLICE: one")
    assert state(worklist, of(job)) == "CANCELED"
    ledger.retry(job, NOON + MINUTE)
    assert state(worklist, of(job)) == "CANCELED"
    again = worklist.workitem(of(job, 1))
    assert text(again, "ProcedureStepState") == "SCHEDULED"
    (before,) = items(again, "ReplacedProcedureStepSequence")
    assert text(before, "ReferencedSOPInstanceUID") == of(job)
    held = encoding(ledger, NOON + 2 * MINUTE)
    ledger.commit_results(held, results_of(held), [], NOON + 3 * MINUTE)
    assert state(worklist, of(job, 1)) == "COMPLETED"
    assert found(worklist) == [of(job), of(job, 1)]


def test_an_attempt_that_is_repeated_does_not_go_back(
    ledger: SqlLedger, worklist: SqlWorklist
) -> None:
    """A workitem that has begun stays IN PROGRESS while its job waits for the next attempt."""
    job = listed(ledger)
    (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert state(worklist, of(job)) == "IN PROGRESS"
    ledger.move(claimed, Stage.READY, NOON, note="no room", due_at=NOON + MINUTE)
    assert state(worklist, of(job)) == "IN PROGRESS"


def test_a_job_that_a_newer_one_replaces(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """CANCELED if nothing of it was sent; what was COMPLETED stays so."""
    first = listed(ledger)
    more = arrived(ledger, 4, series="1.2.1", study="1.2", now=NOON + MINUTE)
    ledger.complete(more, "quiet", [job_for(more, created_at=NOON)], [], NOON)
    assert state(worklist, of(first)) == "CANCELED"
    second = delivered_again(ledger)
    assert state(worklist, of(second)) == "COMPLETED"
    most = arrived(ledger, 5, series="1.2.1", study="1.2", now=NOON + 2 * MINUTE)
    ledger.complete(most, "quiet", [job_for(most, created_at=NOON)], [], NOON)
    assert state(worklist, of(second)) == "COMPLETED"


def delivered_again(ledger: SqlLedger) -> Job:
    """Bring the only job that is ready to its end."""
    held = encoding(ledger)
    ledger.commit_results(held, results_of(held), [], NOON)
    return held


def test_nobody_else_performs_a_job(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """409 for a claim, for the end and for an update."""
    job = listed(ledger)
    assert refused(lambda: worklist.change_state(of(job), P, CLAIM, NOON)) is Why.OURS
    assert refused(lambda: worklist.update(of(job), progress(10), "", NOON)) is Why.OURS
    assert state(worklist, of(job)) == "SCHEDULED"


@pytest.mark.parametrize("legs", range(4), ids=["waiting", "at work", "inferred", "encoding"])
def test_a_job_of_which_nothing_is_sent_can_be_cancelled(
    ledger: SqlLedger, worklist: SqlWorklist, legs: int
) -> None:
    """What its worker still makes of it is dropped; a person can set it going again."""
    job = listed(ledger)
    claimed = brought(ledger, legs)
    assert worklist.request_cancel(of(job), data_set(), "RIS", NOON + MINUTE) == ""
    assert stage_of(ledger, job) is Stage.CANCELLED
    assert state(worklist, of(job)) == "CANCELED"
    if claimed is not None:
        assert not ledger.move(claimed, Stage.PARKED, NOON + MINUTE)
    assert ledger.claim(Stage.READY, NOON + MINUTE, LEASE) == []
    assert worklist.request_cancel(of(job), data_set(), "RIS", NOON) == ALREADY_CANCELED
    ledger.retry(job, NOON + 2 * MINUTE)
    assert stage_of(ledger, job) is Stage.READY
    assert state(worklist, of(job, 1)) == "SCHEDULED"


def brought(ledger: SqlLedger, legs: int) -> Job | None:
    """Bring the only job so many legs on; return it as the worker holds it."""
    if legs == 0:
        return None
    (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
    if legs == 1:
        return claimed
    ledger.move(claimed, Stage.INFERRED, NOON)
    return None if legs == 2 else ledger.claim(Stage.INFERRED, NOON, LEASE)[0]


def test_a_job_on_its_way_to_the_archive_goes_on(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """Half of its results may be there already: the performer chooses not to cancel."""
    listed(ledger)
    held = encoding(ledger)
    ledger.commit_results(held, results_of(held), ["pacs"], NOON)
    assert refused(lambda: worklist.request_cancel(of(held), {}, "RIS", NOON)) is Why.GOES_ON
    assert stage_of(ledger, held) is Stage.DELIVERING
    for delivery in ledger.claim_deliveries("pacs", NOON, LEASE):
        ledger.delivered(delivery, NOON)
    assert refused(lambda: worklist.request_cancel(of(held), {}, "RIS", NOON)) is Why.COMPLETED
    with pytest.raises(IllegalMove):
        ledger.cancel(held, "too late", NOON)


def test_many_jobs_are_entered_by_several_at_once(
    ledger: SqlLedger, worklist: SqlWorklist, url: str, tmp_path: Path
) -> None:
    """Each once, whoever looks."""
    jobs = [listed(ledger, uid=f"1.{number}.1") for number in range(2, 130)]
    blobs = FolderBlobs(tmp_path / "store")

    def look() -> None:
        database = open_database(url)
        SqlWorklist(database, SqlArchive(database, blobs), STATION).catch_up()
        database.close()

    several = [threading.Thread(target=look) for _ in range(3)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    listed_uids = [text(one, "SOPInstanceUID") for one in worklist.search(Search(limit=1000))]
    assert sorted(listed_uids) == sorted(of(job) for job in jobs)


# what others create


def test_a_workitem_of_somebody_else_lives_its_life(worklist: SqlWorklist) -> None:
    """Created, found, claimed, worked on, completed; its Transaction UID nobody hears."""
    assert not worklist.create(UID, order(), NOON)
    assert found(worklist, ProcedureStepState="SCHEDULED", WorklistLabel="readers") == [UID]
    assert worklist.change_state(UID, P, CLAIM, NOON) == ""
    assert refused(lambda: worklist.change_state(UID, D, CLAIM, NOON)) is Why.NOT_FIT_FOR_END
    worklist.update(UID, merged(progress(50), performed()), CLAIM, NOON)
    assert worklist.change_state(UID, D, CLAIM, NOON) == ""
    over = worklist.workitem(UID)
    assert text(over, "ProcedureStepState") == "COMPLETED"
    assert tag_of("TransactionUID") not in over
    assert CLAIM not in str(over)
    assert worklist.change_state(UID, D, CLAIM, NOON) == ALREADY_COMPLETED
    assert refused(lambda: worklist.update(UID, progress(1), CLAIM, NOON)) is Why.MAY_NOT_UPDATE


def test_a_uid_is_taken_once(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """By others or by a job."""
    worklist.create(UID, order(), NOON)
    assert refused(lambda: worklist.create(UID, order(), NOON)) is Why.THERE_ALREADY
    job = listed(ledger)
    assert refused(lambda: worklist.create(of(job), order(), NOON)) is Why.THERE_ALREADY


def test_of_two_that_claim_at_once_one_gets_it(
    worklist: SqlWorklist, url: str, tmp_path: Path
) -> None:
    """The other hears that somebody has it, and only the first can go on."""
    worklist.create(UID, order(), NOON)
    start, outcomes = threading.Barrier(4), []

    def claim(number: int) -> None:
        database = open_database(url)
        archive = SqlArchive(database, FolderBlobs(tmp_path / "store"))
        mine = SqlWorklist(database, archive, STATION)
        start.wait()
        try:
            mine.change_state(UID, P, f"1.2.{number}", NOON)
            outcomes.append((number, None))
        except StepRefused as no:
            outcomes.append((number, no.why))
        database.close()

    several = [threading.Thread(target=claim, args=(number,)) for number in range(4)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    ((winner, _),) = [one for one in outcomes if one[1] is None]
    assert [why for _, why in outcomes if why] == [Why.CLAIMED_BY_OTHERS] * 3
    worklist.update(UID, progress(5), f"1.2.{winner}", NOON)
    loser = f"1.2.{(winner + 1) % 4}"
    assert refused(lambda: worklist.update(UID, progress(6), loser, NOON)) is Why.OTHER_TRANSACTION


def test_what_nobody_has_claimed_is_cancelled_at_once(worklist: SqlWorklist) -> None:
    """With the reason of whoever asks, and all that CANCELED requires."""
    worklist.create(UID, order(), NOON)
    worklist.subscribe("WATCH", UID, [], has_lock=False)
    heard(worklist, "WATCH")
    why = data_set(ReasonForCancellation="ordered twice")
    assert worklist.request_cancel(UID, why, "RIS", NOON) == ""
    (item,) = items(worklist.workitem(UID), "ProcedureStepProgressInformationSequence")
    assert text(item, "ReasonForCancellation") == "ordered twice"
    assert text(item, "ProcedureStepCancellationDateTime")
    assert items(item, "ProcedureStepDiscontinuationReasonCodeSequence")
    assert heard(worklist, "WATCH") == [
        "cancel requested", "state IN PROGRESS", "state CANCELED",
    ]  # fmt: skip


def test_whoever_has_claimed_it_decides_about_a_request_to_cancel(worklist: SqlWorklist) -> None:
    """If they can hear of it; else the asker hears that nobody can."""
    worklist.create(UID, order(), NOON)
    worklist.change_state(UID, P, CLAIM, NOON)
    assert refused(lambda: worklist.request_cancel(UID, {}, "RIS", NOON)) is Why.UNREACHABLE
    worklist.subscribe("WS1", UID, [], has_lock=False)
    assert worklist.request_cancel(UID, {}, "RIS", NOON) == ""
    assert state(worklist, UID) == "IN PROGRESS"
    assert heard(worklist, "WS1") == ["state IN PROGRESS", "cancel requested"]
    worklist.update(UID, discontinued(), CLAIM, NOON)
    worklist.change_state(UID, C, CLAIM, NOON)
    assert state(worklist, UID) == "CANCELED"
    assert refused(lambda: worklist.change_state(UID, D, CLAIM, NOON)) is Why.MAY_NOT_CHANGE


def test_an_unknown_workitem_is_not_there(worklist: SqlWorklist) -> None:
    """Whatever is asked of it."""
    for ask in (
        lambda: worklist.workitem("1.9"),
        lambda: worklist.update("1.9", progress(1), CLAIM, NOON),
        lambda: worklist.change_state("1.9", P, CLAIM, NOON),
        lambda: worklist.request_cancel("1.9", {}, "RIS", NOON),
        lambda: worklist.subscribe("A", "1.9", [], has_lock=False),
    ):
        assert refused(ask) is Why.UNKNOWN


# search


def test_the_worklist_is_searched_by_any_attribute(
    ledger: SqlLedger, worklist: SqlWorklist
) -> None:
    """Of jobs and of others alike, inside of sequences too; page by page."""
    urgent = listed(ledger, priority=Priority.STAT)
    routine = listed(ledger, uid="1.3.1", route="heart")
    worklist.create(UID, order(), NOON)
    assert found(worklist) == [of(urgent), of(routine), UID]
    assert found(worklist, ScheduledProcedureStepPriority="HIGH") == [of(urgent)]
    assert found(worklist, ProcedureStepLabel="he*") == [of(routine)]
    assert found(worklist, StudyInstanceUID="1.3") == [of(routine)]
    assert found(worklist, PatientID="4711", PatientName="nemo*") == [UID]
    assert found(worklist, ScheduledWorkitemCodeSequence__CodeValue="110005") == [UID]
    assert found(worklist, InputInformationSequence__SeriesInstanceUID="1.3.1") == [of(routine)]
    assert found(worklist, ProcedureStepState="COMPLETED") == []
    page = worklist.search(Search(limit=1, offset=1))
    assert [text(one, "SOPInstanceUID") for one in page] == [of(routine)]


def test_a_long_worklist_is_read_to_its_end(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """Also what lies behind many that do not match."""
    for number in range(120):
        worklist.create(f"1.2.3.{number}", order(PatientID=str(number)), NOON)
    assert found(worklist, PatientID="119") == ["1.2.3.119"]
    everything = list(worklist.search(Search(limit=1000)))
    assert [text(one, "PatientID") for one in everything] == [str(number) for number in range(120)]


# subscriptions


def test_a_subscriber_hears_how_a_workitem_stands_and_what_becomes_of_it(
    ledger: SqlLedger, worklist: SqlWorklist
) -> None:
    """In order, every state, even if nobody has looked in between."""
    job = listed(ledger)
    worklist.subscribe("WATCH", of(job), [], has_lock=False)
    assert heard(worklist, "WATCH") == ["state SCHEDULED"]
    held = encoding(ledger)
    ledger.commit_results(held, results_of(held), [], NOON)
    assert heard(worklist, "WATCH") == ["state IN PROGRESS", "progress", "state COMPLETED"]
    assert heard(worklist, "WATCH") == []


def test_whoever_hears_of_all_hears_of_what_is_to_come(
    ledger: SqlLedger, worklist: SqlWorklist
) -> None:
    """Of jobs and of others; of what is there already only if it is to be kept."""
    before = listed(ledger)
    worklist.subscribe("WATCH", WORKLIST, [], has_lock=False)
    worklist.subscribe("KEEP", WORKLIST, [], has_lock=True)
    assert heard(worklist, "WATCH") == []
    assert heard(worklist, "KEEP") == ["state SCHEDULED"]
    listed(ledger, uid="1.3.1")
    worklist.create(UID, order(), NOON)
    told = ["state SCHEDULED", "assigned"] * 2
    assert heard(worklist, "WATCH") == heard(worklist, "KEEP") == told
    worklist.unsubscribe("WATCH", of(before))
    ledger.claim(Stage.READY, NOON, LEASE, 2)
    assert heard(worklist, "WATCH") == ["state IN PROGRESS", "progress"]
    assert heard(worklist, "KEEP") == ["state IN PROGRESS", "progress"] * 2


def test_a_filter_chooses_what_is_heard(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """Matched as in a search, by what is there and by what is to come."""
    listed(ledger)
    keys = [key("ProcedureStepLabel", "heart")]
    worklist.subscribe("WATCH", FILTERED_WORKLIST, keys, has_lock=False)
    assert heard(worklist, "WATCH") == []
    heart = listed(ledger, uid="1.3.1", route="heart")
    worklist.create(UID, order(), NOON)
    assert heard(worklist, "WATCH") == ["state SCHEDULED", "assigned"]
    worklist.subscribe("LATE", FILTERED_WORKLIST, keys, has_lock=False)
    assert heard(worklist, "LATE") == ["state SCHEDULED"]
    worklist.unsubscribe("LATE", of(heart))
    assert refused(lambda: worklist.unsubscribe("LATE", UID)) is Why.NO_SUBSCRIPTION


def test_a_subscription_can_be_suspended_and_ended(
    ledger: SqlLedger, worklist: SqlWorklist
) -> None:
    """Suspended, it hears of what it knows and of nothing new; ended, of nothing."""
    job = listed(ledger)
    worklist.subscribe("WATCH", WORKLIST, [], has_lock=False)
    worklist.suspend("WATCH", WORKLIST)
    worklist.create(UID, order(), NOON)
    ledger.claim(Stage.READY, NOON, LEASE)
    assert heard(worklist, "WATCH") == ["state IN PROGRESS", "progress"]
    assert refused(lambda: worklist.suspend("WATCH", WORKLIST)) is Why.NO_SUBSCRIPTION
    assert refused(lambda: worklist.suspend("WATCH", UID)) is Why.NOT_APPROPRIATE
    worklist.unsubscribe("WATCH", WORKLIST)
    assert refused(lambda: worklist.unsubscribe("WATCH", WORKLIST)) is Why.NO_SUBSCRIPTION
    worklist.request_cancel(of(job), {}, "RIS", NOON)
    worklist.create("1.2.3.2", order(), NOON)
    assert heard(worklist, "WATCH") == []


def test_a_slow_subscriber_loses_the_oldest_and_holds_up_nobody(
    worklist: SqlWorklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for one is bounded; the others hear everything."""
    monkeypatch.setattr(workitem_watch, "MOST_REPORTS", 5)
    worklist.create(UID, order(), NOON)
    worklist.change_state(UID, P, CLAIM, NOON)
    worklist.subscribe("SLOW", UID, [], has_lock=False)
    for percent in range(9):
        worklist.update(UID, progress(percent), CLAIM, NOON)
    channel = worklist.open_channel("SLOW")
    reports = worklist.reports("SLOW", channel, 100)
    assert reports is not None
    percents = [
        text(
            items(one.said, "ProcedureStepProgressInformationSequence")[0], "ProcedureStepProgress"
        )
        for one in reports
    ]
    assert percents == ["4", "5", "6", "7", "8"]


def test_subscribers_are_not_without_number(
    worklist: SqlWorklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who subscribes under ever new names does not fill the disk."""
    monkeypatch.setattr(workitem_watch, "MOST_SUBSCRIBERS", 2)
    for aetitle in ("A", "B", "A"):
        worklist.subscribe(aetitle, WORKLIST, [], has_lock=False)
    assert refused(lambda: worklist.subscribe("C", WORKLIST, [], has_lock=False)) is Why.FORBIDDEN


def test_the_newest_channel_gets_the_reports(worklist: SqlWorklist) -> None:
    """A connection that died unnoticed swallows nothing of what its successor should hear."""
    worklist.create(UID, order(), NOON)
    worklist.subscribe("WATCH", UID, [], has_lock=False)
    old = worklist.open_channel("WATCH")
    assert worklist.reports("WATCH", old, 10)
    new = worklist.open_channel("WATCH")
    assert worklist.reports("WATCH", old, 10) is None
    assert worklist.reports("WATCH", new, 10)


# retention


def forgotten(ledger: SqlLedger, now: datetime = NOON) -> int:
    """Let retention forget everything of yesterday."""
    return ledger.forget(now + DAY).studies


def test_with_its_study_goes_its_workitem(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """That it was is all that stays: 410, and nothing of the patient."""
    job = delivered(ledger)
    assert state(worklist, of(job)) == "COMPLETED"
    assert forgotten(ledger) == 1
    assert refused(lambda: worklist.workitem(of(job))) is Why.GONE
    assert found(worklist) == []


def test_a_deletion_lock_keeps_a_workitem(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """Until whoever wanted it has read it and lets it go."""
    job = delivered(ledger)
    worklist.subscribe("WATCH", of(job), [], has_lock=True)
    assert forgotten(ledger) == 1
    assert items(worklist.workitem(of(job)), "UnifiedProcedureStepPerformedProcedureSequence")
    worklist.unsubscribe("WATCH", of(job))
    assert refused(lambda: worklist.workitem(of(job))) is Why.GONE


def test_nobody_waits_for_a_job_that_is_gone(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """It had ended and was forgotten before anybody looked: no lock brings it back."""
    job = listed(ledger)
    worklist.subscribe("WATCH", of(job), [], has_lock=True)
    held = encoding(ledger)
    ledger.commit_results(held, results_of(held), [], NOON)
    assert forgotten(ledger) == 1
    assert refused(lambda: worklist.workitem(of(job))) is Why.GONE
    assert heard(worklist, "WATCH") == ["state SCHEDULED"]


def test_what_others_have_ended_is_forgotten_too(ledger: SqlLedger, worklist: SqlWorklist) -> None:
    """After as many days as a study; what nobody has ended stays."""
    worklist.create(UID, order(), NOON)
    worklist.create("1.2.3.2", order(), NOON)
    worklist.request_cancel(UID, {}, "RIS", NOON)
    ledger.forget(NOON - SECOND)
    assert state(worklist, UID) == "CANCELED"
    ledger.forget(NOON + timedelta(days=1))
    assert refused(lambda: worklist.workitem(UID)) is Why.GONE
    assert state(worklist, "1.2.3.2") == "SCHEDULED"


# what others ask of the node


def asking(series: str = "1.2.1", label: str = "liver", **changes: object) -> dict[str, Any]:
    """Return a workitem for this node: three slices of a series, by the route of that name."""
    references = [
        data_set(ReferencedSOPClassUID="1.2", ReferencedSOPInstanceUID=f"{series}.{number}")
        for number in (1, 2, 3)
    ]
    source = data_set(
        StudyInstanceUID=series.rpartition(".")[0],
        SeriesInstanceUID=series,
        ReferencedSOPSequence=references,
    )
    return order(
        ProcedureStepLabel=label,
        ScheduledProcedureStepPriority="HIGH",
        ScheduledStationNameCodeSequence=[code_item("AI_NODE", "99TEST", "the node")],
        InputInformationSequence=[source],
        **changes,
    )


@pytest.fixture
def asked(database: Database, ledger: SqlLedger, tmp_path: Path) -> SqlWorklist:
    """Return a worklist of a node that plans what is asked of it."""
    archive = SqlArchive(database, FolderBlobs(tmp_path / "store"))
    orders = Orders(ledger=ledger, routes=[LIVER], models=lambda: {"liver_ct": MODEL})
    return SqlWorklist(database, archive, STATION, orders.job)


LIVER = Route(
    name="liver",
    inputs=(Input(name="image", when={"Modality": one_of("CT")}),),
    run="segment",
    model="liver_ct",
    write=("segmentation",),
    to=(),
)
MODEL = ModelFacts(
    name="liver_ct", version="1", digest=sha("model"), folder=Path(), kind="segment",
    title="Liver", manufacturer="us", modality=("CT",), sees=Sees.SLICES,
    intensity=Intensity(scaling=Scaling.WINDOW), grid=Grid(), golden=Golden(file=""),
)  # fmt: skip


def test_a_workitem_for_the_node_becomes_a_job_at_once(
    ledger: SqlLedger, asked: SqlWorklist
) -> None:
    """Nobody waits for the series to be quiet: who calls it READY knows; IHE AIW-I, push."""
    arrived(ledger, 1, 2, 3)
    asked.subscribe("RIS", WORKLIST, [], has_lock=False)
    asked.create(UID, asking(), NOON)
    assert state(asked, UID) == "SCHEDULED"
    assert refused(lambda: asked.change_state(UID, P, CLAIM, NOON)) is Why.OURS
    (job,) = ledger.claim(Stage.READY, NOON, LEASE)
    assert (job.route, job.priority, len(job.inputs)) == ("liver", Priority.STAT, 3)
    ledger.move(job, Stage.INFERRED, NOON)
    (held,) = ledger.claim(Stage.INFERRED, NOON, LEASE)
    ledger.commit_results(held, results_of(held), [], NOON)
    over = asked.workitem(UID)
    assert text(over, "ProcedureStepState") == "COMPLETED"
    assert text(over, "PatientID") == "4711"
    (done,) = items(over, "UnifiedProcedureStepPerformedProcedureSequence")
    assert len(items(done, "OutputInformationSequence")) == 2
    assert found(asked) == [UID]
    assert heard(asked, "RIS") == [
        "state SCHEDULED", "assigned", "state IN PROGRESS", "progress", "state COMPLETED",
    ]  # fmt: skip


def test_what_is_asked_and_routed_is_done_once(ledger: SqlLedger, asked: SqlWorklist) -> None:
    """The job has the key that routing would have given it, and both workitems follow it."""
    series = arrived(ledger, 1, 2, 3)
    asked.create(UID, asking(), NOON)
    (job,) = ledger.jobs()
    study = ledger.study(series.study_instance_uid)
    planned = plan(study, series, [LIVER], {"liver_ct": MODEL}, NOON)
    ledger.complete(series, "quiet", planned.jobs, [], NOON)
    assert [one.key for one in ledger.jobs()] == [job.key]
    asked.create("1.2.3.2", asking(), NOON)
    delivered_again(ledger)
    asked.create("1.2.3.3", asking(), NOON)
    assert [state(asked, uid) for uid in found(asked)] == ["COMPLETED"] * 3
    assert len(ledger.jobs()) == 1


def test_a_workitem_waits_until_it_is_ready(ledger: SqlLedger, asked: SqlWorklist) -> None:
    """Its creator says when, and the node begins at once."""
    asked.create(UID, asking(InputReadinessState="INCOMPLETE"), NOON)
    assert ledger.jobs() == []
    ready = data_set(InputReadinessState="READY")
    assert refused(lambda: asked.update(UID, ready, "", NOON)) is Why.CANNOT_PERFORM
    arrived(ledger, 1, 2, 3)
    asked.update(UID, ready, "", NOON)
    assert [job.route for job in ledger.jobs()] == ["liver"]


@pytest.mark.parametrize(
    ("said", "why", "sentence"),
    [
        pytest.param(asking(label="heart"), Why.CANNOT_PERFORM, "no route", id="no such route"),
        pytest.param(
            asking(series="1.2.2"), Why.CANNOT_PERFORM, "does not take it", id="not for this route"
        ),
        pytest.param(
            asking(series="1.3.9"), Why.CANNOT_PERFORM, "3 of the instances", id="not here"
        ),
        pytest.param(
            merged(asking(), data_set(InputInformationSequence=[])), Why.BAD_VALUE, "one study",
            id="no inputs",
        ),
    ],
)  # fmt: skip
def test_what_the_node_cannot_do_it_does_not_take(
    ledger: SqlLedger, asked: SqlWorklist, said: dict[str, Any], why: Why, sentence: str
) -> None:
    """The creator hears why, and nothing is left in the list."""
    arrived(ledger, 1, 2, 3)
    arrived(ledger, 1, 2, 3, series="1.2.2", Modality="MR")
    with pytest.raises(StepRefused, match=sentence) as no:
        asked.create(UID, said, NOON)
    assert no.value.why is why
    assert found(asked) == []
    assert ledger.jobs() == []


def test_the_route_may_be_named_by_a_parameter(ledger: SqlLedger, asked: SqlWorklist) -> None:
    """As the node names it in its own workitems; the label is then free."""
    arrived(ledger, 1, 2, 3)
    parameter = data_set(
        ValueType="TEXT",
        ConceptNameCodeSequence=[code_item("route", "99DAIN", "Route")],
        TextValue="liver",
    )
    asked.create(
        UID, asking(label="for Monday", ScheduledProcessingParametersSequence=[parameter]), NOON
    )
    assert [job.route for job in ledger.jobs()] == ["liver"]


def test_a_job_that_was_asked_for_is_retried_as_another_workitem(
    ledger: SqlLedger, asked: SqlWorklist
) -> None:
    """Which says that it replaces the one that was asked for."""
    arrived(ledger, 1, 2, 3)
    asked.create(UID, asking(), NOON)
    (job,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.move(job, Stage.PARKED, NOON, note="no")
    assert state(asked, UID) == "CANCELED"
    ledger.retry(job, NOON)
    assert found(asked) == [UID, of(job, 1)]
    (before,) = items(asked.workitem(of(job, 1)), "ReplacedProcedureStepSequence")
    assert text(before, "ReferencedSOPInstanceUID") == UID
