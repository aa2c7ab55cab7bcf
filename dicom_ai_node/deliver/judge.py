"""What the answer of a destination means: one table per protocol, and who has to act.

The tables are data, so that the manual can print what the node does.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dicom_ai_node.domain.errors import (
    NodeError,
    OutOfResources,
    PeerRejected,
    PeerUnavailable,
    TryAgain,
)

Entry: TypeAlias = NodeError | str
"""What became of one object: a note if the destination has it, else the error."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one range of codes means.

    `error` is `None` where the destination has the object; `advice` says what to do and who
    does it.
    """

    first: int
    last: int
    meaning: str
    error: type[NodeError] | None
    advice: str

    def __contains__(self, code: int) -> bool:
        return self.first <= code <= self.last


SOP_CLASS_NOT_SUPPORTED = 0x0122

_WAIT = "nobody: the node sends it again"
_PARK = "a person: look at the log of the destination, then retry the job"

STATUSES: Sequence[Verdict] = (
    Verdict(0x0000, 0x0000, "stored", None, "nobody"),
    Verdict(0x0001, 0x0001, "stored, with a warning", None, "nobody"),
    Verdict(0x0107, 0x0107, "stored, an attribute was not kept", None, "nobody"),
    Verdict(0x0110, 0x0110, "processing failure", PeerRejected, _PARK),
    Verdict(0x0111, 0x0111, "it had this object already", None, "nobody"),
    Verdict(0x0116, 0x0116, "stored, a value is out of range", None, "nobody"),
    Verdict(0x0117, 0x0117, "invalid SOP Instance UID", PeerRejected, _PARK),
    Verdict(
        SOP_CLASS_NOT_SUPPORTED, SOP_CLASS_NOT_SUPPORTED, "SOP class not supported", PeerRejected,
        "the operator of the destination: allow this SOP class, or let `write` of the route choose "
        "another kind of object",
    ),
    Verdict(
        0x0124, 0x0124, "not authorized", PeerRejected,
        "the operator of the destination: allow the AE title of this node to store",
    ),
    Verdict(0x0213, 0x0213, "resource limitation", OutOfResources, _WAIT),
    Verdict(0xA700, 0xA7FF, "out of resources", OutOfResources, _WAIT),
    Verdict(0xA900, 0xA9FF, "data set does not match its SOP class", PeerRejected, _PARK),
    Verdict(0xB000, 0xBFFF, "stored, but its copy differs from ours", None, "nobody"),
    Verdict(0xC122, 0xC122, "transfer syntax not supported", PeerRejected, _PARK),
    Verdict(0xC000, 0xCFFF, "cannot understand the data set", PeerRejected, _PARK),
)  # fmt: skip
"""Statuses of C-STORE and reasons of STOW-RS, PS3.7 Annex C, PS3.4 B.2.3, PS3.18 I.2.2."""

_UNKNOWN = Verdict(0, 0xFFFF, "unknown status", PeerRejected, _PARK)


@dataclass(frozen=True, slots=True)
class Rejection:
    """One way in which an association is refused: (result, source, reason), PS3.8 Table 9-21."""

    source: int
    reason: int
    meaning: str
    advice: str


PERMANENT = 1
"""Result of A-ASSOCIATE-RJ that time does not cure; 2 is transient."""

REJECTIONS: Sequence[Rejection] = (
    Rejection(
        1, 2, "it does not know the application context", "a person: is that port a DICOM port?"
    ),
    Rejection(
        1, 3, "it does not know our AE title",
        "the operator of the destination: add the AE title of this node to its list",
    ),
    Rejection(
        1, 7, "it is not called that",
        "the operator of this node: correct `ae_title` of the destination",
    ),
    Rejection(2, 2, "it does not speak this version of the protocol", _PARK),
)  # fmt: skip
"""Permanent rejections that say who has to act; every transient one is tried again."""

HTTP_STATUSES: Sequence[Verdict] = (
    Verdict(
        300, 399, "it points elsewhere", PeerRejected,
        "the operator of this node: correct `url` of the destination; redirects are not followed",
    ),
    Verdict(
        401, 401, "it wants a valid token", PeerRejected,
        "the operator of this node: renew `token` of the destination",
    ),
    Verdict(
        403, 403, "not authorized", PeerRejected,
        "the operator of the destination: allow this node to store",
    ),
    Verdict(
        404, 405, "no STOW-RS service there", PeerRejected,
        "the operator of this node: correct `url` of the destination",
    ),
    Verdict(408, 408, "we were too slow for it", PeerUnavailable, _WAIT),
    Verdict(413, 413, "too large even alone", PeerRejected,
        "the operator of the destination: raise the limit for one request",
    ),
    Verdict(429, 429, "too many requests", PeerUnavailable, _WAIT),
    Verdict(400, 499, "the request is refused", PeerRejected, _PARK),
    Verdict(507, 507, "out of space", OutOfResources, _WAIT),
    Verdict(500, 599, "not available", PeerUnavailable, _WAIT),
)  # fmt: skip
"""What HTTP statuses mean that say nothing about single instances; the first match counts."""


def judge(status: int | None, peer: str) -> Entry:
    """Return a note if `status` says that `peer` has the object, else the error.

    pynetdicom returns an empty data set, and raises nothing, when the peer has gone silent, so
    that an absent status is an answer of its own.
    """
    if status is None:
        return PeerUnavailable(f"{peer} broke off before it answered")
    verdict = next((verdict for verdict in STATUSES if status in verdict), _UNKNOWN)
    if verdict.error:
        return verdict.error(f"{peer} answered 0x{status:04X}, {verdict.meaning}; {verdict.advice}")
    return "" if status == 0 else f"{peer} answered 0x{status:04X}, {verdict.meaning}"


def judge_contexts(asked: Iterable[str], peer: str) -> PeerRejected:
    """Return the error for SOP classes, by name, of which the peer accepted no context."""
    verdict = next(verdict for verdict in STATUSES if SOP_CLASS_NOT_SUPPORTED in verdict)
    return PeerRejected(f"{peer} takes no {', '.join(sorted(asked))}; {verdict.advice}")


def judge_rejection(result: int, source: int, reason: int, peer: str) -> NodeError:
    """Return the error for an A-ASSOCIATE-RJ."""
    numbers = f"({result}, {source}, {reason})"
    if result != PERMANENT:
        return PeerUnavailable(f"{peer} takes no association at the moment {numbers}")
    for known in REJECTIONS:
        if (known.source, known.reason) == (source, reason):
            return PeerRejected(
                f"{peer} takes no association: {known.meaning} {numbers}; {known.advice}"
            )
    return PeerRejected(f"{peer} takes no association {numbers}; {_PARK}")


def judge_http(status: int, peer: str, after_seconds: float | None = None) -> NodeError:
    """Return the error for an HTTP answer that says nothing about single instances.

    `after_seconds` is what `Retry-After` asks for.
    """
    verdict = next((verdict for verdict in HTTP_STATUSES if status in verdict), None)
    if verdict is None or verdict.error is None:
        return PeerUnavailable(f"{peer} answered HTTP {status} without a DICOM answer; {_WAIT}")
    error = verdict.error(f"{peer} answered HTTP {status}, {verdict.meaning}; {verdict.advice}")
    if isinstance(error, TryAgain):
        error.after_seconds = after_seconds
    return error
