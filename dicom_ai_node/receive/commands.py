"""DIMSE command sets, PS3.7 6.3.1: always Implicit VR Little Endian, group 0000."""

import struct
from dataclasses import dataclass
from enum import IntEnum

from dicom_ai_node.receive.wire import Breach

C_STORE_RQ = 0x0001
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
NO_DATA_SET = 0x0101
_RESPONSE = 0x8000
_LONGEST_COMMENT = 64

_AFFECTED_SOP_CLASS_UID = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_RESPONDED_TO = 0x0120
_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000


class Status(IntEnum):
    """What a C-STORE or C-ECHO may be answered with besides the status of an error."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    INVALID_OBJECT_INSTANCE = 0x0117  # PS3.7 C.5.14
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    COERCION = 0xB000  # stored, but the peer should look, PS3.4 B.2.3
    CANNOT_UNDERSTAND = 0xC000


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The part of a request that we look at. UIDs are as the peer sent them: anything at all."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str


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
        sop_class_uid=_uid(elements.get(_AFFECTED_SOP_CLASS_UID, b"")),
        sop_instance_uid=_uid(elements.get(_AFFECTED_SOP_INSTANCE_UID, b"")),
    )


def response_to(command: Command, status: int, comment: str = "") -> bytes:
    """Return the response message, PS3.7 Tables 9.1-2 and 9.1-7; `comment` names no patient."""
    body = _text(_AFFECTED_SOP_CLASS_UID, command.sop_class_uid, b"\0")
    body += _us(_COMMAND_FIELD, command.field | _RESPONSE)
    body += _us(_MESSAGE_ID_RESPONDED_TO, command.message_id)
    body += _us(_DATA_SET_TYPE, NO_DATA_SET)
    body += _us(_STATUS, status)
    if comment:
        body += _text(_ERROR_COMMENT, comment[:_LONGEST_COMMENT], b" ")
    if command.field == C_STORE_RQ:
        body += _text(_AFFECTED_SOP_INSTANCE_UID, command.sop_instance_uid, b"\0")
    return struct.pack("<HHLL", 0, 0, 4, len(body)) + body


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
