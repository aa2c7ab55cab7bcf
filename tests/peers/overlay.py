"""Does a segmentation lie on the pixels that it is of, as one sees it in OHIF?"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from scipy.ndimage import binary_dilation, binary_erosion
from skimage.color import lab2rgb

from tests.peers.ohif import Ohif, tinted
from tests.peers.validators import LABEL_MAP_STORAGE


def _colour(segmentation: Dataset, number: int) -> NDArray[np.float64]:
    """Return the recommended colour of a segment in RGB, PS3.3 C.10.7.1.1."""
    (segment,) = (one for one in segmentation.SegmentSequence if number == one.SegmentNumber)
    lab = np.asarray(segment.RecommendedDisplayCIELabValue)
    scaled = lab / 65535 * (100, 255, 255) - (0, 128, 128)
    return np.asarray(lab2rgb(scaled) * 255, np.float64)


def _largest(segmentation: Dataset) -> tuple[int, Dataset, NDArray[np.bool_]]:
    """Return the number of a segment, the groups of its largest frame, and where it lies there."""
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    index = int((frames > 0).sum(axis=(1, 2)).argmax())
    groups = segmentation.PerFrameFunctionalGroupsSequence[index]
    if segmentation.SOPClassUID == LABEL_MAP_STORAGE:
        number = int(np.bincount(frames[index][frames[index] > 0]).argmax())
        return number, groups, frames[index] == number
    (named,) = groups.SegmentIdentificationSequence
    return int(named.ReferencedSegmentNumber), groups, frames[index] > 0


def lies_right(viewer: Ohif, segmentation: Dataset, picture: Path) -> None:
    """Fail if the colour of a segment is not where its pixels are, or is elsewhere too."""
    number, groups, mask = _largest(segmentation)
    source = groups.DerivationImageSequence[0].SourceImageSequence[0]
    viewer.go_to(source.ReferencedSOPInstanceUID, int(source.get("ReferencedFrameNumber") or 1))
    colours = viewer.picture(picture)
    tint = _colour(segmentation, number)
    # The outline is drawn over the border, so that neither side of it counts.
    inside = np.argwhere(binary_erosion(mask, iterations=2))
    outside = np.argwhere(~binary_dilation(mask, iterations=2))
    for pixels, expected in ((inside, True), (outside, False)):
        assert len(pixels) > 10
        chosen = pixels[:: max(1, len(pixels) // 200)]
        seen = viewer.places(chosen).round().astype(int)
        # What lies under the texts and the buttons at the borders of the picture is left out.
        free = (seen[:, 0] > 170) & (seen[:, 0] < 720) & (seen[:, 1] > 420) & (seen[:, 1] < 1180)
        shown = tinted(colours[tuple(seen[free].T)], tint.tolist())
        assert free.sum() > 10
        assert np.mean(shown == expected) > 0.97
