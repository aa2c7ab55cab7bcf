"""What brings places of earlier studies into the frame of reference of this one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Volume
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.orders import InferenceOrder
from dicom_ai_node.infer.read import read_series
from dicom_ai_node.infer.registration import rigid


def moves_into(
    frame_of_reference_uid: str, wanted: set[str], order: InferenceOrder, facts: ModelFacts
) -> tuple[Mapping[str, NDArray[np.float64]], list[str]]:
    """Return a move for this frame of reference and for as many of the `wanted` as can be had.

    Another frame is registered if its images are still here, and left out if they are not or are
    too unlike. Notes tell which it was.
    """
    moves: dict[str, NDArray[np.float64]] = {frame_of_reference_uid: np.eye(4)}
    others = wanted - {frame_of_reference_uid}
    if not others:
        return moves, []
    name = facts.reference or next(iter(order.inputs))
    fixed = _volume(order.inputs[name], order, facts)
    notes = []
    for inputs in order.earlier_inputs:
        frame = _frame_of(inputs.get(name, ()))
        if fixed is None or frame not in others or frame in moves:
            continue
        moving = _volume(inputs[name], order, facts)
        if moving is None:
            continue
        found = rigid(moving, fixed)
        if found.is_good:
            moves[frame] = found.move
            notes.append(f"an earlier study was registered, correlation {found.correlation:.2f}")
        else:
            notes.append(f"an earlier study could not be registered ({found.correlation:.2f})")
    return moves, notes


def _volume(paths: Sequence[Path], order: InferenceOrder, facts: ModelFacts) -> Volume | None:
    """Return the volume of a series, `None` where it is none or is not here any more."""
    try:
        image = read_series(paths, facts.sees, options=order.options)
    except Rejected:
        return None
    return image if isinstance(image, Volume) else None


def _frame_of(paths: Sequence[Path]) -> str:
    """Return the frame of reference of a series, "" if it has none or is not here any more."""
    try:
        header = dcmread(paths[0], specific_tags=["FrameOfReferenceUID"], stop_before_pixels=True)
    except (LookupError, OSError, InvalidDicomError):
        return ""
    return str(header.get("FrameOfReferenceUID") or "")
