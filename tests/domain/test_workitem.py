"""A workitem goes the ways of PS3.4 Table CC.1.1-2 and no other, with what each state requires."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.domain.job import Job, JobInput, Result, Stage
from dicom_ai_node.domain.json_model import (
    code_item,
    data_set,
    every_data_set,
    items,
    merged,
    tag_of,
    text,
)
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Priority
from dicom_ai_node.domain.uids import (
    JobKey,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    is_uid,
)
from dicom_ai_node.domain.workitem import (
    FINAL,
    UPS_PUSH,
    Lock,
    StepRefused,
    StepState,
    Why,
    after_change,
    check_update,
    way,
)
from dicom_ai_node.domain.workitem_events import (
    about_update,
    assigned,
    cancel_requested,
    state_report,
)
from dicom_ai_node.domain.workitem_of_job import (
    Done,
    Station,
    inputs,
    outputs,
    performed,
    scheduled,
    state_of,
    workitem_uid,
)
from dicom_ai_node.domain.workitem_rules import created, ended, updated
from tests.workitems import CLAIM, discontinued, order, progress, without
from tests.workitems import performed as has_performed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
S, P, D, C = StepState.SCHEDULED, StepState.IN_PROGRESS, StepState.COMPLETED, StepState.CANCELED
STATION = Station(ae_title="AI_NODE", kinds={"liver": "segment", "clean": "restore"})


def refusal(lock: Lock, to: StepState, transaction_uid: str) -> int:
    """Return the DIMSE status of a change of state, 0 for success and the warnings as they are."""
    try:
        _, warning = after_change(lock, to, transaction_uid)
    except StepRefused as no:
        return no.why.dimse_status
    return {"": 0, "CANCELED.": 0xB304, "COMPLETED.": 0xB306}[warning.rpartition(" ")[2]]


@pytest.mark.parametrize(
    ("to", "is_right", "statuses"),
    [
        pytest.param(P, True, (0, 0xC302, 0xC300, 0xC300), id="a claim"),
        pytest.param(P, False, (0xC301, 0xC301, 0xC301, 0xC301), id="a claim without its UID"),
        pytest.param(S, True, (0xC303, 0xC303, 0xC303, 0xC303), id="back to the beginning"),
        pytest.param(D, True, (0xC310, 0, 0xB306, 0xC300), id="the end"),
        pytest.param(D, False, (0xC301, 0xC301, 0xC301, 0xC301), id="the end by somebody else"),
        pytest.param(C, True, (0xC310, 0, 0xC300, 0xB304), id="giving up"),
        pytest.param(C, False, (0xC301, 0xC301, 0xC301, 0xC301), id="giving up by somebody else"),
    ],
)
def test_the_transition_table(to: StepState, is_right: bool, statuses: tuple[int, ...]) -> None:
    """Row by row as the standard has it, for SCHEDULED, IN PROGRESS, COMPLETED and CANCELED."""
    found = []
    for state in (S, P, D, C):
        lock = Lock(state=state, transaction_uid="" if state is S else CLAIM)
        # While nobody has claimed it, no UID is right but one that is new.
        wrong = "" if state is S else "1.2.3.4"
        found.append(refusal(lock, to, CLAIM if is_right else wrong))
    assert tuple(found) == statuses


def test_whoever_comes_second_hears_that_somebody_has_it() -> None:
    """409, unlike 400 for somebody who says another Transaction UID later on."""
    lock, warning = after_change(Lock(state=S), P, CLAIM)
    assert (lock, warning) == (Lock(state=P, transaction_uid=CLAIM), "")
    with pytest.raises(StepRefused, match="claimed already") as no:
        after_change(lock, P, "1.2.3.4")
    assert no.value.why.http_status == 409
    with pytest.raises(StepRefused, match="incorrect") as no:
        after_change(lock, D, "1.2.3.4")
    assert no.value.why.http_status == 400


@pytest.mark.parametrize(
    ("lock", "said", "why"),
    [
        pytest.param(Lock(state=S), CLAIM, Why.NOT_CLAIMED_FOR_UPDATE, id="claimed by nobody"),
        pytest.param(Lock(state=P, transaction_uid=CLAIM), "", Why.NO_TRANSACTION, id="no UID"),
        pytest.param(
            Lock(state=P, transaction_uid=CLAIM), "1.2", Why.OTHER_TRANSACTION, id="another UID"
        ),
        pytest.param(
            Lock(state=D, transaction_uid=CLAIM), CLAIM, Why.MAY_NOT_UPDATE, id="completed"
        ),
        pytest.param(
            Lock(state=C, transaction_uid=CLAIM), CLAIM, Why.MAY_NOT_UPDATE, id="canceled"
        ),
    ],
)
def test_an_update_needs_the_right_uid_at_the_right_time(lock: Lock, said: str, why: Why) -> None:
    """PS3.4 CC.2.6.3."""
    with pytest.raises(StepRefused) as no:
        check_update(lock, said)
    assert no.value.why is why
    check_update(Lock(state=S), "")
    check_update(Lock(state=P, transaction_uid=CLAIM), CLAIM)


@given(st.sampled_from(StepState), st.sampled_from(StepState))
def test_no_state_is_left_out_and_no_end_is_left(before: StepState, after: StepState) -> None:
    """A job may have ended before anybody looked; its subscribers hear of every state."""
    states = way(before, after)
    if before in FINAL or after is S:
        assert states == ()
    elif states:
        assert states[-1] is after
        assert (states[0] is P) == (before is S)


def test_a_workitem_is_created_as_it_was_sent() -> None:
    """With its UID, its SOP class and the time, which the sender need not say."""
    made, is_completed = created(order(), "1.2.3.1", NOW)
    assert not is_completed
    assert text(made, "SOPInstanceUID") == "1.2.3.1"
    assert text(made, "SOPClassUID") == UPS_PUSH
    assert text(made, "ScheduledProcedureStepModificationDateTime") == "20260301120000.000000+0000"
    assert text(made, "ProcedureStepLabel") == "read it"
    assert list(made) == sorted(made)


def test_what_may_be_empty_may_be_left_out() -> None:
    """The node says that it has added it."""
    made, is_completed = created(without(order(), tag_of("AdmissionID")), "1.2.3.1", NOW)
    assert is_completed
    assert made[tag_of("AdmissionID")] == {"vr": "LO"}


@pytest.mark.parametrize(
    ("said", "why", "sentence"),
    [
        pytest.param(
            without(order(), tag_of("ProcedureStepLabel")), Why.MISSING, "ProcedureStepLabel",
            id="without a label",
        ),
        pytest.param(
            order(ScheduledProcedureStepPriority=""), Why.MISSING, "Priority", id="without priority"
        ),
        pytest.param(
            order(ScheduledProcedureStepPriority="STAT"), Why.BAD_VALUE, "HIGH, LOW, MEDIUM",
            id="with a priority that there is not",
        ),
        pytest.param(
            order(InputReadinessState="SOON"), Why.BAD_VALUE, "READY", id="with odd readiness"
        ),
        pytest.param(
            order(ProcedureStepState="IN PROGRESS"), Why.NOT_SCHEDULED, "SCHEDULED",
            id="that somebody has begun",
        ),
        pytest.param(
            order(TransactionUID=CLAIM), Why.NOT_ALLOWED, "TransactionUID", id="with a lock"
        ),
        pytest.param(
            merged(order(), progress(10)), Why.NOT_ALLOWED, "must be empty", id="with progress"
        ),
        pytest.param(
            merged(order(), has_performed()), Why.NOT_ALLOWED, "must be empty", id="with results"
        ),
        pytest.param(
            order(SOPClassUID="1.2"), Why.BAD_VALUE, "SOPClassUID", id="of another SOP class"
        ),
        pytest.param(
            {**order(), "7FE00010": {"vr": "OW", "BulkDataURI": "http://x"}}, Why.NOT_ALLOWED,
            "bulk data", id="with pixels",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_created(said: dict[str, Any], why: Why, sentence: str) -> None:
    """Each refusal names the attribute."""
    with pytest.raises(StepRefused, match=sentence) as no:
        created(said, "1.2.3.1", NOW)
    assert no.value.why is why


@pytest.mark.parametrize(
    ("changes", "state", "sentence"),
    [
        pytest.param(data_set(PatientID="4712"), P, "PatientID", id="the patient"),
        pytest.param(data_set(ProcedureStepState="COMPLETED"), P, "State", id="the state"),
        pytest.param(data_set(ProcedureStepLabel=""), S, "must have a value", id="to nothing"),
        pytest.param(progress(10), S, "for whoever claims it", id="progress of nobody"),
        pytest.param({}, P, "nothing", id="nothing"),
        pytest.param(data_set(TransactionUID=CLAIM), P, "nothing", id="the lock alone"),
    ],
)
def test_what_cannot_be_set(changes: dict[str, Any], state: StepState, sentence: str) -> None:
    """What a step is for stays, and how it goes is for its performer to say."""
    with pytest.raises(StepRefused, match=sentence):
        updated(created(order(), "1.2.3.1", NOW)[0], changes, state, NOW)


def test_what_is_set_replaces_the_whole_element() -> None:
    """The Transaction UID beside it is no part of the workitem."""
    before, _ = created(order(), "1.2.3.1", NOW)
    after = updated(before, merged(progress(30), data_set(TransactionUID=CLAIM)), P, NOW)
    (item,) = items(after, "ProcedureStepProgressInformationSequence")
    assert text(item, "ProcedureStepProgress") == "30"
    assert tag_of("TransactionUID") not in after


@pytest.mark.parametrize(
    "missing",
    [
        "PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime",
        "PerformedProcedureStepEndDateTime", "PerformedWorkitemCodeSequence",
    ],
)  # fmt: skip
def test_nothing_is_completed_without_what_was_done(missing: str) -> None:
    """Table CC.2.5-3, final state P."""
    ready = merged(order(), has_performed())
    assert text(ended(ready, D, NOW), "ProcedureStepState") == "COMPLETED"
    with pytest.raises(StepRefused, match=missing):
        ended(merged(order(), has_performed(**{missing: ""})), D, NOW)
    with pytest.raises(StepRefused, match="must have one item"):
        ended(order(), D, NOW)


def test_nothing_is_completed_that_does_not_say_what_came_of_it() -> None:
    """Nothing may have come of it; then that is said by an empty sequence."""
    (item,) = items(has_performed(), "UnifiedProcedureStepPerformedProcedureSequence")
    silent = without(dict(item), tag_of("OutputInformationSequence"))
    with pytest.raises(StepRefused, match="OutputInformationSequence") as no:
        ended(data_set(UnifiedProcedureStepPerformedProcedureSequence=[silent]), D, NOW)
    assert no.value.why is Why.NOT_FIT_FOR_END


def test_nothing_is_canceled_without_a_reason() -> None:
    """The time of it the node adds, if the performer does not say it."""
    with pytest.raises(StepRefused, match="ProcedureStepDiscontinuationReasonCodeSequence"):
        ended(order(), C, NOW)
    over = ended(merged(order(), discontinued()), C, NOW)
    (item,) = items(over, "ProcedureStepProgressInformationSequence")
    assert text(item, "ProcedureStepCancellationDateTime") == "20260301120000.000000+0000"


def test_a_report_says_what_has_changed() -> None:
    """State, progress and assignment each have a report of their own, Table CC.2.4-1."""
    before, _ = created(order(), "1.2.3.1", NOW)
    station = data_set(ScheduledStationNameCodeSequence=[code_item("WS2", "99TEST", "Another")])
    ready = data_set(InputReadinessState="INCOMPLETE")
    after = merged(before, progress(10), station, ready)
    told = about_update("1.2.3.1", before, after)
    assert [text(one, "EventTypeID") for one in told] == ["1", "5", "3"]
    assert about_update("1.2.3.1", before, before) == []
    assert all(text(one, "AffectedSOPInstanceUID") == "1.2.3.1" for one in told)
    assert all(text(one, "AffectedSOPClassUID") == UPS_PUSH for one in told)
    assert text(told[0], "InputReadinessState") == "INCOMPLETE"


def test_a_report_of_the_end_says_why() -> None:
    """And a request for it says who asks, and only what belongs to such a request."""
    over = ended(merged(order(), discontinued()), C, NOW)
    assert tag_of("ProcedureStepDiscontinuationReasonCodeSequence") in state_report("1.2", over)
    asked = cancel_requested("1.2", merged(order(), data_set(ContactURI="tel:1")), "RIS")
    assert (text(asked, "RequestingAE"), text(asked, "ContactURI")) == ("RIS", "tel:1")
    assert tag_of("PatientName") not in asked
    assert assigned("1.2", {}) is None


# jobs


def job(stage: Stage = Stage.READY, **changes: Any) -> Job:  # noqa: ANN401
    """Return a job on two slices of one series and one of another."""
    sources = [("image", "1.2.9.1", 1), ("image", "1.2.9.1", 2), ("mask", "1.2.9.2", 3)]
    made = {
        "key": JobKey("ab" * 32),
        "route": "liver",
        "model": "liver_ct",
        "model_digest": Sha256("cd" * 32),
        "study_instance_uid": StudyInstanceUID("1.2.9"),
        "inputs": tuple(
            JobInput(name, SeriesInstanceUID(series), SOPInstanceUID(f"{series}.{n}"), Sha256("e"))
            for name, series, n in sources
        ),
        "priority": Priority.ROUTINE,
        "created_at": NOW,
        "stage": stage,
    }
    return Job(**{**made, **changes})


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_is_a_state(stage: Stage) -> None:
    """What moves no more by itself has ended, and what has ended moves no more."""
    ends = {
        Stage.DELIVERED: D, Stage.REJECTED: C, Stage.PARKED: C, Stage.QUARANTINED: C,
        Stage.SUPERSEDED: C, Stage.CANCELLED: C, Stage.READY: S,
    }  # fmt: skip
    assert state_of(job(stage)) is ends.get(stage, P)


def test_a_job_that_waits_for_its_next_attempt_has_begun() -> None:
    """Nobody sees it go backwards."""
    assert state_of(job(attempts=1)) is P


def test_a_job_says_what_it_is_for() -> None:
    """All that a workitem must have when it is created, of the patient what the study says."""
    study = data_set(
        PatientName="Nemo", PatientID="4711", StudyInstanceUID="1.2.9", AccessionNumber="A1"
    )
    made = scheduled(job(), "1.2.3.1", study, STATION)
    again, is_completed = created(without(made, tag_of("SOPClassUID")), "1.2.3.1", NOW)
    assert not is_completed
    assert again.keys() == made.keys()
    assert made[tag_of("PatientID")] == study[tag_of("PatientID")]
    assert text(items(made, "ReferencedRequestSequence")[0], "AccessionNumber") == "A1"
    parameters = items(made, "ScheduledProcessingParametersSequence")
    assert [text(one, "TextValue") for one in parameters] == ["liver", "liver_ct", "cd" * 32]


@pytest.mark.parametrize(
    ("priority", "said"), [(Priority.STAT, "HIGH"), (Priority.HIGH, "MEDIUM"), (Priority.ROUTINE, "LOW")]
)  # fmt: skip
def test_urgency_is_said_in_the_words_of_the_standard(priority: Priority, said: str) -> None:
    """PS3.3 C.30.1: HIGH is what is called STAT elsewhere."""
    made = scheduled(job(priority=priority), "1.2.3.1", {}, STATION)
    assert text(made, "ScheduledProcedureStepPriority") == said


@pytest.mark.parametrize(("route", "value"), [("liver", "110004"), ("clean", "110001")])
def test_a_route_says_what_it_does(route: str, value: str) -> None:
    """PS3.16 CID 9231: what finds is detection, what makes images is processing."""
    made = scheduled(job(route=route), "1.2.3.1", {}, STATION)
    assert text(items(made, "ScheduledWorkitemCodeSequence")[0], "CodeValue") == value


def test_what_goes_in_and_out_can_be_retrieved() -> None:
    """Series by series, each with the way to it."""
    result = Result(
        job=JobKey("ab" * 32), kind="segmentation", sop_instance_uid=SOPInstanceUID("2.25.7"),
        sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.66.4"),
        series_instance_uid=SeriesInstanceUID("2.25.6"), transfer_syntax_uid="1.2",
        sha256=Sha256("f"),
    )  # fmt: skip
    image, mask = inputs(job(), {"1.2.9.1.1": SOPClassUID("1.2.840.10008.5.1.4.1.1.2")})
    assert len(items(image, "ReferencedSOPSequence")) == 2
    assert text(items(image, "ReferencedSOPSequence")[0], "ReferencedSOPClassUID").endswith(".2")
    assert text(mask, "SeriesInstanceUID") == "1.2.9.2"
    (made,) = outputs(job(), [result])
    (url,) = items(made, "WADORSRetrievalSequence")
    assert text(url, "RetrieveURL") == "/studies/1.2.9/series/2.25.6"


def test_a_job_that_has_ended_meets_what_its_state_requires() -> None:
    """The same rules hold for the node as for anybody."""
    done = Done(began_at=NOW, now=NOW)
    before = scheduled(job(), "1.2.3.1", {}, STATION)
    over = merged(before, performed(job(Stage.DELIVERED), D, done, STATION))
    assert text(ended(over, D, NOW), "ProcedureStepState") == "COMPLETED"
    stopped = merged(before, performed(job(Stage.QUARANTINED), C, done, STATION))
    assert text(ended(stopped, C, NOW), "ProcedureStepState") == "CANCELED"


@pytest.mark.parametrize(
    ("stage", "note", "code"),
    [
        pytest.param(Stage.REJECTED, "GEO_MISSING_SLICE: a gap", "110523", id="a gap"),
        pytest.param(Stage.REJECTED, "PIX_TOO_LARGE: 9 GB", "110527", id="too large"),
        pytest.param(Stage.REJECTED, "odd", "110513", id="an unknown reason"),
        pytest.param(Stage.QUARANTINED, "lost", "110501", id="workers that died"),
        pytest.param(Stage.SUPERSEDED, "", "110528", id="a newer job"),
        pytest.param(Stage.PARKED, "no", "110513", id="a person must look"),
    ],
)
def test_why_a_job_has_stopped_is_said_by_a_code(stage: Stage, note: str, code: str) -> None:
    """PS3.16 CID 9300."""
    done = Done(began_at=NOW, now=NOW)
    made = performed(job(stage, note=note), C, done, STATION)
    (item,) = items(made, "ProcedureStepProgressInformationSequence")
    (reason,) = items(item, "ProcedureStepDiscontinuationReasonCodeSequence")
    assert text(reason, "CodeValue") == code
    assert text(reason, "CodeMeaning")


@pytest.mark.parametrize("code", list(RejectCode))
def test_every_reason_to_reject_has_a_meaning(code: RejectCode) -> None:
    """No rejection ends in a `KeyError`."""
    made = performed(
        job(Stage.REJECTED, note=f"{code.name}: why"), C, Done(began_at=NOW, now=NOW), STATION
    )
    reasons = [
        text(one, "CodeValue")
        for one in every_data_set(made)
        if text(one, "CodingSchemeDesignator") == "DCM"
    ]
    assert code.ups_reason in reasons


def test_the_uid_of_a_workitem_follows_from_its_job() -> None:
    """Whoever looks again finds the same; a second attempt by a person is another one."""
    first, second = (workitem_uid(JobKey("ab" * 32), turn) for turn in (0, 1))
    assert first == workitem_uid(JobKey("ab" * 32), 0) != second
    assert is_uid(first)
