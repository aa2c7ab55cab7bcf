"""Segments taken apart into lesions, each measured by itself."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from dicom_ai_node.domain.findings import Segment, Segmentation
from dicom_ai_node.domain.image import Image, Volume
from dicom_ai_node.domain.lesions import Lesion, Lesions
from dicom_ai_node.domain.uids import derive_uid
from dicom_ai_node.infer.suv import SUVBW

MEASURE: Final = "lesions"
"""Its name under `measure:` in `configs/dicom.yaml`."""
MOST_LESIONS: Final = 50
"""Of one segment, the largest; of more the note tells how many were left out."""
_ALL_NEIGHBOURS: Final = np.ones((3, 3, 3), np.bool_)
_EDGES: Final = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])
"""From the centre of a pixel to the middle of its sides."""


def lesions_of(segmentation: Segmentation, image: Image) -> tuple[Lesions | None, list[str]]:
    """Return every connected part of every segment, the largest first, and notes.

    Pixels are connected that share a corner. Only in a volume, where a part has a place in the
    patient; a note says so elsewhere.
    """
    if not isinstance(image, Volume):
        return None, ["no single lesions, the image is no volume"]
    found: list[Lesion] = []
    notes: list[str] = []
    for segment in segmentation.segments:
        parts, count = ndimage.label(segmentation.labels == segment.number, _ALL_NEIGHBOURS)
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        largest = np.argsort(-sizes, kind="stable")[:MOST_LESIONS]
        boxes = ndimage.find_objects(parts)
        for place in largest.tolist():
            part = (parts[boxes[place]] == place + 1, boxes[place])
            found.append(_lesion(len(found) + 1, segment, part, segmentation, image))
        if count > MOST_LESIONS:
            notes.append(f"{segment.label}: {count - MOST_LESIONS} smaller lesions are left out")
    uid = image.geometry.frame_of_reference_uid
    return Lesions(frame_of_reference_uid=uid, present=tuple(found)), notes


def _lesion(
    number: int,
    segment: Segment,
    part: tuple[NDArray[np.bool_], tuple[slice, slice, slice]],
    segmentation: Segmentation,
    image: Volume,
) -> Lesion:
    mask, box = part
    start = np.array([one.start for one in box])
    geometry = image.geometry
    centre = geometry.affine @ (*(np.argwhere(mask).mean(axis=0) + start), 1.0)
    axes = [axes_on(slice_mask, geometry.spacing_mm[1:]) for slice_mask in mask]
    longest = max(range(len(axes)), key=lambda place: axes[place][0])
    long_mm, short_mm, ends = axes[longest]
    frame = segmentation.sources[int(start[0]) + longest]
    values = image.array[box][mask]
    return Lesion(
        number=number,
        of=segment.number,
        tracking_uid=derive_uid("lesion", frame.sop_instance_uid, str(frame.number), str(number)),
        centre_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
        frame=frame,
        ends_px=(
            float(ends[0][0] + start[1]),
            float(ends[0][1] + start[2]),
            float(ends[1][0] + start[1]),
            float(ends[1][1] + start[2]),
        ),
        long_mm=long_mm,
        short_mm=short_mm,
        volume_cm3=int(mask.sum()) * geometry.voxel_cm3,
        suv_max=float(values.max()) if image.unit == SUVBW else None,
    )


def axes_on(
    mask: NDArray[np.bool_], spacing_mm: tuple[float, float]
) -> tuple[float, float, NDArray[np.float64]]:
    """Return the longest diameter of a mask in mm, the longest across it, and its ends.

    Diameters reach from the outer side of one pixel to that of another. The ends are (2, 2),
    (row, column) each; an empty mask has diameters of 0.
    """
    pixels = np.argwhere(mask)
    if not len(pixels):
        return 0.0, 0.0, np.zeros((2, 2))
    corners = (pixels[:, None] + _EDGES).reshape(-1, 2)
    points = corners * spacing_mm
    points = points[_hull(points)]
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    first, last = np.unravel_index(int(apart.argmax()), apart.shape)
    along = (points[last] - points[first]) / apart[first, last]
    across = points @ np.array([-along[1], along[0]])
    ends = np.stack([points[first], points[last]]) / spacing_mm
    return float(apart.max()), float(across.max() - across.min()), ends


def _hull(points: NDArray[np.float64]) -> NDArray[np.intp]:
    try:
        corners: NDArray[np.intp] = ConvexHull(points).vertices
    except QhullError:
        return np.arange(len(points))
    return corners
