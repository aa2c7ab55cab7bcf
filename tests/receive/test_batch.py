"""Many associations, one transaction."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.study import Arrival, Instance, Received
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_ai_node.receive.batch import Batcher, Releases


def _arrival(number: int) -> Arrival:
    instance = Instance(
        sop_instance_uid=SOPInstanceUID(f"1.2.{number}"),
        sop_class_uid=SOPClassUID("1.2"),
        series_instance_uid=SeriesInstanceUID("1.2.3"),
        study_instance_uid=StudyInstanceUID("1.2.3"),
        transfer_syntax_uid="1.2",
        sha256=Sha256("0" * 64),
        size_bytes=number,
        attributes={},
    )
    title = AETitle("CT1")
    return Arrival(instance=instance, calling_ae_title=title, called_ae_title=title, address="")


class _Slow:
    """Records one batch and then waits, so that others gather."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.began, self.go_on = Event(), Event()

    def __call__(self, arrivals: Sequence[Arrival]) -> Sequence[Received]:
        self.batches.append(len(arrivals))
        self.began.set()
        assert self.go_on.wait(10)
        odd = (Received.NEW, Received.DUPLICATE)
        return [odd[arrival.instance.size_bytes % 2] for arrival in arrivals]


@pytest.mark.parametrize(
    ("most", "batches"),
    [
        pytest.param(256, [1, 20], id="all that wait at once"),
        pytest.param(8, [1, 8, 8, 4], id="but no more than allowed"),
    ],
)
def test_what_waits_is_committed_together(most: int, batches: list[int]) -> None:
    """Arrivals gather while a transaction runs, and each hears its own outcome."""
    record = _Slow()
    batcher = Batcher(record, max_batch=most)
    with ThreadPoolExecutor(21) as pool:
        first = pool.submit(batcher.submit, _arrival(0))
        assert record.began.wait(10)
        rest = [pool.submit(batcher.submit, _arrival(number)) for number in range(1, 21)]
        while len(batcher._waiting) < 20:
            pass
        record.go_on.set()
        outcomes = [future.result() for future in (first, *rest)]
    batcher.close()
    assert record.batches == batches
    assert outcomes == [Received.NEW, Received.DUPLICATE] * 10 + [Received.NEW]


def test_an_error_reaches_everyone_in_the_batch_and_the_next_batch_goes_on() -> None:
    """Nobody is told success for a transaction that was rolled back."""
    outcomes: list[Exception | Received] = [OutOfResources("locked"), Received.NEW]

    def record(arrivals: Sequence[Arrival]) -> Sequence[Received]:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return [outcome] * len(arrivals)

    batcher = Batcher(record)
    with pytest.raises(OutOfResources, match="locked"):
        batcher.submit(_arrival(0))
    assert batcher.submit(_arrival(0)) is Received.NEW
    batcher.close()


def test_whoever_waits_for_a_thread_that_ends_hears_of_it() -> None:
    """Nobody waits for ever, and the next batch goes on."""
    record = _Slow()

    def ends(arrivals: Sequence[Arrival]) -> Sequence[Received]:
        record(arrivals)
        if len(record.batches) == 2:
            raise SystemExit
        return [Received.NEW] * len(arrivals)

    batcher = Batcher(ends)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher.submit, _arrival(0))
        assert record.began.wait(10)
        rest = [pool.submit(batcher.submit, _arrival(number)) for number in range(3)]
        while len(batcher._waiting) < 3:
            pass
        record.go_on.set()
        assert first.result(10) is Received.NEW
        assert [type(one.exception(10)) for one in rest] == [SystemExit] * 3
    assert batcher.submit(_arrival(0)) is Received.NEW
    batcher.close()


def test_an_answer_too_few_is_an_error_and_not_silence() -> None:
    """A ledger that forgets an arrival does not leave its sender waiting."""
    batcher = Batcher(lambda _: [])
    with pytest.raises(ValueError, match="shorter"):
        batcher.submit(_arrival(0))
    batcher.close()


def test_a_closed_batcher_says_try_again() -> None:
    """The sender repeats the instance when the node is back."""
    batcher = Batcher(lambda arrivals: [Received.NEW] * len(arrivals))
    batcher.close()
    batcher.close()
    with pytest.raises(OutOfResources):
        batcher.submit(_arrival(0))


def test_many_arrivals_of_one_request_share_a_transaction() -> None:
    """In order, and each with its own outcome."""
    batches: list[list[int]] = []

    def record(arrivals: Sequence[Arrival]) -> Sequence[Received]:
        batches.append([arrival.instance.size_bytes for arrival in arrivals])
        return [Received.CONFLICT if each == 3 else Received.NEW for each in batches[-1]]

    batcher = Batcher(record)
    outcomes = batcher.submit_all([_arrival(number) for number in range(300)])
    batcher.close()
    assert [number for number, what in enumerate(outcomes) if what is Received.CONFLICT] == [3]
    assert batches == [list(range(300))]


def test_the_ends_of_many_requests_are_noted_together() -> None:
    """Nobody waits for it, a ledger that is busy does no harm, and none is lost."""
    noted: list[tuple[str, ...]] = []
    go_on, done = Event(), Event()

    def released(series: Sequence[SeriesInstanceUID]) -> None:
        go_on.wait(10)
        noted.append(tuple(series))
        if len(noted) == 1:
            raise OutOfResources("busy")
        if len(noted) == 2:
            done.set()

    releases = Releases(released)
    releases([SeriesInstanceUID("1.0")])
    while not releases._queue.empty():
        pass
    for number in range(5):
        releases([SeriesInstanceUID(f"1.{number}"), SeriesInstanceUID("2.1")])
    go_on.set()
    assert done.wait(10)
    assert noted == [("1.0",), ("1.0", "2.1", "1.1", "1.2", "1.3", "1.4")]
