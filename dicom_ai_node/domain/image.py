"""What a model looks at: a volume, or frames, each pixel traceable to the source it came from."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dicom_ai_node.domain.uids import SOPInstanceUID


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One frame of one source instance; `number` starts at 1, PS3.3 C.7.6.6."""

    sop_instance_uid: SOPInstanceUID
    number: int = 1


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where voxel (slice, row, column) lies in the patient.

    Attributes
    ----------
    affine
        (4, 4) float64, maps (slice, row, column, 1) to (x, y, z, 1) in mm in the patient
        coordinate system, which points left, posterior and head, PS3.3 C.7.6.2.1.1.
    shape
        (slices, rows, columns).
    frame_of_reference_uid
        Two geometries can be compared only if this is equal, PS3.3 C.7.4.1.
    """

    affine: NDArray[np.float64]
    shape: tuple[int, int, int]
    frame_of_reference_uid: str

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (slice, row, column), in mm."""
        slices, rows, columns = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(slices), float(rows), float(columns)

    @property
    def voxel_cm3(self) -> float:
        """Volume of one voxel in cm3."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """An image volume in real units, from the first slice along the normal to the last.

    Attributes
    ----------
    array
        (slices, rows, columns) float32 in `unit`, a UCUM code: "[hnsf'U]" for Hounsfield units,
        "g/ml{SUVbw}" for SUV by body weight, "1" for anything without a unit.
    valid
        (slices, rows, columns) bool, False where the source holds padding, or `None` if all is
        valid. Statistics must leave padding out.
    sources
        One per slice, in the order of `array`.
    """

    array: NDArray[np.float32]
    geometry: Geometry
    unit: str
    sources: tuple[SourceFrame, ...]
    valid: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """Images that are looked at one by one: X-rays, ultrasound and its cines, single slices.

    Attributes
    ----------
    array
        (frames, rows, columns) float32 in `unit`. Colour is brought to luma; MONOCHROME1 is
        inverted, so that more is brighter; CT slices are in HU.
    spacing_mm
        Distance between neighbouring pixel centres (row, column) in mm, or `None`: then nothing
        may be reported in millimetres.
    region
        (first row, end row, first column, end column), end exclusive: the part that shows
        tissue, for ultrasound the calibrated region; the whole image otherwise.
    times_ms
        Time of every frame from the first, or `None` if the source does not tell.
    corner_px, step_px
        (row, column) in the source of the centre of the first pixel, and how many source pixels
        one pixel is long. Other than these where the image was placed on a model's grid.
    thickness_mm
        How much of the patient along the normal each frame stands for (half the way to either
        neighbour), or `None` for projections and cines. Lets volumes be summed over slices
        that are tilted or unevenly spaced.
    histogram
        (256,) how often each value of 0..255 occurs in the whole picture that the frames are
        parts of, or `None` where they are no parts: parts are scaled by the whole, or bare
        glass would be stretched until it shows something.
    """

    array: NDArray[np.float32]
    unit: str
    sources: tuple[SourceFrame, ...]
    spacing_mm: tuple[float, float] | None
    region: tuple[int, int, int, int]
    times_ms: tuple[float, ...] | None = None
    thickness_mm: tuple[float, ...] | None = None
    valid: NDArray[np.bool_] | None = None
    notes: tuple[str, ...] = ()
    corner_px: tuple[float, float] = (0.0, 0.0)
    step_px: tuple[float, float] = (1.0, 1.0)

    def from_source(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where `points` (..., 2), rows and columns of the source, lie in `array`."""
        found: NDArray[np.float64] = (points - np.asarray(self.corner_px)) / self.step_px
        return found

    histogram: NDArray[np.int64] | None = None


Image: TypeAlias = Volume | Frames
