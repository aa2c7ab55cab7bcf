"""Takes the instances of one HTTP request to the disk and into the ledger, many at a time.

Each is made durable by one of a few threads, so that the fsyncs of a request are not waited for
one after the other, and they are recorded in groups: one transaction for many.
"""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from dicom_ai_node.dimse.commands import Status
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.ports import Blobs
from dicom_ai_node.domain.study import Arrival, Received
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    SOPInstanceUID,
    StudyInstanceUID,
    is_uid,
)
from dicom_ai_node.receive import desk
from dicom_ai_node.receive.contexts import TRANSFER_SYNTAXES, storage_classes
from dicom_ai_node.receive.incoming import TOO_LARGE, Incoming
from dicom_ai_node.receive.multipart import TooMuch
from dicom_ai_node.receive.part10 import Announced
from dicom_ai_node.receive.server import Limits

log = structlog.get_logger()

AT_ONCE = 128
"""Instances that are recorded in one transaction; at most twice as many are in our hands."""

TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
"""Referenced Transfer Syntax Not Supported, PS3.18 Annex I."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Depot:
    """Where instances go that come by HTTP, to the same inbox as those that come by DIMSE.

    Attributes
    ----------
    record
        Takes arrivals whose bytes are durable and returns, when they are recorded, what each
        turned out to be; in a transaction of their own.
    record_along
        The same, in one transaction with what others bring at this moment.
    limits
        Those of an association; a request is as one.
    """

    blobs: Blobs
    inbox: desk.Inbox
    called: AETitle
    record: Callable[[Sequence[Arrival]], Sequence[Received]]
    record_along: Callable[[Sequence[Arrival]], Sequence[Received]]
    limits: Limits

    def counter(self, sender: str, address: str) -> desk.Counter:
        """Return where the instances of one sender are taken in."""
        return desk.Counter(
            blobs=self.blobs,
            inbox=self.inbox,
            sender=AETitle(sender),
            called=self.called,
            address=address,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An instance that is here now; `warning` is a reason to look at it, or 0."""

    sop_class_uid: str
    sop_instance_uid: SOPInstanceUID
    series_instance_uid: SeriesInstanceUID
    study_instance_uid: StudyInstanceUID
    warning: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """An instance that is not here, PS3.18 Annex I: which one, why, and why in words."""

    announced: Announced
    reason: int
    comment: str
    http_status: int


class Takings(ABC):
    """What one request brings. Its methods are called from one thread at a time."""

    def __init__(self, depot: Depot, counter: desk.Counter, study_instance_uid: str = "") -> None:
        self.outcomes: list[Stored | Failed] = []
        self._depot = depot
        self._counter = counter
        self._study_instance_uid = study_instance_uid

    def spool(self) -> Path:
        """Return a new file for a part that is no instance yet; raise if there is no room."""
        self._depot.inbox.room()
        return self._depot.blobs.spool()

    @property
    def longest_bytes(self) -> int:
        """How long one instance may be."""
        return self._depot.limits.instance_bytes

    def begin(self, announced: Announced) -> Incoming:
        """Return where the data set goes that follows; it may be refused already."""
        incoming = Incoming(self.longest_bytes)
        if not (is_uid(announced.sop_class_uid) and is_uid(announced.sop_instance_uid)):
            incoming.refuse(Status.INVALID_OBJECT_INSTANCE, "no UID of class or instance announced")
        elif announced.sop_class_uid not in storage_classes():
            incoming.refuse(Status.SOP_CLASS_NOT_SUPPORTED, "this SOP class is not taken")
        elif announced.transfer_syntax_uid not in TRANSFER_SYNTAXES:
            incoming.refuse(TRANSFER_SYNTAX_NOT_SUPPORTED, "this transfer syntax is not taken")
        else:
            self._counter.open(incoming, announced)
        return incoming

    @abstractmethod
    def end(self, incoming: Incoming, announced: Announced) -> None:
        """Take in an instance whose data set has come in full."""

    @abstractmethod
    def fail(self, announced: Announced, error: NodeError) -> None:
        """Note something that is not an instance that we could take, or no instance at all."""

    def note(self, taken: Sequence[Arrival | Failed], became: Iterator[Stored | Failed]) -> None:
        """Note what has become of arrivals, in their order between what has failed before."""
        outcomes = [next(became) if isinstance(each, Arrival) else each for each in taken]
        self.outcomes += outcomes
        reasons = Counter(each.reason for each in outcomes if isinstance(each, Failed))
        for reason, instances in reasons.items():
            status, peer = f"0x{reason:04X}", self._counter.sender
            log.warning("instance_not_taken", peer=peer, status=status, instances=instances)

    def release(self) -> None:
        """Say that the request has ended in good order."""
        series = {
            each.series_instance_uid: None for each in self.outcomes if isinstance(each, Stored)
        }
        if not series:
            return
        try:
            self._depot.inbox.released(tuple(series))
        except NodeError:
            # The series will settle by the clock instead.
            log.warning("release_not_noted", exc_info=True)

    def _taken(
        self, take: Callable[[Incoming, Announced], Arrival], incoming: Incoming, said: Announced
    ) -> Arrival | Failed:
        """Return what `take` makes of an instance; where it fails, nothing is left of its file."""
        announced = replace(said, study_instance_uid=self._study_instance_uid)
        outcome: Arrival | Failed
        try:
            incoming.close()
            if incoming.refusal is None:
                return take(incoming, announced)
            outcome = _refused(announced, *incoming.refusal)
        except NodeError as error:
            outcome = failed(announced, error)
        except Exception:
            log.exception("instance_failed")
            outcome = _refused(announced, Status.PROCESSING_FAILURE, "a bug in the node")
        incoming.discard()
        return outcome


class Streamed(Takings):
    """What one request of any length brings: on its way to the disk while more is coming."""

    def __init__(
        self, depot: Depot, counter: desk.Counter, keepers: Executor, study_instance_uid: str = ""
    ) -> None:
        super().__init__(depot, counter, study_instance_uid)
        self._keepers = keepers
        self._waiting: deque[Future[Arrival | Failed]] = deque()
        self._latest: tuple[Incoming, Announced] | None = None

    def end(self, incoming: Incoming, announced: Announced) -> None:
        """Take in an instance; in one of several threads, if it is not the last one."""
        self._hand_on()
        self._latest = incoming, announced
        if len(self._waiting) >= 2 * AT_ONCE:
            self._settle(AT_ONCE)

    def fail(self, announced: Announced, error: NodeError) -> None:
        """Note what is no instance, in its place."""
        self._hand_on()
        self._waiting.append(_done(failed(announced, error)))

    def settle(self) -> None:
        """Wait until everything that has come is recorded, or is known not to be."""
        if self._latest is not None:
            # Here: this thread would only wait for another, which most requests do not need at all.
            latest, self._latest = self._latest, None
            self._waiting.append(_done(self._take(*latest)))
        while self._waiting:
            self._settle(min(AT_ONCE, len(self._waiting)))

    def _hand_on(self) -> None:
        """Let another thread take the instance that came before."""
        if self._latest is not None:
            latest, self._latest = self._latest, None
            self._waiting.append(self._keepers.submit(self._take, *latest))

    def _take(self, incoming: Incoming, announced: Announced) -> Arrival | Failed:
        """Make one instance durable."""
        return self._taken(self._counter.arrival, incoming, announced)

    def _settle(self, count: int) -> None:
        taken = [self._waiting.popleft().result() for _ in range(count)]
        arrivals = [each for each in taken if isinstance(each, Arrival)]
        self.note(taken, iter(became(self._depot.record_along, arrivals)))


def became(
    record: Callable[[Sequence[Arrival]], Sequence[Received]], arrivals: Sequence[Arrival]
) -> Sequence[Stored | Failed]:
    """Record arrivals and return what has become of each."""
    if not arrivals:
        return []
    try:
        received = record(arrivals)
    except NodeError as error:
        return [failed(_announced(each), error) for each in arrivals]
    except Exception:
        log.exception("instances_failed")
        why = (Status.PROCESSING_FAILURE, "a bug in the node")
        return [_refused(_announced(each), *why) for each in arrivals]
    return [_stored(*each) for each in zip(arrivals, received, strict=True)]


def _done(outcome: Arrival | Failed) -> Future[Arrival | Failed]:
    done: Future[Arrival | Failed] = Future()
    done.set_result(outcome)
    return done


def _stored(arrival: Arrival, received: Received) -> Stored:
    instance = arrival.instance
    return Stored(
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        study_instance_uid=instance.study_instance_uid,
        warning=Status.COERCION if received is Received.CONFLICT else 0,
    )


def failed(announced: Announced, error: NodeError) -> Failed:
    """Return what is told of an instance that an error has kept out."""
    return Failed(
        announced=announced,
        reason=error.dimse_status,
        comment=str(error),
        http_status=error.http_status,
    )


def _refused(announced: Announced, reason: int, comment: str) -> Failed:
    if comment == TOO_LARGE:
        return failed(announced, TooMuch(comment))
    is_passing = reason == 0xA700  # noqa: PLR2004 - out of resources
    return Failed(
        announced=announced,
        reason=reason,
        comment=comment,
        http_status=503 if is_passing else 409,
    )


def _announced(arrival: Arrival) -> Announced:
    return Announced(
        sop_class_uid=arrival.instance.sop_class_uid,
        sop_instance_uid=arrival.instance.sop_instance_uid,
    )
