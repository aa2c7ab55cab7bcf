"""One input brought to the place of another: where in the patient each voxel lies decides."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.image import Volume
from dicom_ai_node.domain.reject import RejectCode

_HALF = 0.5 + 1e-6
"""A voxel reaches half a step from its centre; positions are decimal strings and rounded."""


def aligned(image: Volume, reference: Volume, name: str, outside: float) -> Volume:
    """Return `image` on the grid of `reference`, interpolated linearly.

    Where it does not reach, or holds padding, it counts as `outside` and as not valid; a note
    tells how much that is.

    Parameters
    ----------
    name
        What the input is called, for whoever reads notes and errors.

    Raises
    ------
    Rejected
        With FUSION_NO_FOR if the two do not lie in one frame of reference, PS3.3 C.7.4.1, for
        then nobody knows how they lie to each other; with IN_COVERAGE if they do not overlap.
    """
    frame = reference.geometry.frame_of_reference_uid
    if not frame or image.geometry.frame_of_reference_uid != frame:
        raise Rejected(RejectCode.FUSION_NO_FOR, f"{name} lies in another frame of reference")
    to_image = np.linalg.inv(image.geometry.affine) @ reference.geometry.affine
    values = image.array
    if image.valid is not None:
        values = np.where(image.valid, values, np.float32(outside))
    shape = reference.geometry.shape
    array, valid = np.empty(shape, np.float32), np.empty(shape, np.bool_)
    # One slice at a time, for coordinates take six times the memory of the values.
    rows, columns = np.indices(shape[1:], np.float64)
    for place in range(shape[0]):
        where = np.stack([np.full(shape[1:], float(place)), rows, columns])
        where = np.tensordot(to_image[:3, :3], where, 1) + to_image[:3, 3, None, None]
        inside = _inside(where, image)
        found = ndimage.map_coordinates(values, where, order=1, mode="nearest")
        array[place] = np.where(inside, found, outside)
        valid[place] = inside
    covered = float(valid.mean())
    if not covered:
        raise Rejected(RejectCode.IN_COVERAGE, f"{name} shows nothing of the other input")
    notes = tuple(f"{name}: {note}" for note in image.notes)
    if covered < 1:
        notes += (f"{name} covers {100 * covered:.0f} %; the rest counts as {outside:g}",)
    return Volume(
        array=array,
        geometry=reference.geometry,
        unit=image.unit,
        sources=(),
        valid=valid,
        notes=notes,
    )


def _inside(where: NDArray[np.float64], image: Volume) -> NDArray[np.bool_]:
    """Return which of the places (3, rows, columns) lie in a voxel of `image` that is valid."""
    inside = np.ones(where.shape[1:], np.bool_)
    for axis, length in enumerate(image.geometry.shape):
        inside &= (where[axis] >= -_HALF) & (where[axis] <= length - 1 + _HALF)
    if image.valid is not None:
        nearest = tuple(
            np.clip(np.rint(where[axis]), 0, length - 1).astype(np.intp)
            for axis, length in enumerate(image.geometry.shape)
        )
        inside &= image.valid[nearest]
    return inside
