"""Takes in short requests, all that wait together: one transaction and one wait for the disk.

A request of one small instance costs a server more in waking threads than in work. So one thread
does all there is to do for them: while it makes what has come durable, the next ones gather.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - one way to import
from queue import Empty, SimpleQueue
from threading import Thread

from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.domain.uids import Sha256  # noqa: TC001 - one way to import
from dicom_ai_node.receive.depot import AT_ONCE, Depot, Failed, Takings, became, failed
from dicom_ai_node.receive.desk import Counter
from dicom_ai_node.receive.incoming import Incoming
from dicom_ai_node.receive.part10 import Announced
from dicom_ai_node.receive.parts import Reading


class Short(Takings):
    """What one short request brings: spooled, and made durable together with that of others."""

    def __init__(self, depot: Depot, counter: Counter, study_instance_uid: str = "") -> None:
        super().__init__(depot, counter, study_instance_uid)
        self.landed: list[Arrival | Failed] = []
        self.spooled: dict[Path, Sha256] = {}

    def end(self, incoming: Incoming, announced: Announced) -> None:
        """Look at an instance; its file stays where it is."""
        landed = self._taken(self._counter.landed, incoming, announced)
        self.landed.append(landed)
        if isinstance(landed, Arrival):
            self.spooled[incoming.path] = landed.instance.sha256

    def fail(self, announced: Announced, error: NodeError) -> None:
        """Note what is no instance, in its place."""
        self.landed.append(failed(announced, error))


@dataclass(slots=True)
class _Request:
    """One request that waits; `trouble` is what was wrong with it after all that was right."""

    reading: Reading
    takings: Short
    body: bytes
    answered: "asyncio.Future[NodeError | None]"
    trouble: Exception | None = None

    def read(self, room: Callable[[], None]) -> None:
        """Take the body apart, if there is room for what is in it."""
        try:
            room()
            self.reading.finish(self.body)
        except Exception as trouble:  # noqa: BLE001 - raised again for whoever waits
            self.trouble = trouble
            self.reading.break_off()

    def answer(self) -> None:
        """Wake whoever waits, if he still does."""
        if self.answered.done():
            return
        if self.trouble is None or isinstance(self.trouble, NodeError):
            self.answered.set_result(self.trouble)
        else:
            self.answered.set_exception(self.trouble)


class ShortRequests:
    """One thread that takes in requests whose body is here as a whole."""

    def __init__(self, depot: Depot) -> None:
        self._depot = depot
        self._queue: SimpleQueue[_Request] = SimpleQueue()
        Thread(target=self._run, name="short", daemon=True).start()

    async def take(self, reading: Reading, takings: Short, body: bytes) -> NodeError | None:
        """Wait until all of a body is recorded; return what was wrong with its rest."""
        answered: asyncio.Future[NodeError | None] = asyncio.get_running_loop().create_future()
        self._queue.put(_Request(reading, takings, body, answered))
        return await answered

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            with suppress(Empty):
                while len(batch) < AT_ONCE:
                    batch.append(self._queue.get_nowait())
            try:
                self._take(batch)
            except Exception as bug:  # noqa: BLE001 - raised again in all that wait
                # What is recorded by then is there, and comes again as a duplicate.
                for request in batch:
                    request.trouble = bug
            loop = batch[0].answered.get_loop()
            with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
                loop.call_soon_threadsafe(_answer, batch)

    def _take(self, batch: Sequence[_Request]) -> None:
        for request in batch:
            request.read(self._depot.inbox.room)
        self._settle([request.takings for request in batch])
        for request in batch:
            if request.trouble is None:
                request.takings.release()

    def _settle(self, takings: Sequence[Short]) -> None:
        """Make everything durable and record it: all of it, or nothing."""
        arrivals = [each for one in takings for each in one.landed if isinstance(each, Arrival)]
        spooled = {path: digest for one in takings for path, digest in one.spooled.items()}

        def record(arrivals: Sequence[Arrival]) -> Sequence[Received]:
            self._depot.blobs.keep_all(spooled)
            return self._depot.record(arrivals)

        outcomes = iter(became(record, arrivals))
        for one in takings:
            one.note(one.landed, outcomes)


def _answer(batch: Sequence[_Request]) -> None:
    for request in batch:
        request.answer()
