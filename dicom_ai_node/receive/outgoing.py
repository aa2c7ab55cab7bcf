"""Messages on their way to the peer, cut into the P-DATA-TF PDUs that it takes, PS3.8 9.3.5."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

P_DATA = 4
IS_COMMAND, IS_LAST = 1, 2
FRAGMENT_HEADER = struct.Struct(">LBB")
_OUR_LONGEST_BYTES = 128 << 10
"""Longer PDUs save nothing, and what is on its way is in memory."""


def pdus(
    context: int, command: bytes, data: Iterable[bytes] = (), longest_bytes: int = 0
) -> Iterator[bytes]:
    """Yield the PDUs of one message.

    Parameters
    ----------
    data
        The data set in pieces of any length; none if the message has no data set.
    longest_bytes
        Maximum length as the peer has told it, 0 for no maximum.
    """
    longest = min(longest_bytes or _OUR_LONGEST_BYTES, _OUR_LONGEST_BYTES) - FRAGMENT_HEADER.size
    longest -= longest % 2  # no fragment but the last may be odd, PS3.8 E.2
    yield from _fragments(context, [command], IS_COMMAND, longest)
    if data:
        yield from _fragments(context, data, 0, longest)


def data_set_in(path: Path, data_set_at: int) -> Iterator[bytes]:
    """Yield the bytes of the data set in a Part 10 file.

    Raises
    ------
    OSError
        If the file is gone or cannot be read.
    """
    with path.open("rb") as file:
        file.seek(data_set_at)
        while piece := file.read(_OUR_LONGEST_BYTES):
            yield piece


def _fragments(
    context: int, pieces: Iterable[bytes], kind: int, longest_bytes: int
) -> Iterator[bytes]:
    """Yield one PDU per fragment; the last one, which may be empty, says that it is the last."""
    waiting = b""
    for piece in pieces:
        ready, at = waiting + piece, 0
        while len(ready) - at > longest_bytes:
            yield _pdu(context, ready[at : at + longest_bytes], kind)
            at += longest_bytes
        waiting = ready[at:]
    yield _pdu(context, waiting, kind | IS_LAST)


def _pdu(context: int, fragment: bytes, control: int) -> bytes:
    length = len(fragment) + FRAGMENT_HEADER.size
    header = struct.pack(">BxL", P_DATA, length)
    return header + FRAGMENT_HEADER.pack(length - 4, context, control) + fragment
