"""What is offered on an association beside storage and verification."""

from dataclasses import dataclass

from dicom_ai_node.dimse.commands import (
    C_FIND_RQ,
    C_GET_RQ,
    C_MOVE_RQ,
    N_ACTION_RQ,
    N_EVENT_REPORT_RQ,
)
from dicom_ai_node.receive.committing import Committing
from dicom_ai_node.receive.enquiries import Enquiries

QUERIES = frozenset({C_FIND_RQ, C_GET_RQ, C_MOVE_RQ})
COMMITMENTS = frozenset({N_ACTION_RQ, N_EVENT_REPORT_RQ})


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`None` is not offered."""

    enquiries: Enquiries | None = None
    committing: Committing | None = None

    @property
    def take_data(self) -> frozenset[int]:
        """The requests that come with a data set in memory."""
        queries = frozenset() if self.enquiries is None else QUERIES
        return queries if self.committing is None else queries | COMMITMENTS
