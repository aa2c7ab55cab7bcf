"""Objects without a network: what a model that counts has to be better than."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from dicom_ai_node.neural.separate import brightened, histogram_of, renumbered
from dicom_ai_node.training.matching import Objects


def by_brightness(image: NDArray[np.float32], gap_px: int, smallest_px: int) -> Objects:
    """Find objects in (rows, columns) of 0..255: Otsu's threshold, watershed of the depth.

    Objects whose deepest points are less than `gap_px` apart stay one.
    """
    bright = brightened(image, histogram_of(image), (0, 100))
    smooth = ndimage.gaussian_filter(bright, 1.0)
    mask = ndimage.binary_fill_holes(smooth > threshold_otsu(smooth))
    depth = ndimage.distance_transform_edt(mask)
    seeds = np.zeros(mask.shape, np.int32)
    peaks = peak_local_max(depth, min_distance=gap_px, labels=ndimage.label(mask)[0])
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return renumbered(watershed(-depth, seeds, mask=mask), smallest_px)
