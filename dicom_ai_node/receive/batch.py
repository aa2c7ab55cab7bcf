"""Group commit: one transaction for every instance that waits, so that one fsync serves many."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from queue import SimpleQueue
from threading import Condition, Lock, Thread

import structlog

from dicom_ai_node.domain.errors import NodeError, OutOfResources
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.domain.uids import SeriesInstanceUID

log = structlog.get_logger()


def _closed_lock() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


@dataclass(slots=True, eq=False)
class _Waiting:
    """What one thread brings, and what it will hear. `turn` opens when it has to go on."""

    arrivals: Sequence[Arrival]
    turn: Lock = field(default_factory=_closed_lock)
    outcomes: Sequence[Received] | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.outcomes is not None or self.error is not None


class Batcher:
    """Hands arrivals of all associations of one process to `record`, as many at once as wait.

    While one batch is being committed the next one gathers, so nobody waits on purpose and a
    busy receiver needs far fewer transactions than it has instances. Who finds nobody at it
    commits, then whoever waits longest: a thread for that would have to be woken for each batch.
    """

    def __init__(
        self, record: Callable[[Sequence[Arrival]], Sequence[Received]], max_batch: int = 256
    ) -> None:
        self._record = record
        self._max_batch = max_batch
        self._waiting: deque[_Waiting] = deque()
        self._changed = Condition()
        self._is_busy = self._is_closed = False

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

    def submit_all(self, arrivals: Sequence[Arrival]) -> Sequence[Received]:
        """Return what each arrival turned out to be, after they have been committed, all at once.

        Raises
        ------
        OutOfResources
            If the batcher has been closed.
        Exception
            Whatever `record` raised for the batch.
        """
        mine = _Waiting(arrivals)
        with self._changed:
            if self._is_closed:
                raise OutOfResources("the receiver is closing")
            self._waiting.append(mine)
            is_first = not self._is_busy
            self._is_busy = True
        if not is_first:
            mine.turn.acquire()
        if not mine.is_done:
            self._commit()
        if mine.error is not None:
            raise mine.error
        assert mine.outcomes is not None  # noqa: S101 - no error
        return mine.outcomes

    def close(self) -> None:
        """Take nothing more, and wait until what has come is committed."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._is_busy)

    def _commit(self) -> None:
        """Commit what waits, that of this thread before all, and let the next one go on."""
        with self._changed:
            batch = self._gather()
        try:
            self._record_all(batch)
        finally:
            with self._changed:
                if self._waiting:
                    self._waiting[0].turn.release()
                else:
                    self._is_busy = False
                    self._changed.notify_all()

    def _gather(self) -> list[_Waiting]:
        batch = [self._waiting.popleft()]
        count = len(batch[0].arrivals)
        while self._waiting and count + len(self._waiting[0].arrivals) <= self._max_batch:
            batch.append(self._waiting.popleft())
            count += len(batch[-1].arrivals)
        return batch

    def _record_all(self, batch: Sequence[_Waiting]) -> None:
        arrivals = [arrival for each in batch for arrival in each.arrivals]
        try:
            answers = list(zip(arrivals, self._record(arrivals), strict=True))
        except BaseException as error:  # noqa: BLE001 - raised again in every thread that waits
            for each in batch:
                each.error = error
        else:
            outcomes = iter(outcome for _, outcome in answers)
            for each in batch:
                each.outcomes = list(islice(outcomes, len(each.arrivals)))
        for each in batch[1:]:
            each.turn.release()


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
