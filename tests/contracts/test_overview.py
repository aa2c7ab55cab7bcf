"""What the console asks is answered alike by both databases, from real rows and from indexes."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import insert, text

from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.overview import EventFilter, JobFilter, Overview, Promised
from dicom_ai_node.domain.progress import HowFar, Phase, Progress
from dicom_ai_node.domain.reject import Who
from dicom_ai_node.domain.uids import StudyInstanceUID
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger import SqlLedger
from dicom_ai_node.store.overview import SqlOverview
from dicom_ai_node.store.promises import promised_studies
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
    sha,
)


@pytest.fixture
def overview(database: Database) -> Overview:
    """Return what the console asks."""
    return SqlOverview(database)


def test_the_pulse_grows_with_whatever_happens(ledger: SqlLedger, overview: Overview) -> None:
    """And stands still while nothing does."""
    before = overview.pulse()
    assert overview.pulse() == before
    arrived(ledger, 1, 2)
    after = overview.pulse()
    assert after.arrived == before.arrived + 2
    ledger.quarantine(sha("odd"), "cut off", "CT1", NOON)
    assert overview.pulse().put_aside == before.put_aside + 1
    listed(ledger, uid="1.3.1")
    assert overview.pulse().moved > after.moved


def test_the_pulse_tells_that_work_goes_on(ledger: SqlLedger, overview: Overview) -> None:
    """Without an event: how far a worker is, is no line of a time line."""
    job = listed(ledger)
    (held,) = ledger.claim(Stage.READY, NOON, LEASE)
    before = overview.pulse()
    told = HowFar(job.key, held.fence, Progress(Phase.RUNNING, 0.25))
    ledger.note_progress([told])
    after = overview.pulse()
    assert after.at_work != before.at_work
    assert replace(after, at_work=before.at_work) == before
    ledger.note_progress([told])
    assert overview.pulse() == after
    (one,) = overview.at_work()
    assert (one.job.doing, one.job.progress) == (Phase.RUNNING, 0.25)


def test_the_newest_study_comes_first_page_by_page(ledger: SqlLedger, overview: Overview) -> None:
    """A study is on one page only, even where a series came to it late."""
    arrived(ledger, 1, series="1.2.1", study="1.2", now=NOON)
    arrived(ledger, 1, series="1.3.1", study="1.3", now=NOON + MINUTE)
    arrived(ledger, 1, series="1.4.1", study="1.4", now=NOON + 2 * MINUTE)
    arrived(ledger, 1, 2, series="1.2.2", study="1.2", now=NOON + HOUR, Modality="PT")
    first = overview.studies(2)
    assert [one.study_instance_uid for one in first] == ["1.2", "1.4"]
    assert first[0].modalities == ("CT", "PT")
    assert (first[0].instances, first[0].is_open, first[0].senders) == (3, True, ("CT1",))
    rest = overview.studies(2, first[-1].first_received)
    assert [one.study_instance_uid for one in rest] == ["1.3"]
    assert list(overview.studies_called([StudyInstanceUID("1.4"), StudyInstanceUID("9")])) == [
        "1.4"
    ]


def test_what_we_made_ourselves_is_no_study(ledger: SqlLedger, overview: Overview) -> None:
    """A result that comes back is not listed as if somebody had sent it."""
    ledger.record([arrival(1, is_ours=True)], NOON, QUIET)
    assert overview.studies(10) == []
    assert overview.hourly(NOON - DAY) == {}


def test_series_are_counted_by_the_hour(ledger: SqlLedger, overview: Overview) -> None:
    """By when they began to arrive."""
    for number, minutes in enumerate((0, 10, 70)):
        arrived(ledger, 1, series=f"1.2.{number}", now=NOON + minutes * MINUTE)
    arrived(ledger, 1, series="1.2.9", now=NOON - 2 * DAY)
    assert overview.hourly(NOON - DAY) == {NOON: 2, NOON + HOUR: 1}


def test_a_study_tells_all_that_happened_to_it(ledger: SqlLedger, overview: Overview) -> None:
    """To its series and to its jobs, in order; nothing of another study."""
    done = delivered(ledger, uid="1.2.1")
    listed(ledger, uid="1.3.1")
    line = overview.study_events(StudyInstanceUID("1.2"))
    whats = [one.event.what for one in line]
    assert whats[0] == "series_opened"
    assert whats[-1] == "job_delivered"
    assert {one.job for one in line} == {None, done.key}
    (job,) = overview.study_jobs(StudyInstanceUID("1.2"))
    assert (job.key, job.stage, len(job.inputs)) == (done.key, Stage.DELIVERED, 3)
    assert overview.studies(1, NOON + HOUR)[0].stages in ({Stage.READY: 1}, {Stage.DELIVERED: 1})


def test_jobs_are_found_by_who_has_to_act(ledger: SqlLedger, overview: Overview) -> None:
    """By stage and by route, too; the next page begins where the last one ended."""
    for number in range(3):
        listed(ledger, uid=f"1.{number}.1", route="lung", now=NOON + number * SECOND)
    listed(ledger, uid="1.9.1", route="liver", now=NOON + HOUR)
    (claimed,) = ledger.claim(Stage.READY, NOON, LEASE)
    ledger.move(claimed, Stage.PARKED, NOON, note="odd", who=Who.OPERATOR)
    named = JobFilter(route="lung", limit=2)
    page = overview.jobs_listed(named)
    assert [one.job.stage for one in page] == [Stage.READY, Stage.READY]
    (last,) = overview.jobs_listed(replace(named, before=page[-1].number))
    assert last.job.stage is Stage.PARKED
    assert [one.job.key for one in overview.jobs_listed(JobFilter(who=Who.OPERATOR))] == [
        claimed.key
    ]
    assert overview.jobs_listed(JobFilter(who=Who.SENDER)) == []
    assert len(overview.jobs_listed(JobFilter(stages=(Stage.READY,)))) == 3
    assert overview.by_route()["lung"] == {Stage.READY: 2, Stage.PARKED: 1}
    assert overview.last_of_route("liver") == NOON + HOUR
    assert overview.last_of_route("none") is None


def test_it_shows_who_works_since_when(ledger: SqlLedger, overview: Overview) -> None:
    """And until when the lease runs."""
    listed(ledger)
    assert overview.at_work() == []
    ledger.claim(Stage.READY, NOON + MINUTE, LEASE)
    (one,) = overview.at_work()
    assert (one.since, one.lease_until) == (NOON + MINUTE, NOON + 2 * MINUTE)


def test_each_leg_is_timed(ledger: SqlLedger, overview: Overview) -> None:
    """Of jobs that have come to their end, from what the ledger noted on the way."""
    listed(ledger, now=NOON)
    (claimed,) = ledger.claim(Stage.READY, NOON + 5 * SECOND, LEASE)
    ledger.move(claimed, Stage.INFERRED, NOON + 15 * SECOND)
    (held,) = ledger.claim(Stage.INFERRED, NOON + 16 * SECOND, LEASE)
    ledger.commit_results(held, [], [], NOON + 18 * SECOND)
    assert overview.leg_seconds(10) == {
        "waiting": [5.0], "inferring": [10.0], "encoding": [3.0],
    }  # fmt: skip


def test_a_destination_says_how_it_does(ledger: SqlLedger, overview: Overview) -> None:
    """What waits for it, what it refused, and when it last took something."""
    delivered(ledger, uid="1.2.1", now=NOON)
    delivering(ledger, "pacs", uid="1.3.1", now=NOON + HOUR)
    first, second = ledger.claim_deliveries("pacs", NOON + HOUR, LEASE)
    ledger.not_delivered(first, NOON + HOUR, "0xA900", None)
    ledger.not_delivered(second, NOON + HOUR, "no answer", NOON + 2 * HOUR)
    seen = overview.destination("pacs")
    assert seen.states == {"done": 2, "parked": 1, "due": 1}
    brief = overview.destination("pacs", is_brief=True)
    assert brief == replace(seen, states={"parked": 1, "due": 1})
    assert (seen.last_done, seen.next_try) == (NOON, NOON + 2 * HOUR)
    assert seen.last_trouble in {"0xA900", "no answer"}
    assert overview.parked_for("pacs") == [first.result.job]
    assert overview.parked_for("elsewhere") == []
    silent = overview.destination("elsewhere")
    assert (silent.states, silent.last_done, silent.last_trouble) == ({}, None, "")


def test_events_are_found_by_time_kind_and_job(ledger: SqlLedger, overview: Overview) -> None:
    """Newest first."""
    job = listed(ledger, now=NOON)
    listed(ledger, uid="1.3.1", now=NOON + HOUR)
    assert [one.event.at for one in overview.events_listed(EventFilter(what="job_created"))] == [
        NOON + HOUR, NOON,
    ]  # fmt: skip
    late = EventFilter(since=NOON + MINUTE, until=NOON + DAY)
    assert {one.event.at for one in overview.events_listed(late)} == {NOON + HOUR}
    (mine,) = overview.events_listed(EventFilter(job=job.name))
    assert (mine.job, mine.event.what) == (job.key, "job_created")
    assert overview.events_listed(EventFilter(job="%")) == []
    newest = overview.events_listed(EventFilter(limit=1))
    assert overview.events_listed(EventFilter(limit=1, before=newest[0].number)) != newest


def test_the_quarantine_is_read_page_by_page(ledger: SqlLedger, overview: Overview) -> None:
    """Closed entries are still known by their number, until retention takes them."""
    numbers = [ledger.quarantine(sha(n), "cut off", "CT1", NOON) for n in range(3)]
    assert [one.number for one in overview.put_aside(2)] == numbers[:0:-1]
    assert [one.number for one in overview.put_aside(2, numbers[1])] == numbers[:1]
    ledger.close_quarantine(numbers[0])
    entry = overview.put_aside_as(numbers[0])
    assert entry is not None
    assert not entry.is_open
    assert overview.put_aside_as(10**6) is None


def test_what_goes_next_is_what_retention_would_take(ledger: SqlLedger, overview: Overview) -> None:
    """Delivered studies, oldest first; not what still waits for somebody."""
    delivered(ledger, uid="1.2.1", now=NOON)
    delivered(ledger, uid="1.3.1", now=NOON + HOUR)
    listed(ledger, uid="1.4.1", now=NOON)
    going = overview.going_next(NOON + DAY, 10)
    assert [(one.study_instance_uid, one.last_received) for one in going] == [
        ("1.2", NOON), ("1.3", NOON + HOUR),
    ]  # fmt: skip
    assert overview.held_bytes() == 9000


def test_what_stays_for_a_promise_alone_is_counted(
    ledger: SqlLedger, overview: Overview, database: Database
) -> None:
    """Not what waits for somebody besides, and not what has had its time; none of it goes next."""
    for number in (2, 3, 4):
        delivered(ledger, uid=f"1.{number}.1")
    listed(ledger, uid="1.5.1")
    delivered(ledger, uid="1.6.1", destination="archive")
    assert overview.promised(NOON + HOUR) == Promised(studies=0, first_until=None)
    until = {"1.2": 2, "1.3": 3, "1.4": 1, "1.5": 2, "1.6": 2}
    rows = [{"study_instance_uid": uid, "until": NOON + n * DAY} for uid, n in until.items()]
    with database.writing() as connection:
        connection.execute(insert(promised_studies), rows)
    now = NOON + DAY
    assert overview.promised(now, {"archive"}) == Promised(studies=2, first_until=NOON + 2 * DAY)
    going = overview.going_next(now, 10, {"archive"})
    assert [one.study_instance_uid for one in going] == ["1.4"]


def test_what_is_asked_every_second_reads_the_ends_of_indexes(
    ledger: SqlLedger, database: Database
) -> None:
    """SQLite says how it would search; a scan of a table would say SCAN without an index."""
    if database.read.dialect.name != "sqlite":
        pytest.skip("the planner of PostgreSQL scans small tables")
    with database.reading() as connection:
        for query in (
            "SELECT max(number) FROM events",
            "SELECT max(number) FROM instances",
            "SELECT study_instance_uid FROM series WHERE is_ours = 0 ORDER BY first_received DESC LIMIT 9",
            "SELECT created_at FROM jobs WHERE route = 'a' ORDER BY number DESC LIMIT 1",
            "SELECT max(done_at) FROM deliveries WHERE destination = 'pacs'",
            "SELECT * FROM events WHERE what = 'a' ORDER BY number DESC LIMIT 9",
            "SELECT * FROM events WHERE at >= 'a' AND at < 'b' ORDER BY number DESC LIMIT 9",
        ):
            plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
            assert not [step for step in plan if "SCAN" in step and "INDEX" not in step], plan


def test_the_newest_jobs_of_a_stage_are_not_found_by_sorting_all_of_it(database: Database) -> None:
    """An index has them in order."""
    if database.read.dialect.name != "sqlite":
        pytest.skip("the planner of PostgreSQL scans small tables")
    newest = "SELECT key FROM jobs WHERE stage = 'delivered' ORDER BY number DESC LIMIT 9"
    with database.reading() as connection:
        plan = [row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {newest}"))]
    assert not [step for step in plan if "TEMP B-TREE" in step], plan


def test_an_hour_later_nothing_is_lost(ledger: SqlLedger, overview: Overview) -> None:
    """A job under work whose claim was noted long ago is still shown with its beginning."""
    series = arrived(ledger, 1)
    job = job_for(series)
    ledger.complete(series, "quiet", [job], [], NOON)
    held = encoding(ledger, NOON)
    ledger.renew([held], NOON + HOUR, timedelta(minutes=1))
    (one,) = overview.at_work()
    assert (one.job.stage, one.since) == (Stage.ENCODING, NOON)
