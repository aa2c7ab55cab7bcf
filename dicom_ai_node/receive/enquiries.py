"""C-FIND, C-MOVE and C-GET as a provider, PS3.4 Annex C: what is answered, and when it ends.

The answers come from the `Outbox`; what is written to the wire, and what the peer says meanwhile,
is the business of a `Line`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import structlog

from dicom_ai_node.dimse.commands import C_FIND_RQ, C_MOVE_RQ, Command, Counts, Status
from dicom_ai_node.dimse.wire import Breach, PeerGone
from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.errors import NodeError, NotAuthorized, OutOfResources
from dicom_ai_node.domain.query_retrieve import Asked, Originator, Outcome, outcome_of
from dicom_ai_node.domain.uids import AETitle, SOPInstanceUID
from dicom_ai_node.receive.contexts import QUERY_RETRIEVE
from dicom_ai_node.receive.data_sets import check
from dicom_ai_node.receive.header import data_set_of
from dicom_ai_node.receive.negotiation import Accepted
from dicom_ai_node.receive.outbox import Outbox, Outcomes
from dicom_ai_node.receive.outgoing import data_set_in
from dicom_ai_node.receive.peers import May
from dicom_ai_node.receive.told import Told

log = structlog.get_logger()

MOST_SUB_OPERATIONS = 0xFFFF
"""Their numbers are US elements, PS3.7 Table 9.3-9."""

_NAMES = {C_FIND_RQ: "C-FIND", C_MOVE_RQ: "C-MOVE"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One response; `comment` names no patient, `data` is an encoded data set.

    `count` is that of the answers or objects so far, for the log.
    """

    status: int
    comment: str = ""
    counts: Counts | None = None
    data: bytes = b""
    count: int = 0


class Line(Protocol):
    """The association while it works on one command. Every method may end it by an exception."""

    def is_cancelled(self) -> bool:
        """Return whether a C-CANCEL has come by now."""

    def reply(self, reply: Reply) -> None:
        """Send a response."""

    def store(self, context: int, held: Held, data: Iterable[bytes]) -> int:
        """Send an object and return the status with which it was answered."""


class Enquiries:
    """Answers the questions of one association."""

    def __init__(self, outbox: Outbox, accepted: Accepted, address: str) -> None:
        self._outbox = outbox
        self._accepted = accepted
        self._told = Told(tell=outbox.told, ae_title=accepted.calling_ae_title, address=address)

    def answer(self, command: Command, context: int, identifier: bytes | None, line: Line) -> None:
        """Answer one command; `identifier` is its data set, `None` if that was too long.

        Raises
        ------
        PeerGone, Breach
            If the association is over.
        """
        try:
            last = self._work(command, context, identifier, line)
        except (PeerGone, Breach):
            raise
        except NodeError as error:
            last = Reply(status=_status_of(error, command), comment=str(error))
        except Exception:
            # The peer gets an answer whatever is wrong with us.
            log.exception("query_failed")
            last = Reply(status=Status.CANNOT_UNDERSTAND, comment="unable to process")
        log.info(
            "query_answered",
            what=_NAMES.get(command.field, "C-GET"),
            peer=self._accepted.calling_ae_title,
            status=f"0x{last.status:04X}",
            count=last.count,
        )
        line.reply(last)

    def _work(self, command: Command, context: int, identifier: bytes | None, line: Line) -> Reply:
        sop_class_uid, transfer_syntax_uid = self._accepted.contexts[context]
        root, field = QUERY_RETRIEVE.get(sop_class_uid, (None, None))
        if root is None or field != command.field or command.sop_class_uid != sop_class_uid:
            return Reply(status=Status.SOP_CLASS_NOT_SUPPORTED)
        if May.QUERY not in self._accepted.may:
            raise NotAuthorized("this AE title may not query here")
        if identifier is None:
            return Reply(status=Status.OUT_OF_RESOURCES, comment="the identifier is too long")
        check(identifier, transfer_syntax_uid)
        asked = Asked(
            root=root,
            identifier=identifier,
            transfer_syntax_uid=transfer_syntax_uid,
            is_relational=sop_class_uid in self._accepted.user.relational,
            joins_date_and_time=sop_class_uid in self._accepted.user.date_and_time,
            is_fuzzy=sop_class_uid in self._accepted.user.fuzzy,
        )
        if field == C_FIND_RQ:
            self._told.asked(sop_class_uid, transfer_syntax_uid, identifier)
            return self._find(asked, line)
        held = self._outbox.named(asked)
        if len(held) > MOST_SUB_OPERATIONS:
            return Reply(status=Status.CANNOT_COUNT, comment="too many instances at once")
        if field == C_MOVE_RQ:
            to = AETitle(command.move_destination)
            outcomes = self._outbox.move(to, held, self._originator(command))
        else:
            to = self._accepted.calling_ae_title
            outcomes = (self._sent(one, line) for one in held)
        self._told.leaves(held, to)
        status: int = Status.CANNOT_SEND
        try:
            last = self._carried_out(held, outcomes, line, transfer_syntax_uid)
            status = last.status
        finally:
            self._told.left(held, to, status)
        return last

    def _originator(self, command: Command) -> Originator:
        calling = self._accepted.calling_ae_title
        return Originator(ae_title=calling, message_id=command.message_id)

    def _find(self, asked: Asked, line: Line) -> Reply:
        count = 0
        for match in self._outbox.find(asked):
            if line.is_cancelled():
                return Reply(status=Status.CANCEL, count=count)
            if count == self._outbox.most_answers:
                comment = f"only the first {count} answers; ask for less"
                return Reply(status=Status.OUT_OF_RESOURCES, comment=comment, count=count)
            pending = Status.PENDING if match.is_complete else Status.PENDING_KEYS_IGNORED
            line.reply(Reply(status=pending, data=match.identifier))
            count += 1
        return Reply(status=Status.SUCCESS, count=count)

    def _carried_out(
        self, held: Sequence[Held], outcomes: Outcomes, line: Line, syntax: str
    ) -> Reply:
        """Tell how the sub-operations go on, and return the last response about them."""
        so_far: Counter[Outcome] = Counter()
        failed: list[SOPInstanceUID] = []
        with closing(outcomes):
            for remaining, one in zip(range(len(held), 0, -1), held, strict=True):
                if line.is_cancelled():
                    counts = _counts(so_far, remaining)
                    return self._last(Status.CANCEL, counts, failed, syntax)
                outcome = next(outcomes)
                so_far[outcome] += 1
                if outcome is Outcome.FAILED:
                    failed.append(one.sop_instance_uid)
                line.reply(Reply(status=Status.PENDING, counts=_counts(so_far, remaining - 1)))
        return self._last(_verdict(so_far), _counts(so_far, None), failed, syntax)

    def _last(
        self, status: Status, counts: Counts, failed: Sequence[SOPInstanceUID], syntax: str
    ) -> Reply:
        data = self._outbox.failed(failed, syntax) if failed else b""
        return Reply(status=status, counts=counts, data=data, count=counts.completed)

    def _sent(self, held: Held, line: Line) -> Outcome:
        """Send one object on the association on which it was asked for."""
        contexts = self._accepted.contexts_to_send(held.sop_class_uid)
        if not contexts:
            return Outcome.FAILED
        try:
            with self._outbox.file(held, contexts) as path:
                transfer_syntax_uid, data_set_at = data_set_of(path)
                data = data_set_in(path, data_set_at)
                return outcome_of(line.store(contexts[transfer_syntax_uid], held, data))
        except (NodeError, OSError):
            # It may have been forgotten since it was counted, or cannot be decoded here.
            log.warning("instance_not_sent", exc_info=True)
            return Outcome.FAILED


def _status_of(error: NodeError, command: Command) -> int:
    if isinstance(error, OutOfResources) and command.field != C_FIND_RQ:
        return Status.CANNOT_COUNT
    return error.dimse_status


def _verdict(so_far: Counter[Outcome]) -> Status:
    if so_far[Outcome.FAILED] and so_far[Outcome.FAILED] == so_far.total():
        return Status.CANNOT_SEND
    if so_far[Outcome.FAILED] or so_far[Outcome.WARNING]:
        return Status.SOME_FAILED
    return Status.SUCCESS


def _counts(so_far: Counter[Outcome], remaining: int | None) -> Counts:
    return Counts(
        remaining=remaining,
        completed=so_far[Outcome.COMPLETED],
        failed=so_far[Outcome.FAILED],
        warning=so_far[Outcome.WARNING],
    )
