"""DIMSE command sets, PS3.7 6.3.1: always Implicit VR Little Endian, group 0000."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from dicom_ai_node.dimse.wire import Breach

C_STORE_RQ = 0x0001
C_GET_RQ = 0x0010
C_FIND_RQ = 0x0020
C_MOVE_RQ = 0x0021
C_ECHO_RQ = 0x0030
N_EVENT_REPORT_RQ = 0x0100
N_ACTION_RQ = 0x0130
C_CANCEL_RQ = 0x0FFF
NO_DATA_SET = 0x0101
_RESPONSE = 0x8000
C_STORE_RSP = C_STORE_RQ | _RESPONSE
N_EVENT_REPORT_RSP = N_EVENT_REPORT_RQ | _RESPONSE
_WITH_DATA_SET = 0x0001
_LONGEST_COMMENT = 64

_AFFECTED_SOP_CLASS_UID = 0x0002
_REQUESTED_SOP_CLASS_UID = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_RESPONDED_TO = 0x0120
_MOVE_DESTINATION = 0x0600
_PRIORITY = 0x0700
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000
_REQUESTED_SOP_INSTANCE_UID = 0x1001
_EVENT_TYPE_ID = 0x1002
_ACTION_TYPE_ID = 0x1008
_MOVE_ORIGINATOR, _ITS_MESSAGE_ID = 0x1030, 0x1031
_SUB_OPERATIONS = (0x1020, 0x1021, 0x1022, 0x1023)
"""Numbers of remaining, completed, failed and warning sub-operations."""
_TYPE_IDS = MappingProxyType({N_EVENT_REPORT_RQ: _EVENT_TYPE_ID, N_ACTION_RQ: _ACTION_TYPE_ID})
_NAMES_ITS_INSTANCE = frozenset({C_STORE_RQ, *_TYPE_IDS})


class Status(IntEnum):
    """What a command may be answered with besides the status of an error."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    INVALID_OBJECT_INSTANCE = 0x0117  # PS3.7 C.5.14
    NO_SUCH_SOP_CLASS = 0x0118
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NO_SUCH_ACTION = 0x0123
    NOT_AUTHORIZED = 0x0124
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700
    CANNOT_COUNT = 0xA701  # out of resources: unable to calculate the number of matches
    CANNOT_SEND = 0xA702  # out of resources: unable to perform sub-operations
    COERCION = 0xB000  # stored, but the peer should look, PS3.4 B.2.3
    SOME_FAILED = 0xB000  # sub-operations of a C-MOVE or C-GET, PS3.4 C.4.2.1.5
    CANNOT_UNDERSTAND = 0xC000
    CANCEL = 0xFE00
    PENDING = 0xFF00
    PENDING_KEYS_IGNORED = 0xFF01  # PS3.4 C.4.1.1.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The part of a message that we look at. UIDs are as the peer sent them: anything at all.

    `status` and `responded_to` mean something in a response only, the latter in a C-CANCEL, too.
    `type_id` is that of an action or an event.
    """

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str
    move_destination: str = ""
    responded_to: int | None = None
    status: int | None = None
    type_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Sub-operations of a C-MOVE or C-GET; `remaining` is `None` in the last response."""

    remaining: int | None
    completed: int
    failed: int
    warning: int


def command_of(encoded: bytes) -> Command:
    """Read a command set.

    Raises
    ------
    Breach
        If it is no command set or lacks an element that every request has.
    """
    elements: dict[int, bytes] = {}
    at = 0
    while at < len(encoded):
        if at + 8 > len(encoded):
            raise Breach("a command set ends within an element")
        group, element, length = struct.unpack_from("<HHL", encoded, at)
        at += 8 + length
        if group != 0 or at > len(encoded):
            raise Breach("a command set holds what no command set can hold")
        elements[element] = encoded[at - length : at]
    return Command(
        field=_number(elements, _COMMAND_FIELD),
        message_id=_number(elements, _MESSAGE_ID) if _MESSAGE_ID in elements else 0,
        has_data_set=_number(elements, _DATA_SET_TYPE) != NO_DATA_SET,
        sop_class_uid=_uid(_either(elements, _AFFECTED_SOP_CLASS_UID, _REQUESTED_SOP_CLASS_UID)),
        sop_instance_uid=_uid(
            _either(elements, _AFFECTED_SOP_INSTANCE_UID, _REQUESTED_SOP_INSTANCE_UID)
        ),
        move_destination=_uid(elements.get(_MOVE_DESTINATION, b"")).strip(),
        responded_to=_number_if_any(elements, _MESSAGE_ID_RESPONDED_TO),
        status=_number_if_any(elements, _STATUS),
        type_id=_number_if_any(
            elements, _ACTION_TYPE_ID if _ACTION_TYPE_ID in elements else _EVENT_TYPE_ID
        ),
    )


def response_to(
    command: Command,
    status: int,
    comment: str = "",
    counts: Counts | None = None,
    *,
    has_data_set: bool = False,
) -> bytes:
    """Return the response to any of our commands, PS3.7 9.3, 10.3; `comment` names no patient."""
    body = _text(_AFFECTED_SOP_CLASS_UID, command.sop_class_uid, b"\0")
    body += _us(_COMMAND_FIELD, command.field | _RESPONSE)
    body += _us(_MESSAGE_ID_RESPONDED_TO, command.message_id)
    body += _us(_DATA_SET_TYPE, _WITH_DATA_SET if has_data_set else NO_DATA_SET)
    body += _us(_STATUS, status)
    if comment:
        body += _text(_ERROR_COMMENT, comment[:_LONGEST_COMMENT], b" ")
    if command.field in _NAMES_ITS_INSTANCE:
        body += _text(_AFFECTED_SOP_INSTANCE_UID, command.sop_instance_uid, b"\0")
    if command.field in _TYPE_IDS and command.type_id is not None:
        body += _us(_TYPE_IDS[command.field], command.type_id)
    if counts is not None:
        numbers = (counts.remaining, counts.completed, counts.failed, counts.warning)
        for element, number in zip(_SUB_OPERATIONS, numbers, strict=True):
            body += b"" if number is None else _us(element, number)
    return _with_length(body)


def store_request(
    message_id: int,
    sop_class_uid: str,
    sop_instance_uid: str,
    asked_by: tuple[str, int] | None = None,
) -> bytes:
    """Return the command of a C-STORE, PS3.7 9.3.1.1.

    `asked_by` is the AE title and the message ID of the C-MOVE of which it is a part.
    """
    body = _text(_AFFECTED_SOP_CLASS_UID, sop_class_uid, b"\0")
    body += _us(_COMMAND_FIELD, C_STORE_RQ)
    body += _us(_MESSAGE_ID, message_id)
    body += _us(_PRIORITY, 0)
    body += _us(_DATA_SET_TYPE, _WITH_DATA_SET)
    body += _text(_AFFECTED_SOP_INSTANCE_UID, sop_instance_uid, b"\0")
    if asked_by is not None:
        body += _text(_MOVE_ORIGINATOR, asked_by[0], b" ") + _us(_ITS_MESSAGE_ID, asked_by[1])
    return _with_length(body)


def report_request(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type_id: int
) -> bytes:
    """Return the command of an N-EVENT-REPORT with a data set, PS3.7 10.3.1.1."""
    return _with_length(
        _text(_AFFECTED_SOP_CLASS_UID, sop_class_uid, b"\0")
        + _us(_COMMAND_FIELD, N_EVENT_REPORT_RQ)
        + _us(_MESSAGE_ID, message_id)
        + _us(_DATA_SET_TYPE, _WITH_DATA_SET)
        + _text(_AFFECTED_SOP_INSTANCE_UID, sop_instance_uid, b"\0")
        + _us(_EVENT_TYPE_ID, event_type_id)
    )


def _with_length(body: bytes) -> bytes:
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


def _either(elements: dict[int, bytes], one: int, other: int) -> bytes:
    return elements.get(one) or elements.get(other, b"")


def _number_if_any(elements: dict[int, bytes], element: int) -> int | None:
    return _number(elements, element) if element in elements else None


def _number(elements: dict[int, bytes], element: int) -> int:
    value = elements.get(element, b"")
    if len(value) != 2:  # noqa: PLR2004 - the length of a US
        raise Breach("a command set lacks an element of every request")
    return int.from_bytes(value, "little")


def _uid(value: bytes) -> str:
    return value.decode("ascii", errors="replace").rstrip("\0 ")


def _us(element: int, value: int) -> bytes:
    return struct.pack("<HHLH", 0, element, 2, value)


def _text(element: int, text: str, padding: bytes) -> bytes:
    value = text.encode("ascii", errors="replace")
    value += padding * (len(value) % 2)
    return struct.pack("<HHL", 0, element, len(value)) + value
