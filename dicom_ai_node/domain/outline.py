"""What somebody has outlined on one frame, for a task that begins there."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.findings import Segment


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One thing on one frame of an image.

    Attributes
    ----------
    mask
        (rows, columns) bool on the pixels of the source; at least one is true.
    frame
        Which of the frames of the image, from 0.
    segment
        What it is, as its maker has said it; its number is there.
    """

    mask: NDArray[np.bool_]
    frame: int
    segment: Segment
