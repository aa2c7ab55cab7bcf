"""What the parts of the node tell the audit trail, in the form that PS3.15 A.5.3 wants of each."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from dicom_ai_node.domain.audit import (
    THE_NODE,
    Act,
    Action,
    Actor,
    Asked,
    Happening,
    Kind,
    Outcome,
    Part,
    Participant,
    StudyTold,
)

LONGEST_QUERY_BYTES, LONGEST_ADDRESS = 32_768, 1_000
"""A message fits into a datagram then, RFC 5426 3.2; one that did not would hold up all others."""


def application(act: Act, by: Actor, at: datetime) -> Happening:
    """Return that the node was started or stopped, A.5.3.1."""
    launcher = replace(by.participant(), part=Part.LAUNCHER)
    return Happening(
        kind=Kind.APPLICATION_ACTIVITY,
        action=Action.EXECUTE,
        act=act,
        at=at,
        participants=(Participant(part=Part.APPLICATION), launcher),
    )


def log_used(by: Actor, at: datetime) -> Happening:
    """Return that somebody has read the trail, A.5.3.2."""
    return Happening(kind=Kind.AUDIT_LOG_USED, action=Action.READ, at=at, participants=_by_whom(by))


def accessed(by: Actor, studies: Sequence[StudyTold], at: datetime) -> Happening:
    """Return that somebody has looked at instances of one patient, A.5.3.6."""
    return Happening(
        kind=Kind.INSTANCES_ACCESSED,
        action=Action.READ,
        at=at,
        participants=_by_whom(by),
        studies=tuple(studies),
    )


def exported(
    by: Actor, media: str, studies: Sequence[StudyTold], at: datetime, failure: str = ""
) -> Happening:
    """Return that data leave the node for a medium, A.5.3.4.

    Parameters
    ----------
    media
        The URI of what they are written to.
    failure
        Why that did not end well, in words that name no patient; empty if it did.
    """
    return Happening(
        kind=Kind.DATA_EXPORT,
        action=Action.READ,
        at=at,
        outcome=Outcome.SERIOUS_FAILURE if failure else Outcome.SUCCESS,
        participants=(
            *(replace(one, part=Part.SOURCE) for one in _by_whom(by)),
            Participant(name=media, part=Part.DESTINATION_MEDIA),
        ),
        studies=tuple(studies),
        remark=failure,
    )


def imported(by: Actor, media: str, studies: Sequence[StudyTold], at: datetime) -> Happening:
    """Return that data have come into the node from a medium, whose URI it is, A.5.3.5."""
    return Happening(
        kind=Kind.DATA_IMPORT,
        action=Action.CREATE,
        at=at,
        participants=(
            *(replace(one, part=Part.DESTINATION) for one in _by_whom(by)),
            Participant(name=media, part=Part.SOURCE_MEDIA),
        ),
        studies=tuple(studies),
    )


def deleted(by: Actor, study: StudyTold, at: datetime, *, is_whole: bool = True) -> Happening:
    """Return that a study has gone, A.5.3.8, or a part of one, which is an access, A.5.3.6."""
    return Happening(
        kind=Kind.STUDY_DELETED if is_whole else Kind.INSTANCES_ACCESSED,
        action=Action.DELETE,
        at=at,
        participants=_by_whom(by),
        studies=(study,),
    )


def transfer(
    kind: Kind, source: Participant, destination: Participant, study: StudyTold, at: datetime
) -> Happening:
    """Return that a study begins to go from one to another, A.5.3.3, or has gone, A.5.3.7."""
    is_over = kind is Kind.INSTANCES_TRANSFERRED
    return Happening(
        kind=kind,
        action=Action.READ if is_over else Action.EXECUTE,
        at=at,
        participants=(source, destination),
        studies=(study,),
    )


def queried(by: Participant, asked: Asked, at: datetime) -> Happening:
    """Return that somebody has asked what is here, A.5.3.10; of a long question its beginning."""
    return Happening(
        kind=Kind.QUERY,
        action=Action.EXECUTE,
        at=at,
        participants=(replace(by, part=Part.SOURCE), Participant(part=Part.DESTINATION)),
        asked=replace(
            asked, address=asked.address[:LONGEST_ADDRESS], query=asked.query[:LONGEST_QUERY_BYTES]
        ),
    )


def alarm(
    act: Act, by: Participant, why: str, at: datetime, outcome: Outcome = Outcome.MINOR_FAILURE
) -> Happening:
    """Return that something is against the rules, or that a rule was changed, A.5.3.11.

    Parameters
    ----------
    by
        Who is said to have done it; the node reports it.
    why
        In words that name no patient.
    """
    return Happening(
        kind=Kind.SECURITY_ALERT,
        action=Action.EXECUTE,
        act=act,
        at=at,
        outcome=outcome,
        participants=(Participant(is_requestor=True), replace(by, is_requestor=False)),
        alert=why,
    )


def changed(act: Act, by: Actor, why: str, at: datetime) -> Happening:
    """Return that what the node may do, or somebody may, was changed, A.5.3.11."""
    return alarm(act, by.participant(), why, at, Outcome.SUCCESS)


def login(act: Act, by: Actor, at: datetime, outcome: Outcome = Outcome.SUCCESS) -> Happening:
    """Return that somebody has come or gone, or could not come in, A.5.3.12."""
    return Happening(
        kind=Kind.USER_AUTHENTICATION,
        action=Action.EXECUTE,
        act=act,
        at=at,
        outcome=outcome,
        participants=(by.participant(), Participant()),
    )


def _by_whom(by: Actor) -> tuple[Participant, ...]:
    """Return who has done it, and the process that did it for them: both where both are known."""
    return (by.participant(),) if by == THE_NODE else (by.participant(), Participant())
