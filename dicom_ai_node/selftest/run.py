"""Plays the rows on a private node, one after the other, whatever becomes of them."""

import secrets
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.selftest.private_node import PrivateNode, free_ports
from dicom_ai_node.selftest.receiver import Receiver
from dicom_ai_node.selftest.report import Played
from dicom_ai_node.selftest.rows import ROWS, Row, Scene, studies

STARTS = "the node is started"
_READY = "its model reproduces its golden result, and it listens"


def play(folder: Path, program: Sequence[str], rows: Sequence[Row] = ROWS) -> Iterator[Played]:
    """Yield what came of each row, as soon as it is known; nothing is left running.

    `program` starts a node with the configuration whose path is its last word.
    """
    (there,) = free_ports(1)
    name = f"CANARY{secrets.token_hex(6).upper()}"
    (folder / "sent").mkdir()
    node = PrivateNode(folder, program, there)
    scene = Scene(
        node=node,
        receiver=Receiver(there, folder / "received"),
        studies=tuple(studies(folder / "sent", name)),
        name=name,
    )

    def started(scene: Scene) -> str:
        scene.node.start()
        return "it is ready"

    try:
        first = _played(Row(what=STARTS, expected=_READY, play=started), scene)
        yield first
        # Without a node every row would only say the same.
        yield from (_played(row, scene) for row in rows if first.is_ok)
    finally:
        node.end()


def _played(row: Row, scene: Scene) -> Played:
    began = time.monotonic()
    try:
        seen, is_ok = row.play(scene), True
    except NodeError as trouble:
        seen, is_ok = str(trouble), False
    except Exception as bug:  # noqa: BLE001 - the other rows are played all the same
        seen, is_ok = f"could not be played ({type(bug).__name__})", False
    took = time.monotonic() - began
    return Played(what=row.what, expected=row.expected, seen=seen, is_ok=is_ok, seconds=took)
