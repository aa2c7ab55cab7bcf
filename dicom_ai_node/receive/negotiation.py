"""Association negotiation, PS3.8 9.3.2-4: who asks comes first, what they ask for afterwards.

The request is read here and not by pynetdicom, which believes its lengths, warns about the UIDs
of sloppy vendors on standard error, and logs what strangers write.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from dicom_ai_node.dimse.wire import (
    INVALID_PARAMETER,
    PDU_HEADER_BYTES,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    Breach,
    Wire,
)
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.contexts import ContextResult, judged
from dicom_ai_node.receive.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dicom_ai_node.receive.peers import STORE_ONLY, May
from dicom_ai_node.receive.user_information import UserInformation, user_information

LONGEST_REQUEST_BYTES = 1 << 20
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_REQUEST, _ACCEPTANCE, _REJECTION = 1, 2, 3
_PDU_TYPES = range(1, 8)
_FIXED_BYTES = 68
_MOST_CONTEXTS = 128
_MAXIMUM_LENGTH, _IMPLEMENTATION_CLASS, _IMPLEMENTATION_VERSION = 0x51, 0x52, 0x55
_APPLICATION, _PROPOSED, _RESULT, _ABSTRACT, _TRANSFER, _USER = 0x10, 0x20, 0x21, 0x30, 0x40, 0x50


class Refusal(Enum):
    """(result, source, reason) of an A-ASSOCIATE-RJ, PS3.8 Table 9-21."""

    CALLING_AE_TITLE = (1, 1, 3)
    CALLED_AE_TITLE = (1, 1, 7)
    APPLICATION_CONTEXT = (1, 1, 2)
    PROTOCOL_VERSION = (1, 2, 2)
    CONGESTION = (2, 3, 1)
    LOCAL_LIMIT = (2, 3, 2)

    def encoded(self) -> bytes:
        """Return the PDU."""
        return struct.pack(">BxLxBBB", _REJECTION, 4, *self.value)


class Unwelcome(Exception):
    """The association is to be rejected."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.name)
        self.refusal = refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What was agreed.

    Attributes
    ----------
    contexts
        By context ID the SOP class and the one transfer syntax.
    user
        What the peer has asked for beside its contexts.
    may
        What it is allowed to do.
    """

    calling_ae_title: AETitle
    called_ae_title: AETitle
    contexts: Mapping[int, tuple[str, str]]
    user: UserInformation = field(default_factory=UserInformation)
    may: frozenset[May] = STORE_ONLY

    def contexts_to_send(self, sop_class_uid: str) -> Mapping[str, int]:
        """Return by transfer syntax the contexts in which the peer takes such objects from us."""
        classes = {sop_class_uid}
        if not self.user.provided(classes):
            return {}
        return {
            syntax: context
            for context, (sop_class, syntax) in self.contexts.items()
            if sop_class in classes
        }


def accept(
    wire: Wire,
    welcome: Callable[[str, str], frozenset[May]],
    pdu_bytes: int,
    *,
    answers_queries: bool = False,
    commits: bool = False,
) -> Accepted:
    """Read the association request, and accept it.

    `welcome` is called with the calling and the called AE title when nothing but those has been
    read, returns what the peer may do, and raises `Unwelcome` for one that may not enter.
    `pdu_bytes` is the longest P-DATA PDU that we take.

    Raises
    ------
    Unwelcome
        If the association is to be rejected.
    Breach
        If this is no association request, or does not arrive in time.
    PeerGone
        If the connection breaks.
    """
    kind, length = struct.unpack(">BxL", wire.take(PDU_HEADER_BYTES))
    if kind != _REQUEST:
        reason = UNEXPECTED_PDU if kind in _PDU_TYPES else UNRECOGNIZED_PDU
        raise Breach("the first PDU is no association request", reason)
    if not _FIXED_BYTES <= length <= LONGEST_REQUEST_BYTES:
        raise Breach("no association request is so long", INVALID_PARAMETER)
    fixed = bytes(wire.take(_FIXED_BYTES))
    if not fixed[1] & 1:
        raise Unwelcome(Refusal.PROTOCOL_VERSION)
    called, calling = _text(fixed[4:20]), _text(fixed[20:36])
    may = welcome(calling, called)
    items = bytes(wire.take(length - _FIXED_BYTES))
    contexts, answers = _agreement(items, answers_queries=answers_queries, commits=commits)
    user = user_information(_user_items(items))
    wire.send(_acceptance(fixed, answers, _our_user_information(pdu_bytes, user, contexts)))
    return Accepted(
        calling_ae_title=AETitle(calling),
        called_ae_title=AETitle(called),
        contexts=contexts,
        user=user,
        may=may,
    )


_Contexts: TypeAlias = Mapping[int, tuple[str, str]]


def _agreement(items: bytes, *, answers_queries: bool, commits: bool) -> tuple[_Contexts, bytes]:
    """Return the accepted contexts, and the encoded answer to all that were proposed."""
    application_context = ""
    answered: set[int] = set()
    accepted: dict[int, tuple[str, str]] = {}
    answers = b""
    for kind, body in _items(items):
        if kind == _APPLICATION:
            application_context = _text(body)
        if kind != _PROPOSED:
            continue
        context, sop_class_uid, proposed = _proposal(body)
        if context in answered or len(answered) == _MOST_CONTEXTS:
            raise Breach("the presentation contexts are no list of contexts", INVALID_PARAMETER)
        answered.add(context)
        result, chosen = judged(
            sop_class_uid, proposed, answers_queries=answers_queries, commits=commits
        )
        if result is ContextResult.ACCEPTANCE:
            accepted[context] = sop_class_uid, chosen
        answer = struct.pack(">BxBx", context, result) + _item(_TRANSFER, chosen.encode())
        answers += _item(_RESULT, answer)
    if application_context != APPLICATION_CONTEXT:
        raise Unwelcome(Refusal.APPLICATION_CONTEXT)
    return accepted, answers


def _user_items(items: bytes) -> Iterator[tuple[int, bytes]]:
    for kind, body in _items(items):
        if kind == _USER:
            yield from _items(body)


def _proposal(body: bytes) -> tuple[int, str, set[str]]:
    if len(body) < 4 or body[0] % 2 == 0:  # noqa: PLR2004 - PS3.8 Table 9-13
        raise Breach("a presentation context has no odd number", INVALID_PARAMETER)
    parts = list(_items(body[4:]))
    abstract = [_text(part) for kind, part in parts if kind == _ABSTRACT]
    transfer = {_text(part) for kind, part in parts if kind == _TRANSFER}
    if len(abstract) != 1 or not transfer:
        raise Breach("a presentation context proposes nothing", INVALID_PARAMETER)
    return body[0], abstract[0], transfer


def _our_user_information(pdu_bytes: int, user: UserInformation, contexts: _Contexts) -> bytes:
    accepted = {sop_class_uid for sop_class_uid, _ in contexts.values()}
    return (
        _item(_MAXIMUM_LENGTH, struct.pack(">L", pdu_bytes))
        + _item(_IMPLEMENTATION_CLASS, IMPLEMENTATION_CLASS_UID.encode())
        + _item(_IMPLEMENTATION_VERSION, IMPLEMENTATION_VERSION_NAME.encode())
        + b"".join(_item(kind, body) for kind, body in user.answer(accepted))
    )


def _acceptance(fixed: bytes, answers: bytes, user: bytes) -> bytes:
    # The AE titles come back as they were sent, whatever their padding, PS3.8 Table 9-17.
    body = (
        struct.pack(">HH", 1, 0)
        + fixed[4:]
        + _item(_APPLICATION, APPLICATION_CONTEXT.encode())
        + answers
        + _item(_USER, user)
    )
    return struct.pack(">BxL", _ACCEPTANCE, len(body)) + body


def _items(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(encoded):
        if at + 4 > len(encoded):
            raise Breach("an item has no header", INVALID_PARAMETER)
        kind, length = struct.unpack_from(">BxH", encoded, at)
        at += 4 + length
        if at > len(encoded):
            raise Breach("an item is longer than the request", INVALID_PARAMETER)
        yield kind, encoded[at - length : at]


def _item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def _text(value: bytes) -> str:
    return value.decode("ascii", errors="replace").strip(" \0")
