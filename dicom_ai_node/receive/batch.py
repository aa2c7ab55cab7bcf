"""Group commit: one transaction for every instance that waits, so that one fsync serves many."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Lock, Thread

import structlog

from dicom_ai_node.domain.errors import NodeError, OutOfResources
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.domain.uids import SeriesInstanceUID

log = structlog.get_logger()

_Waiting = tuple[Arrival, "Future[Received]"]


class Batcher:
    """Hands arrivals of all associations of one process to `record`, as many at once as wait.

    While one batch is being committed the next one gathers, so nobody waits on purpose and a
    busy receiver needs far fewer transactions than it has instances.
    """

    def __init__(
        self, record: Callable[[Sequence[Arrival]], Sequence[Received]], max_batch: int = 256
    ) -> None:
        self._record = record
        self._max_batch = max_batch
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._door = Lock()
        self._is_closed = False
        self._writer = Thread(target=self._write, name="batcher", daemon=True)
        self._writer.start()

    def submit(self, arrival: Arrival) -> Received:
        """Return what the arrival turned out to be, after its batch has been committed.

        Raises
        ------
        OutOfResources
            If the batcher has been closed.
        Exception
            Whatever `record` raised for the batch.
        """
        return self.submit_all([arrival])[0]

    def submit_all(self, arrivals: Sequence[Arrival]) -> list[Received]:
        """Return what each arrival turned out to be, after their batches have been committed.

        Raises
        ------
        OutOfResources
            If the batcher has been closed.
        Exception
            Whatever `record` raised for a batch with one of them. Others may be recorded.
        """
        waiting: list[_Waiting] = [(arrival, Future()) for arrival in arrivals]
        with self._door:
            if self._is_closed:
                raise OutOfResources("the receiver is closing")
            for each in waiting:
                self._queue.put(each)
        return [outcome.result() for _, outcome in waiting]

    def close(self) -> None:
        """Commit what still waits and end the writer."""
        with self._door:
            if not self._is_closed:
                self._is_closed = True
                self._queue.put(None)
        self._writer.join()

    def _write(self) -> None:
        goes_on = True
        while goes_on:
            batch, goes_on = self._gather()
            if batch:
                self._commit(batch)

    def _gather(self) -> tuple[list[_Waiting], bool]:
        batch: list[_Waiting] = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) == self._max_batch:
                return batch, True
            try:
                item = self._queue.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            outcomes = self._record([arrival for arrival, _ in batch])
            answers = list(zip(batch, outcomes, strict=True))
        except Exception as error:  # noqa: BLE001 - raised again in every thread that waits
            for _, waiting in batch:
                waiting.set_exception(error)
            return
        for (_, waiting), outcome in answers:
            waiting.set_result(outcome)


REST_SECONDS = 0.25
"""How long ends of requests gather at least: each transaction keeps instances waiting."""


class Releases:
    """Notes the ends of many short requests at once. Nobody waits for it: it is only evidence."""

    def __init__(self, released: Callable[[Sequence[SeriesInstanceUID]], None]) -> None:
        self._released = released
        self._queue: SimpleQueue[Sequence[SeriesInstanceUID]] = SimpleQueue()
        Thread(target=self._note, name="releases", daemon=True).start()

    def __call__(self, series: Sequence[SeriesInstanceUID]) -> None:
        """Note soon that the request which brought `series` has ended in good order."""
        self._queue.put(series)

    def _note(self) -> None:
        while True:
            series = dict.fromkeys(self._queue.get())
            while not self._queue.empty():
                series.update(dict.fromkeys(self._queue.get()))
            try:
                self._released(tuple(series))
            except NodeError:
                # The series will settle by the clock instead.
                log.warning("release_not_noted", exc_info=True)
            except Exception:
                log.exception("bug")
            time.sleep(REST_SECONDS)
