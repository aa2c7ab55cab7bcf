"""To which side of the patient a picture runs, in the letters of PS3.3 C.7.6.1.1.1."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.encode.planes import Plane

_DIRECTIONS = ("RL", "AP", "FH")
_OPPOSITE = str.maketrans("RLAPFH", "LRPAHF")
_NOTICEABLE = 0.2
"""Cosine from which a direction is named."""


class Edges(NamedTuple):
    """What lies at the edges of a picture, empty where it is not known."""

    left: str = ""
    right: str = ""
    top: str = ""
    bottom: str = ""


UNKNOWN = Edges()


def patient_orientation(plane: Plane) -> list[str] | None:
    """Return where rows and columns run to, or `None` if the source does not say."""
    if plane.orientation is None:
        received: list[str] | None = plane.header.get("PatientOrientation") or None
        return received
    cosines = np.asarray(plane.orientation, np.float64).reshape(2, 3)
    return ["".join(_letters(direction)) for direction in cosines]


def edges_of(plane: Plane) -> Edges:
    """Return the letters for the edges of a frame as it is stored.

    Only letters of the standard are taken from a source: no text of it is drawn.
    """
    runs = patient_orientation(plane) or ()
    if len(runs) != 2 or not all(run and set(run) <= set("RLAPFH") for run in runs):  # noqa: PLR2004
        return UNKNOWN
    right, bottom = str(runs[0]), str(runs[1])
    return Edges(right.translate(_OPPOSITE), right, bottom.translate(_OPPOSITE), bottom)


def _letters(direction: NDArray[np.float64]) -> list[str]:
    """Return the letters of one direction, the strongest first."""
    axes = [int(axis) for axis in np.argsort(-np.abs(direction))]
    return [
        _DIRECTIONS[axis][int(direction[axis] > 0)]
        for axis in axes
        if abs(direction[axis]) > _NOTICEABLE
    ]
