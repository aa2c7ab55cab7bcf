"""Storage commitment on one association, PS3.4 Annex J: what peers ask of us, and tell us.

A request is persisted, answered, and its report sent when the peer has paused: whoever wants to
leave has left by then, and hears it on an association of ours.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from dicom_ai_node.dimse.commands import N_ACTION_RQ, Command, Status, report_request
from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.commitment import Asked
from dicom_ai_node.domain.commitment_messages import (
    REQUEST,
    SOP_CLASS,
    SOP_INSTANCE,
    read_report,
    read_request,
    report,
)
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.proof import Report
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.data_sets import decoded, encoded_in
from dicom_ai_node.receive.negotiation import Accepted
from dicom_ai_node.receive.peers import May

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notary:
    """Who keeps promises, and hears what others promise; called from many threads at once.

    All of these may raise a `NodeError`.

    Attributes
    ----------
    promise
        Returns what is kept and what is not, after that has been persisted.
    told
        Called with the Transaction UID of an answer that its asker has heard.
    left
        Called with those that were not heard before the association ended.
    hear
        Takes a report to a request of ours; False if we have made no such request.
    """

    promise: Callable[[str, Sequence[Asked], AETitle], Header]
    told: Callable[[str], None]
    left: Callable[[Collection[str]], None]
    hear: Callable[[Report], bool]


@dataclass(slots=True, kw_only=True)
class _Promise:
    """An answer on its way; `message_id` is that of its report, once it has been sent."""

    transaction_uid: str
    context: int
    answer: Header
    message_id: int | None = None


@dataclass(slots=True)
class Committing:
    """What is asked, answered and told on one association."""

    notary: Notary
    accepted: Accepted
    _promises: list[_Promise] = field(default_factory=list)
    _sent: int = 0
    _unanswered: int | None = None

    @property
    def has_news(self) -> bool:
        """Whether a report can be sent: one after the other has been answered, PS3.7 D.3.3.3."""
        return self._unanswered is None and any(one.message_id is None for one in self._promises)

    def answer(self, command: Command, context: int, data: bytes | None) -> tuple[int, str]:
        """Return status and comment for an N-ACTION or an N-EVENT-REPORT."""
        try:
            status, comment = self._answer(command, context, data)
        except NodeError as error:
            status, comment = Status.PROCESSING_FAILURE, str(error)
        except Exception:
            # The peer gets an answer whatever is wrong with us.
            log.exception("commitment_failed")
            status, comment = Status.PROCESSING_FAILURE, ""
        what = "N-ACTION" if command.field == N_ACTION_RQ else "N-EVENT-REPORT"
        peer = self.accepted.calling_ae_title
        log.info("commitment_answered", what=what, peer=peer, status=f"0x{status:04X}")
        return status, comment

    def _answer(self, command: Command, context: int, data: bytes | None) -> tuple[int, str]:
        sop_class_uid, syntax = self.accepted.contexts[context]
        if not sop_class_uid == command.sop_class_uid == SOP_CLASS:
            return Status.NO_SUCH_SOP_CLASS, "not the SOP class agreed upon"
        if command.sop_instance_uid != SOP_INSTANCE:
            return Status.NO_SUCH_OBJECT_INSTANCE, "there is one instance of this class"
        if data is None:
            return Status.RESOURCE_LIMITATION, "too many instances at once"
        if command.field == N_ACTION_RQ:
            return self._promise(command, context, data)
        if not self.notary.hear(read_report(decoded(data, syntax))):
            # Answered with success all the same: to say it again would help nobody.
            log.warning("commitment_unknown", peer=self.accepted.calling_ae_title)
        return Status.SUCCESS, ""

    def _promise(self, command: Command, context: int, data: bytes) -> tuple[int, str]:
        if May.STORE not in self.accepted.may:
            return Status.NOT_AUTHORIZED, "this AE title may not store here"
        if command.type_id != REQUEST:
            return Status.NO_SUCH_ACTION, "there is one action of this class"
        _, syntax = self.accepted.contexts[context]
        transaction_uid, asked = read_request(decoded(data, syntax))
        answer = self.notary.promise(transaction_uid, asked, self.accepted.calling_ae_title)
        self._promises.append(
            _Promise(transaction_uid=transaction_uid, context=context, answer=answer)
        )
        return Status.SUCCESS, ""

    def news(self) -> tuple[int, bytes, bytes]:
        """Return context, command and data set of the next report."""
        one = next(one for one in self._promises if one.message_id is None)
        self._sent += 1
        one.message_id = self._unanswered = self._sent & 0xFFFF
        _, syntax = self.accepted.contexts[one.context]
        kind, information = report(one.transaction_uid, one.answer)
        command = report_request(one.message_id, SOP_CLASS, SOP_INSTANCE, kind)
        return one.context, command, encoded_in(information, syntax)

    def told(self, command: Command) -> bool:
        """Take the response to a report of ours; return False if there was no such report."""
        if self._unanswered is None or command.responded_to != self._unanswered:
            return False
        self._unanswered = None
        if command.status == Status.SUCCESS:
            mine = next(it for it in self._promises if it.message_id == command.responded_to)
            self._promises.remove(mine)
            self._note(self.notary.told, mine.transaction_uid)
        return True

    def close(self) -> None:
        """Leave what was not heard to an association of ours."""
        if self._promises:
            self._note(self.notary.left, {one.transaction_uid for one in self._promises})

    @staticmethod
    def _note(note: Callable[..., None], what: object) -> None:
        try:
            note(what)
        except NodeError:
            # It is told again when its time comes; twice does no harm.
            log.warning("commitment_not_noted", exc_info=True)
