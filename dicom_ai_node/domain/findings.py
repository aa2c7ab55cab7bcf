"""What an AI task can say about its inputs. A task never answers with DICOM."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.sr.coding import Code

from dicom_ai_node.domain.boxes import Corners
from dicom_ai_node.domain.clinical import KnownFact
from dicom_ai_node.domain.course import Course
from dicom_ai_node.domain.image import SourceFrame
from dicom_ai_node.domain.lesions import Lesions
from dicom_ai_node.domain.pictures import Backdrop, DerivedPixels, HeatMap, Restoration
from dicom_ai_node.domain.quality import ImageQuality

_SIDES = frozenset({"7771000", "24028007", "51440002"})
"""SNOMED CT left, right, both: the modifiers that say on which side a finding is."""


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

    @property
    def tracking_id(self) -> str:
        """What a person calls this structure in a list: `Fetal head 1`."""
        return f"{self.label[:56]} {self.number}"

    @property
    def laterality(self) -> Code | None:
        """On which side it is, if its modifier is a side."""
        is_sided = self.modifier is not None and self.modifier.value in _SIDES
        return self.modifier if is_sided else None

    @property
    def place(self) -> Code | None:
        """Where a report says that it is: its site; what has a side is a site by itself."""
        return self.site or (None if self.laterality is None else self.type)


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
    decided_by
        The one of them whose probabilities these are, if it speaks for all.
    """

    classes: tuple[FindingClass, ...]
    probabilities: tuple[float, ...]
    present: int
    sources: tuple[SourceFrame, ...]
    operating_point: OperatingPoint | None = None
    decided_by: SourceFrame | None = None


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
class Instances:
    """Objects that were found one by one, such as nuclei, each with its outline.

    Attributes
    ----------
    points
        (points, 2) float32: closed outlines one after the other as (row, column), where pixel
        centres have whole numbers; in the total pixel matrix of a slide, else in the frame.
    starts
        (objects + 1,) int64: object n has the points from `starts[n]` up to `starts[n + 1]`.
    numbers, areas_px
        (objects,) uint8 and int32: the number of its segment, and how many pixels it has.
    frames
        (objects,) int32: the place in `sources` of the frame on which its middle lies.
    """

    points: NDArray[np.float32]
    starts: NDArray[np.int64]
    numbers: NDArray[np.uint8]
    areas_px: NDArray[np.int32]
    frames: NDArray[np.int32]
    sources: tuple[SourceFrame, ...]
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        """How many objects there are."""
        return len(self.numbers)

    def outlines(self) -> list[NDArray[np.float32]]:
        """Return the points of every object, (points, 2)."""
        return np.split(self.points, self.starts[1:-1]) if len(self) else []


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
class Trajectory:
    """Where one structure is on every frame of a cine.

    Attributes
    ----------
    points
        (frames, 2) float64: row and column in the pixels of the source, whole numbers at the
        centres of pixels; NaN on frames where it was lost.
    confidence
        (frames,) float32 in 0..1: how likely the place is right. 1 on the first frame, where it
        was given.
    sources
        One per frame, all of one instance.
    of
        What was followed.
    times_ms, spacing_mm
        As in `Frames`; without them nothing is said in seconds or millimetres.
    """

    points: NDArray[np.float64]
    confidence: NDArray[np.float32]
    sources: tuple[SourceFrame, ...]
    of: Segment
    times_ms: tuple[float, ...] | None = None
    spacing_mm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that one task says about one job's inputs.

    `clinical` is all that the model was told, or would have been, of the patient.
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
    trajectories: tuple[Trajectory, ...] = ()
    quality: ImageQuality | None = None
    instances: Instances | None = None
    embedding: Embedding | None = None
    restoration: Restoration | None = None
    derived: DerivedPixels | None = None
    lesions: Lesions | None = None
    courses: tuple[Course, ...] = ()
    clinical: tuple[KnownFact, ...] = ()
    notes: tuple[str, ...] = ()
