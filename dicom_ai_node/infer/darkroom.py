"""What runs in a child process that touches pixel data for those who look at it.

It is given open files and may open none; whatever a hostile codestream makes of it, it can write
to one file without a name and say a few words of JSON.
"""

import json
import os
import pickle
import resource
import socket
from typing import BinaryIO

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.showing import (
    NativeFrame,
    NoSuchFrame,
    NotShowable,
    Order,
    Picture,
    Report,
    Uncompressed,
    Value,
)
from dicom_ai_node.infer.native import write_frame, write_uncompressed, write_value
from dicom_ai_node.infer.rendered import write_picture
from dicom_ai_node.infer.slot import die_with, fall_silent

MEMORY_BYTES = 4 << 30
"""Address space of a child; a mosaic of 16,000 by 16,000 colour pixels fits."""
MOST_MADE_BYTES = 16 << 30
"""A file that a child writes is not longer."""
LONGEST_ORDER_BYTES = 1 << 16


def run(orders: socket.socket, parent: int) -> None:
    """Do what is ordered, one after the other, until the socket ends or `parent` is gone."""
    die_with(parent)
    fall_silent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_MADE_BYTES, MOST_MADE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        message, files, _, _ = socket.recv_fds(orders, LONGEST_ORDER_BYTES, 2)
        if not message:
            return
        # From the node itself, which is trusted; what goes back is not, and is JSON.
        order = pickle.loads(message)  # noqa: S301
        with os.fdopen(files[0], "rb") as source, os.fdopen(files[1], "wb") as made:
            answer = _answer(order, source, made)
        orders.send(json.dumps(answer).encode())


def _answer(order: Order, source: BinaryIO, made: BinaryIO) -> dict[str, object]:
    # The place in an open file is shared with whoever else has it.
    source.seek(0)
    try:
        return _made(order, source, made)
    except NoSuchFrame as no:
        return {"no": "frame", "why": str(no)}
    except NotShowable as no:
        return {"no": "picture", "why": str(no)}
    except Rejected as no:
        return {"no": "picture", "why": f"it cannot be decoded: {no}"}
    except MemoryError:
        return {"no": "picture", "why": "decoding it takes more memory than is allowed"}
    except Exception as fault:  # noqa: BLE001 - its message may quote the patient
        return {"no": "picture", "why": f"it cannot be read: {type(fault).__name__}"}


def _made(order: Order, source: BinaryIO, made: BinaryIO) -> dict[str, object]:
    match order:
        case Uncompressed():
            write_uncompressed(source, made)
        case NativeFrame(number):
            write_frame(source, number, made)
        case Value(path):
            write_value(source, path, made)
        case Picture():
            write_picture(source, order, made)
        case Report():
            raise NotShowable("reports are not shown yet")
    made.flush()
    return {}
