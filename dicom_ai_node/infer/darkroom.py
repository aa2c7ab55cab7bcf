"""What runs in a child process that touches pixel data for those who look at it.

It is given open files and may open none; whatever a hostile codestream makes of it, it can write
to one file without a name and say a few words of JSON.
"""

import json
import os
import pickle
import resource
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.showing import (
    NativeFrame,
    NoSuchFrame,
    NotShowable,
    Order,
    Overlaid,
    Picture,
    Report,
    Uncompressed,
    Value,
)
from dicom_ai_node.infer.native import write_frame, write_uncompressed, write_value
from dicom_ai_node.infer.rendered import write_overlaid, write_picture
from dicom_ai_node.infer.report_page import write_page
from dicom_ai_node.infer.slot import die_with, fall_silent

MEMORY_BYTES = 4 << 30
"""So much address space may be taken beyond that of the libraries: a frame of 1 GiB, as it is
decoded, as it is scaled, and as it is shown."""
MOST_MADE_BYTES = 16 << 30
"""A file that a child writes is not longer."""
LONGEST_ORDER_BYTES = 1 << 16
MOST_FILES = 32


def run(orders: socket.socket, parent: int) -> None:
    """Do what is ordered, one after the other, until the socket ends or `parent` is gone."""
    die_with(parent)
    fall_silent()
    limit()
    while True:
        message, numbers, _, _ = socket.recv_fds(orders, LONGEST_ORDER_BYTES, MOST_FILES)
        if not message:
            return
        # From the node itself, which is trusted; what goes back is not, and is JSON.
        order = pickle.loads(message)  # noqa: S301
        with ExitStack() as opened:
            sources = [opened.enter_context(os.fdopen(one, "rb")) for one in numbers[:-1]]
            made = opened.enter_context(os.fdopen(numbers[-1], "wb"))
            answer = _answer(order, sources, made)
        orders.send(json.dumps(answer).encode())


def limit() -> None:
    """Take from this process what it does not need; it cannot get it back."""
    # What libraries reserve for their threads depends on how many processors the machine has.
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    memory_bytes = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_MADE_BYTES, MOST_MADE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(order: Order, sources: Sequence[BinaryIO], made: BinaryIO) -> dict[str, object]:
    # The place in an open file is shared with whoever else has it.
    for source in sources:
        source.seek(0)
    try:
        return _made(order, sources, made)
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


def _made(order: Order, sources: Sequence[BinaryIO], made: BinaryIO) -> dict[str, object]:
    source = sources[0]
    match order:
        case Uncompressed(is_implicit):
            write_uncompressed(source, made, is_implicit=is_implicit)
        case NativeFrame(number):
            write_frame(source, number, made)
        case Value(path):
            write_value(source, path, made)
        case Picture():
            write_picture(source, order, made)
        case Report():
            write_page(source, made)
        case Overlaid():
            write_overlaid(source, sources[1:], order, made)
    made.flush()
    return {}
