"""Storage commitment over DIMSE, PS3.4 Annex J: asking, and telling those who have asked us."""

from collections.abc import Callable, Sequence
from threading import Event

import structlog
from pynetdicom import build_context, build_role, evt
from pynetdicom.presentation import PresentationContext

from dicom_ai_node.deliver.convert import PLAIN
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.reactor import events_let_in, let_reactor_wake
from dicom_ai_node.domain.commitment import Asked, Untold
from dicom_ai_node.domain.commitment_messages import (
    REQUEST,
    SOP_CLASS,
    SOP_INSTANCE,
    read_report,
    report,
    request,
)
from dicom_ai_node.domain.errors import OutOfResources, PeerRejected, PeerUnavailable, Refused
from dicom_ai_node.domain.proof import Report, Unproven

log = structlog.get_logger()

SHORT_WAIT_SECONDS = 2.0
"""How long an association stays open for the answer to a request."""

_SUCCESS, _INVALID_ARGUMENT = 0x0000, 0x0115
_NOT_NOW = frozenset({0x0110, 0x0213})
"""Processing failure and resource limitation, PS3.7 Annex C."""
_WARNINGS = frozenset({0x0001, 0x0107, 0x0116})
_NO = (
    "the operator of the destination: allow this node to ask for storage commitment, or here say"
    " `proof: query`"
)


class CommitmentProver:
    """Asks one application entity by N-ACTION; implements `domain.proof.Prover`.

    Parameters
    ----------
    hear
        Takes what it says on the same association; False if nobody has asked that.
    wait_seconds
        For that. Otherwise it says so to our own port.
    """

    def __init__(
        self, sender: DimseSender, name: str, hear: Callable[[Report], bool],
        wait_seconds: float = SHORT_WAIT_SECONDS,
    ) -> None:  # fmt: skip
        self._sender = sender
        self._name = name
        self._hear = hear
        self._wait_seconds = wait_seconds

    def ask(self, transaction_uid: str, unproven: Sequence[Unproven]) -> None:
        """Ask, and wait a little for the answer."""
        answered = Event()

        def reported(event: evt.Event) -> tuple[int, None]:
            try:
                said = read_report(event.event_information)
            except Refused:
                return _INVALID_ARGUMENT, None
            if not self._hear(said):
                log.warning("commitment_unknown", destination=self._name)
            if said.transaction_uid == transaction_uid:
                answered.set()
            return _SUCCESS, None

        asked = [Asked(one.sop_class_uid, one.sop_instance_uid) for one in unproven]
        handlers = [(evt.EVT_N_EVENT_REPORT, reported)]
        with (
            self._sender.associate([_context()], handlers=handlers) as association,
            events_let_in(association),
        ):
            let_reactor_wake(association)
            try:
                status, _ = association.send_n_action(
                    request(transaction_uid, asked), REQUEST, SOP_CLASS, SOP_INSTANCE
                )
            except RuntimeError as cause:  # pynetdicom: the association is gone
                raise PeerUnavailable(f"{self._name} broke off before it was asked") from cause
            self._judge(status.get("Status"))
            answered.wait(self._wait_seconds)

    def _judge(self, status: int | None) -> None:
        if status is None:
            raise PeerUnavailable(f"{self._name} broke off before it answered")
        said = f"{self._name} answered 0x{status:04X} to a request for storage commitment"
        if status in _NOT_NOW:
            raise OutOfResources(said)
        if status != _SUCCESS and status not in _WARNINGS and status >> 12 != 0xB:  # noqa: PLR2004 - PS3.7 C.3
            raise PeerRejected(f"{said}; {_NO}")


def tell(sender: DimseSender, untold: Untold) -> None:
    """Tell a peer what has become of its request, on an association of our own.

    Raises
    ------
    PeerUnavailable
        If it does not answer, or not with success.
    PeerRejected
        If it does not take such reports from us.
    """
    kind, information = report(untold.transaction_uid, untold.answer)
    role = build_role(SOP_CLASS, scu_role=False, scp_role=True)
    with sender.associate([_context()], roles=[role]) as association:
        let_reactor_wake(association)
        try:
            status, _ = association.send_n_event_report(information, kind, SOP_CLASS, SOP_INSTANCE)
        except (RuntimeError, ValueError) as cause:  # pynetdicom: it is gone, or keeps its role
            raise PeerUnavailable(f"{untold.ae_title} took no report") from cause
    if status.get("Status") != _SUCCESS:
        raise PeerUnavailable(f"{untold.ae_title} did not take the report")


def _context() -> PresentationContext:
    return build_context(SOP_CLASS, list(PLAIN))
