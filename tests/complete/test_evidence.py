"""When does a series count as complete, and what do we say about it?"""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from dicom_ai_node.complete.evidence import Complete, Patience, Wait, verdict
from dicom_ai_node.domain.study import Series
from tests.series import NOON, instance, series, slices

PATIENCE = Patience(
    quiet=timedelta(seconds=30),
    released_quiet=timedelta(seconds=5),
    longest=timedelta(seconds=300),
)
EVEN = slices([0, 2.5, 5, 7.5])
HOLE = slices([0, 2.5, 7.5, 10])
UNEVEN = slices([0, 1, 2.3, 3.9])
ANNOUNCED = slices([0, 1, 2, 3], ImagesInAcquisition="4", AcquisitionNumber="1")
TOO_FEW = slices([0, 1, 2, 3], ImagesInAcquisition="6", AcquisitionNumber="1")
MANY_ACQUISITIONS = slices([0, 1, 2, 3], ImagesInAcquisition="6")
RELATED = slices([0, 1, 2, 3], NumberOfSeriesRelatedInstances="6")
CINES = [instance(str(n), NumberOfFrames="30", ImagesInAcquisition="60", AcquisitionNumber="1") for n in range(2)]  # fmt: skip


def released(one: Series) -> Series:
    """Return the series as if its associations had ended in good order."""
    return replace(one, is_released=True)


@pytest.mark.parametrize(
    ("one", "quiet_seconds"),
    [
        pytest.param(series(EVEN), 30, id="silence alone takes long"),
        pytest.param(released(series(EVEN)), 5, id="a released association says that was all"),
        pytest.param(series(ANNOUNCED), 5, id="the announced number is there"),
        pytest.param(series(HOLE), 300, id="a slice is missing"),
        pytest.param(released(series(HOLE)), 300, id="a slice is missing although released"),
        pytest.param(released(series(TOO_FEW)), 300, id="fewer than announced"),
        pytest.param(released(series(RELATED)), 300, id="fewer than the series has"),
        pytest.param(released(series(UNEVEN)), 5, id="uneven gaps are no evidence"),
        pytest.param(series(MANY_ACQUISITIONS), 30, id="several acquisitions announce nothing"),
        pytest.param(released(series(CINES)), 5, id="frames are not counted as instances"),
        pytest.param(released(series([instance("us")])), 5, id="one image without a place"),
        pytest.param(
            series([*ANNOUNCED, *slices([4], ImagesInAcquisition="4", AcquisitionNumber="1")]),
            30,
            id="more than announced disproves the announcement",
        ),
    ],
)
def test_evidence_shortens_or_prolongs_the_wait(one: Series, quiet_seconds: int) -> None:
    """The series is complete exactly when its time is over, and not a second before."""
    end = NOON + timedelta(seconds=quiet_seconds)
    before = verdict(one, end - timedelta(seconds=1), PATIENCE)
    assert isinstance(before, Wait)
    assert isinstance(verdict(one, end, PATIENCE), Complete)
    asked_again = verdict(one, before.until, PATIENCE)
    if isinstance(asked_again, Wait):  # what is missing shows only when it has become quiet
        assert asked_again.until == end
        asked_again = verdict(one, asked_again.until, PATIENCE)
    assert isinstance(asked_again, Complete)


@pytest.mark.parametrize(
    ("heard_since", "quiet_seconds"),
    [
        pytest.param(-60, 30, id="listened all the time"),
        pytest.param(20, 50, id="was down for a while"),
        pytest.param(9999, 30, id="a clock that was set back stops nothing"),
    ],
)
def test_silence_of_a_node_that_was_down_is_no_silence(
    heard_since: int, quiet_seconds: int
) -> None:
    """What a sender could not send would else be taken for what it had not to send."""
    since, end = (NOON + timedelta(seconds=s) for s in (heard_since, quiet_seconds))
    early = verdict(series(EVEN), end - timedelta(seconds=1), PATIENCE, since)
    assert early == Wait(end, "more may follow; 4 instances so far")
    assert isinstance(verdict(series(EVEN), end, PATIENCE, since), Complete)


@pytest.mark.parametrize(
    ("one", "seconds", "because"),
    [
        pytest.param(
            series(EVEN),
            31,
            "nothing has arrived for 31 seconds; 4 instances, evenly spaced and without a gap",
            id="silence",
        ),
        pytest.param(
            released(series(UNEVEN)),
            5,
            "nothing has arrived for 5 seconds; every association ended in good order; "
            "4 instances, unevenly spaced, so that a gap would not show",
            id="uneven",
        ),
        pytest.param(
            series(ANNOUNCED),
            6,
            "nothing has arrived for 6 seconds; as many instances are here as the header "
            "announces; 4 instances, evenly spaced and without a gap",
            id="announced",
        ),
        pytest.param(
            series(HOLE),
            300,
            "gave up waiting although 1 slice is missing between evenly spaced ones: nothing has "
            "arrived for 300 seconds",
            id="a hole",
        ),
        pytest.param(
            released(series(slices([0, 1, 2, 5], NumberOfSeriesRelatedInstances="9"))),
            300,
            "gave up waiting although 2 slices are missing between evenly spaced ones and the "
            "header announces 9 instances and 4 came: nothing has arrived for 300 seconds; every "
            "association ended in good order",
            id="a hole and a number",
        ),
        pytest.param(
            released(series([instance("us")])),
            9,
            "nothing has arrived for 9 seconds; every association ended in good order; 1 instance",
            id="one image",
        ),
    ],
)
def test_the_reason_says_on_which_evidence(one: Series, seconds: int, because: str) -> None:
    """An operator reads why a series counted as complete, and what was missing."""
    assert verdict(one, NOON + timedelta(seconds=seconds), PATIENCE) == Complete(because)


def test_waiting_says_for_what() -> None:
    """While instances still come the number so far is told; later, what is missing."""
    early = verdict(series(EVEN), NOON + timedelta(seconds=1), PATIENCE)
    assert early == Wait(NOON + PATIENCE.quiet, "more may follow; 4 instances so far")
    late = verdict(series(HOLE), NOON + timedelta(seconds=31), PATIENCE)
    assert late == Wait(NOON + PATIENCE.longest, "1 slice is missing between evenly spaced ones")


def test_a_clock_that_was_set_back_only_prolongs_the_wait() -> None:
    """Otherwise a correction of the clock would close every open series at once."""
    answer = verdict(series(EVEN), NOON - timedelta(hours=1), PATIENCE)
    assert answer == Wait(NOON + PATIENCE.quiet, "more may follow; 4 instances so far")


def test_released_quiet_never_prolongs() -> None:
    """A modality with a very short quiet time keeps it."""
    short = replace(PATIENCE, quiet=timedelta(seconds=2))
    answer = verdict(released(series(EVEN)), NOON + timedelta(seconds=2), short)
    assert isinstance(answer, Complete)


@pytest.mark.parametrize("instances", [EVEN, HOLE, TOO_FEW, CINES], ids=["even", "hole", "few", "cine"])  # fmt: skip
@pytest.mark.parametrize("seconds", [0, 40, 400])
def test_no_reason_names_a_uid(instances: list, seconds: int) -> None:
    """Reasons go into time lines and to operators."""
    answer = verdict(series(instances), NOON + timedelta(seconds=seconds), PATIENCE)
    said = answer.because if isinstance(answer, Complete) else answer.why
    assert not re.search(r"\d+\.\d+\.\d+", said)
