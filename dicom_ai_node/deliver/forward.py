"""The sub-operations of a C-MOVE, PS3.4 C.4.2.2: what we hold goes to a third party."""

from collections.abc import Generator, Sequence

import structlog

from dicom_ai_node.deliver.dimse import DimseSender, batches, contexts_for
from dicom_ai_node.deliver.line import StoreLine
from dicom_ai_node.deliver.parcel import Parcel
from dicom_ai_node.domain.errors import NodeError, PeerUnavailable
from dicom_ai_node.domain.query_retrieve import Originator, Outcome, outcome_of

log = structlog.get_logger()


def forward(
    sender: DimseSender, parcels: Sequence[Parcel], originator: Originator
) -> Generator[Outcome, None, None]:
    """Send objects and yield, in their order, what became of each; closing ends the association.

    Whoever asked may ask again, so that nothing is repeated here: what is left when the
    destination falls silent has failed.
    """
    is_silent = False
    for batch in batches(parcels):
        left = len(batch)
        if not is_silent:
            try:
                with sender.line(contexts_for(batch)) as line:
                    for parcel in batch:
                        outcome = _sent(sender, line, parcel, originator)
                        left -= 1
                        yield outcome
            except PeerUnavailable:
                is_silent = True
                log.warning("destination_silent", exc_info=True)
            except NodeError:
                log.warning("destination_refuses", exc_info=True)
        yield from [Outcome.FAILED] * left


def _sent(sender: DimseSender, line: StoreLine, parcel: Parcel, originator: Originator) -> Outcome:
    """Send one object.

    Raises
    ------
    PeerUnavailable
        If the destination has gone.
    """
    try:
        status, _ = sender.sent(line, parcel, originator)
    except PeerUnavailable:
        raise
    except NodeError:
        log.warning("instance_not_sent", exc_info=True)
        return Outcome.FAILED
    if status is None:
        raise PeerUnavailable("the destination broke off before it answered")
    return outcome_of(status)
