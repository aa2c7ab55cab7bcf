"""Pixels that a task or the node has made: heat maps, restored images, what is drawn on."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_ai_node.domain.image import SourceFrame


class Explained(StrEnum):
    """By which method a network is asked where its answer comes from."""

    GRAD_CAM = "grad_cam"
    INTEGRATED_GRADIENTS = "integrated_gradients"
    OCCLUSION = "occlusion"

    @property
    def words(self) -> str:
        """What a reader calls it: Grad-CAM."""
        return {"grad_cam": "Grad-CAM"}.get(self, self.replace("_", " ").capitalize())


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Where in the image a network has found what speaks for a class.

    Attributes
    ----------
    array
        (frames, rows, columns) float16 in 0..1; 1 is the strongest place of all frames that were
        looked at.
    sources
        One per frame, in the order of `array`; need not be all that were looked at.
    of
        The place of the class in `Classification.classes` or `Detection.classes`, counted from 0.
    by
        The method.
    """

    array: NDArray[np.float16]
    sources: tuple[SourceFrame, ...]
    of: int
    by: Explained = Explained.GRAD_CAM


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Another image of the same place, to be shown in colour over a backdrop.

    Attributes
    ----------
    array
        (frames, rows, columns) float16 in 0..1, on the pixels of the backdrop.
    name
        What the input is called.
    low, high, unit
        What 0 and 1 stand for, in UCUM.
    """

    array: NDArray[np.float16]
    name: str
    low: float
    high: float
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backdrop:
    """What the model saw, ready to be shown: the frames that a secondary capture draws on.

    Attributes
    ----------
    array
        (frames, rows, columns) uint8, more is brighter, after the window of the modality. Only
        the frames of `sources`, which need not be all of the input.
    times_ms
        As in `Frames`, for the frames that are here.
    overlay
        What is shown in a picture of its own over the same frames, or `None`.
    """

    array: NDArray[np.uint8]
    sources: tuple[SourceFrame, ...]
    times_ms: tuple[float, ...] | None = None
    overlay: Overlay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """An image as a task has restored it, in the unit in which the task was given it.

    Attributes
    ----------
    array
        (frames, rows, columns) float32 in `unit`, with `factor` times the rows and columns that
        the task was given.
    sources
        One per frame, in the order of `array`.
    derivation
        What was done, PS3.16 CID 7203.
    """

    array: NDArray[np.float32]
    sources: tuple[SourceFrame, ...]
    factor: int
    unit: str
    derivation: Code


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedPixels:
    """A restored image as the source would have stored it.

    Attributes
    ----------
    pixels
        (frames, rows, columns) or (frames, rows, columns, 3) in RGB, in the integers of the
        source: its rescaling leads to real values. Clipped to what its bits can hold.
    sources
        One per frame, in the order of `pixels`.
    factor
        How many times more rows and columns there are than in the source; the outer borders
        of the image lie where they were.
    unit
        Unit in which the image was seen, UCUM: that of the next two.
    mean_change
        Mean over all pixels of how much they have changed.
    shown_change
        The change that is shown as black (minus) and white (plus) in a picture of the differences.
    """

    pixels: NDArray[Any]
    sources: tuple[SourceFrame, ...]
    factor: int
    derivation: Code
    unit: str
    mean_change: float
    shown_change: float
