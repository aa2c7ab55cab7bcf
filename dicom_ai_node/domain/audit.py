"""What an audit trail tells, PS3.15 A.5: who did what to which study, and whether it worked.

A `Happening` is one audit message before the node has written itself and the patient into it. It
holds what A.5 asks for and nothing more; how it is spelled in XML, `watch.audit_message` knows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol


class Kind(StrEnum):
    """What kind of message it is: one for each section of PS3.15 A.5.3 that the node can fill."""

    APPLICATION_ACTIVITY = "application_activity"
    AUDIT_LOG_USED = "audit_log_used"
    BEGIN_TRANSFERRING = "begin_transferring"
    DATA_EXPORT = "data_export"
    DATA_IMPORT = "data_import"
    INSTANCES_ACCESSED = "instances_accessed"
    INSTANCES_TRANSFERRED = "instances_transferred"
    STUDY_DELETED = "study_deleted"
    QUERY = "query"
    SECURITY_ALERT = "security_alert"
    USER_AUTHENTICATION = "user_authentication"


class Outcome(IntEnum):
    """Event Outcome Indicator, RFC 3881 5.1.4."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


class Action(StrEnum):
    """Event Action Code, RFC 3881 5.1.2."""

    CREATE = "C"
    READ = "R"
    UPDATE = "U"
    DELETE = "D"
    EXECUTE = "E"


class Act(StrEnum):
    """What exactly, where a kind has several; an Event Type Code, PS3.16 CID 401."""

    START = "start"
    STOP = "stop"
    LOGIN = "login"
    LOGOUT = "logout"
    NODE_AUTHENTICATION = "node_authentication"
    SOFTWARE_CONFIGURATION = "software_configuration"
    RESTRICTED_FUNCTION = "restricted_function"
    SECURITY_ROLES = "security_roles"
    USER_SECURITY = "user_security"


class Part(StrEnum):
    """What somebody has to do with it; a Role ID Code, PS3.16 CID 402."""

    APPLICATION = "application"
    LAUNCHER = "launcher"
    DESTINATION = "destination"
    SOURCE = "source"
    DESTINATION_MEDIA = "destination_media"
    SOURCE_MEDIA = "source_media"
    NONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """An active participant, PS3.15 A.5.2.

    Attributes
    ----------
    name
        Of a person, a program or an application entity, the URI of a medium; empty for this node.
    ae_title
        Where it is an application entity.
    address
        An IP address, or the name of a machine.
    has_account
        Whether `name` is that of an account of this node or of its machine.
    """

    name: str = ""
    ae_title: str = ""
    address: str = ""
    part: Part = Part.NONE
    is_requestor: bool = False
    has_account: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTold:
    """A study, and how many instances of which SOP classes; its patient is looked up later."""

    study_instance_uid: str
    sop_classes: Mapping[str, int] = field(default_factory=dict)
    patient_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A query: `query` is the data set, or what stands behind the question mark of an address."""

    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""
    address: str = ""
    query: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened, as it is told to the trail.

    Attributes
    ----------
    alert
        What an alert is about, in words that name no patient.
    remark
        What is to be said about the outcome, in words that name no patient.
    """

    kind: Kind
    action: Action
    at: datetime
    act: Act | None = None
    outcome: Outcome = Outcome.SUCCESS
    participants: tuple[Participant, ...] = ()
    studies: tuple[StudyTold, ...] = ()
    asked: Asked | None = None
    alert: str = ""
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who has something done: a person or a program, from where; empty for the node itself."""

    name: str = ""
    address: str = ""

    def participant(self) -> Participant:
        """Return the actor as whoever asked for it."""
        return Participant(
            name=self.name, address=self.address, is_requestor=True, has_account=True
        )


THE_NODE = Actor()


class Way(StrEnum):
    """Which way instances go."""

    IN = "in"
    BEGIN = "begin"
    OUT = "out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Instances of one study and SOP class that went one way; many become one message.

    Attributes
    ----------
    peer
        The AE title of the sender, or the name of a destination.
    is_known
        Whether all of them were here already.
    """

    way: Way
    at: datetime
    peer: str
    address: str = ""
    study_instance_uid: str
    sop_class_uid: str
    count: int
    is_known: bool = False
    outcome: Outcome = Outcome.SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """What waits to be sealed: a happening that is whole, or a passage that may go on."""

    number: int
    what: Happening | Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that is about to become a record; `text` is XML, as it is sent."""

    at: datetime
    kind: Kind
    outcome: Outcome
    who: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """A record of the chain: `sha256` is over all of it and over `previous`."""

    number: int
    message: Message
    previous: str
    sha256: str
    sent_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which records; `who` is a part of the name or address of a participant."""

    kind: Kind | None = None
    who: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the chain is whole; `broken` is the number of the first record that is not."""

    records: int
    broken: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What the audit repository does not have yet: how many records, the oldest from when."""

    records: int
    since: datetime | None = None


class Notes(Protocol):
    """Takes what happens, where no other part of the ledger writes it down itself."""

    def note(self, *happenings: Happening) -> None:
        """Keep what has happened; raise `OutOfResources` if the ledger cannot answer now."""


class Trail(Notes, Protocol):
    """The audit trail. Every method raises `OutOfResources` if the database cannot answer now."""

    def noted(self, limit: int = 500) -> Sequence[Noted]:
        """Return what waits to be sealed, oldest first."""

    def seal(self, messages: Sequence[Message], of: Sequence[int]) -> int:
        """Add messages to the chain and forget the notes that they were made of: all or nothing.

        Does nothing, and returns 0, if somebody else has sealed one of these notes.
        """

    def records(self, which: AuditFilter) -> Sequence[AuditRecord]:
        """Return records, newest first."""

    def record(self, number: int) -> AuditRecord | None:
        """Return one record."""

    def unsent(self, limit: int = 200) -> Sequence[AuditRecord]:
        """Return the records that the repository does not have, oldest first."""

    def sent(self, numbers: Sequence[int], now: datetime) -> None:
        """Note that the repository has these records."""

    def backlog(self) -> Backlog:
        """Return how much the repository does not have."""

    def verify(self) -> Verdict:
        """Look at every record, from where the chain is anchored to its end."""

    def expire(self, before: datetime, *, only_sent: bool) -> int:
        """Remove records of a time before from the beginning of the chain, and anchor the rest."""

    def oldest_first(self, which: AuditFilter) -> Iterator[AuditRecord]:
        """Yield all records that match, whatever the limit."""

    def settle(self, name: str, value: str) -> str | None:
        """Keep a value under a name and return the one before, `None` where there was none."""
