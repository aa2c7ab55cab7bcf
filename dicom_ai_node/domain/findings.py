"""What an AI task can say about its inputs. A task never answers with DICOM."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.domain.image import SourceFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One labelled structure, PS3.3 C.8.20.4. `number` is its voxel value and starts at 1."""

    number: int
    label: str
    category: Code
    type: Code
    modifier: Code | None = None
    site: Code | None = None
    colour_rgb: tuple[int, int, int] = (255, 196, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """Labels on the pixels of the source frames, whatever grid the model worked on.

    Attributes
    ----------
    labels
        (frames, rows, columns) uint8; 0 is background, else a segment's number.
    sources
        One per frame, in the order of `labels`.
    probabilities
        (segments, frames, rows, columns) float16 in 0..1, in the order of `segments`, or `None`
        where the route does not ask for a fractional segmentation.
    """

    labels: NDArray[np.uint8]
    sources: tuple[SourceFrame, ...]
    segments: tuple[Segment, ...]
    probabilities: NDArray[np.float16] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One number with its meaning and its UCUM unit, as TID 300 wants it.

    `of` is the number of the segment that was measured, or `None` for the whole image; `frame`
    the frame it was measured on, or `None` for all of them; `derivation` is mean, maximum ...
    """

    concept: Code
    value: float
    unit: Code
    of: int | None = None
    frame: SourceFrame | None = None
    derivation: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingClass:
    """What a model can find or answer: pneumonia, normal, a right lung ...

    `modifier` says on which side it is, if that is part of what it is.
    """

    label: str
    type: Code
    site: Code | None = None
    modifier: Code | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """From which probability the class called `label` is reported as present."""

    label: str
    threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Classification:
    """Which one of several classes the image as a whole belongs to.

    Attributes
    ----------
    classes
        They exclude each other and leave nothing out.
    probabilities
        One per class, in their order, together 1.
    present
        The place of the class that is reported as present, counted from 0. Where the model has
        an operating point this need not be the most probable one.
    operating_point
        What decided; `None` if it was the highest probability.
    sources
        All frames that were looked at; the probabilities are the mean over them.
    """

    classes: tuple[FindingClass, ...]
    probabilities: tuple[float, ...]
    present: int
    sources: tuple[SourceFrame, ...]
    operating_point: OperatingPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A place on one frame where something was found.

    Attributes
    ----------
    of
        The place of its class in `Detection.classes`, counted from 0.
    probability
        How probable it is that the box is right, in 0..1; the model card says what right means.
    source
        The frame that it lies on.
    corners
        In pixels of that frame; borders of pixels are whole numbers, as in PS3.3 C.18.6.
    """

    of: int
    probability: float
    source: SourceFrame
    corners: Corners


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Boxes around what was found, and everything that was looked for.

    Attributes
    ----------
    classes
        All that was looked for: one of which there is no box was not found.
    boxes
        Frame by frame in the order of `sources`, the surest of each frame first.
    threshold
        The operating point: boxes of a lower probability are left out.
    sources
        All frames that were looked at.
    """

    classes: tuple[FindingClass, ...]
    boxes: tuple[Box, ...]
    threshold: float
    sources: tuple[SourceFrame, ...]


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
    """

    array: NDArray[np.float16]
    sources: tuple[SourceFrame, ...]
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """Where an image lies among others: the nearer two lie, the more alike they look.

    Attributes
    ----------
    vector
        (length,) float32 of length 1, so that a scalar product is the cosine of an angle.
    sources
        All frames that were looked at; the direction is the mean over them.
    """

    vector: NDArray[np.float32]
    sources: tuple[SourceFrame, ...]


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
    """

    array: NDArray[np.uint8]
    sources: tuple[SourceFrame, ...]
    times_ms: tuple[float, ...] | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that one task says about one job's inputs.

    A `restoration` becomes `derived` on its way to the source; both are never there at once.
    `notes` are sentences for the report and the time line: which repair was allowed, why there
    are no millimetres, which precision was used. They name no patient.
    """

    segmentation: Segmentation | None = None
    measurements: tuple[Measurement, ...] = ()
    backdrop: Backdrop | None = None
    classification: Classification | None = None
    detection: Detection | None = None
    heat_map: HeatMap | None = None
    restoration: Restoration | None = None
    derived: DerivedPixels | None = None
    embedding: Embedding | None = None
    notes: tuple[str, ...] = ()
