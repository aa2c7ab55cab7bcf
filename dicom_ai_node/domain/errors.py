"""Every error that the node raises on purpose, and who has to act on it.

NodeError
├── ConfigError        the operator: ae_config.yaml or a model folder is wrong
├── Refused            the sender: we do not take this instance
│   ├── NotAuthorized
│   ├── NotStorable
│   ├── NotUnderstood
│   ├── NotAnswerable
│   └── UnknownDestination
├── Rejected           by its code: the series is stored, but this model cannot use it
├── TryAgain           nobody yet: the node repeats the leg by itself
│   ├── OutOfResources
│   ├── StillNeeded
│   └── PeerUnavailable
└── NeedsAttention     a person: the job is parked until someone looks
    ├── IllegalMove
    ├── PeerRejected
    ├── ModelUnusable
    └── TaskFailed
"""

from enum import StrEnum
from typing import ClassVar

from dicom_ai_node.domain.quality import ImageQuality
from dicom_ai_node.domain.reject import RejectCode, Who


class NodeError(Exception):
    """Base of all of them. A message names our own ids and DICOM keywords, never a patient."""

    dimse_status: ClassVar[int] = 0x0110  # Processing failure, PS3.7 Annex C
    http_status: ClassVar[int] = 500

    @property
    def who(self) -> Who:
        """Who has to act so that it goes on."""
        return Who.PERSON


class ConfigError(NodeError):
    """`ae_config.yaml` or a model folder cannot be used as it stands; one mistake a line."""

    @property
    def who(self) -> Who:
        """Return the operator."""
        return Who.OPERATOR


class Refused(NodeError):
    """The peer offers something that this node does not take."""

    dimse_status = 0xC000  # Cannot understand, PS3.4 B.2.3
    http_status = 400

    @property
    def who(self) -> Who:
        """Return the sender."""
        return Who.SENDER


class NotAuthorized(Refused):
    """The calling AE title or the address is not in `receive.accept_from`."""

    dimse_status = 0x0124  # Refused: not authorized, PS3.7 Annex C
    http_status = 403


class NotStorable(Refused):
    """The data set does not match its SOP class or its UIDs."""

    dimse_status = 0xA900  # Data set does not match SOP class, PS3.4 B.2.3
    http_status = 409


class NotUnderstood(Refused):
    """The data set cannot be read: truncated, nested without end, or not DICOM."""


class NotAnswerable(Refused):
    """The identifier of a query does not match its SOP class: a level or a key is missing."""

    dimse_status = 0xA900  # Identifier does not match SOP class, PS3.4 C.4.1.1.4


class UnknownDestination(Refused):
    """The destination of a C-MOVE is none of `destinations`."""

    dimse_status = 0xA801  # Refused: move destination unknown, PS3.4 C.4.2.1.5


class Rejected(NodeError):
    """The model cannot use its input. Nothing was computed and nothing is lost.

    `quality` is what was measured on the input, where that is the reason.
    """

    def __init__(self, code: RejectCode, detail: str, quality: ImageQuality | None = None) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.quality = quality

    def __str__(self) -> str:
        return f"{self.code.name}: {self.detail}"

    @property
    def who(self) -> Who:
        """Return who the code names."""
        return self.code.who


class TryAgain(NodeError):
    """The same leg may succeed later without anyone changing anything."""

    http_status = 503
    after_seconds: float | None = None
    """How long the other side asked us to wait, where it did."""

    @property
    def who(self) -> Who:
        """Return nobody yet."""
        return Who.NOBODY_YET


class OutOfResources(TryAgain):
    """No room on the disk, in the ledger or on the GPU right now."""

    dimse_status = 0xA700  # Refused: out of resources, PS3.4 B.2.3


class StillNeeded(TryAgain):
    """What somebody wants to delete is arriving, or is being worked on."""

    http_status = 409


class PeerUnavailable(TryAgain):
    """The destination does not answer."""


class NeedsAttention(NodeError):
    """Repeating would give the same outcome, so a person must look."""


class IllegalMove(NeedsAttention):
    """Somebody asked a job to skip a leg of its journey."""

    http_status = 409


class PeerRejected(NeedsAttention):
    """The destination answered, and the answer is no."""


class ModelUnusable(NeedsAttention):
    """The weights, the facts or the golden result of a model are not what they should be."""

    @property
    def who(self) -> Who:
        """Return the operator."""
        return Who.OPERATOR


class TaskFailed(NeedsAttention):
    """The code of an AI task raised something of its own."""


class Ended(StrEnum):
    """How an attempt in a worker ended."""

    OK = "ok"
    ERROR = "error"  # ran and raised; `Outcome.error` says what
    LOST = "lost"  # the process died
    TIMEOUT = "timeout"  # the process was still running at its limit and was ended
