"""Short requests share a transaction and a wait for the disk, and nothing else."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import httpx
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.study import Received
from dicom_ai_node.receive.parts import InstanceParts
from dicom_ai_node.receive.short import Short, ShortRequests
from tests import phantoms
from tests.receive.conftest import quick_path  # noqa: F401 - fixtures
from tests.receive.webdesk import (
    WebNode,
    body,
    part10,
    start_web,  # noqa: F401 - fixtures
    web,  # noqa: F401
)


def images(count: int) -> list[Dataset]:
    """Return slices of a CT."""
    return list(phantoms.ct(slices=count, rows=16, columns=16))


@contextmanager
def gathered(web: WebNode, bodies: list[bytes]) -> Iterator[list[Future[httpx.Response]]]:  # noqa: F811
    """Send a first request that waits for the ledger, and let the others gather behind it."""
    lanes: list[ShortRequests] = []
    take = ShortRequests.take

    def seen(lane: ShortRequests, *request: Any) -> Any:  # noqa: ANN401 - as it is
        lanes.append(lane)
        return take(lane, *request)

    web.diary.may_record.clear()
    with (
        patch.object(ShortRequests, "take", seen),
        ThreadPoolExecutor(len(bodies) + 1) as clients,
    ):
        first = clients.submit(web.store, *images(1))
        assert web.sees(lambda: web.diary.batches == [1])
        others = [clients.submit(web.post, each) for each in bodies]
        assert web.sees(lambda: lanes[0]._queue.qsize() == len(bodies))
        yield [first, *others]


def test_what_waits_is_recorded_together(web: WebNode) -> None:  # noqa: F811
    """One transaction for all, and each hears of its own instances."""
    slices = images(6)
    bodies = [body(*map(part10, slices[at : at + 2])) for at in range(0, 6, 2)]
    with gathered(web, bodies) as answers:
        web.diary.may_record.set()
        said = [answer.result().json() for answer in answers[1:]]
    assert web.diary.batches == [1, 6]
    for at, answer in enumerate(said):
        named = [item["00081155"]["Value"][0] for item in answer["00081199"]["Value"]]
        assert named == [image.SOPInstanceUID for image in slices[2 * at : 2 * at + 2]]
    assert web.files("spool") == []
    assert len(web.files("blobs")) == 7


def test_one_that_is_broken_takes_nobody_along(web: WebNode) -> None:  # noqa: F811
    """What is wrong with one request is told to who sent it."""
    good, broken = body(part10(images(1)[0])), body(*map(part10, images(2)))[:-200]
    nonsense = body(b"no DICOM at all")
    with gathered(web, [good, broken, nonsense]) as answers:
        web.diary.may_record.set()
        statuses = [answer.result().status_code for answer in answers]
    assert statuses == [200, 200, 400, 409]
    assert web.diary.batches == [1, 2]  # with what came whole before the other one broke off
    assert web.files("spool") == []


def test_a_bug_met_by_one_leaves_the_others_alone(
    web: WebNode,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the thread goes on."""
    finish = InstanceParts.finish

    def fails_with_two(parts: InstanceParts) -> None:
        if len(parts._takings.landed) == 2:
            raise ZeroDivisionError
        finish(parts)

    monkeypatch.setattr(InstanceParts, "finish", fails_with_two)
    one, two = body(part10(images(1)[0])), body(*map(part10, images(2)))
    with gathered(web, [one, two]) as answers:
        web.diary.may_record.set()
        statuses = [answer.result().status_code for answer in answers]
    assert statuses == [200, 200, 500]
    assert web.store(*images(1)).status_code == 200


def test_a_ledger_that_cannot_answer_is_told_to_all(web: WebNode) -> None:  # noqa: F811
    """Nobody hears success for a transaction that was rolled back."""
    with gathered(web, [body(part10(images(1)[0])) for _ in range(3)]) as answers:
        web.diary.answer = OutOfResources("locked")
        web.diary.may_record.set()
        statuses = [answer.result().status_code for answer in answers]
    assert statuses == [503] * 4
    web.diary.answer = Received.NEW
    assert web.store(*images(1)).status_code == 200


def test_a_bug_met_by_all_is_told_to_all_and_the_thread_goes_on(
    web: WebNode,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for ever for a thread that has died."""

    def fails(_takings: Short) -> None:
        raise ZeroDivisionError

    with gathered(web, [body(part10(images(1)[0])) for _ in range(2)]) as answers:
        monkeypatch.setattr(Short, "release", fails)
        web.diary.may_record.set()
        statuses = [answer.result().status_code for answer in answers]
    assert statuses == [500] * 3
    monkeypatch.undo()
    assert web.store(*images(1)).status_code == 200
