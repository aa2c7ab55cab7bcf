"""From the files of one series to one image: the door that the runner uses."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset

from dicom_ai_node.domain.image import Image
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.progress import share
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.moments import read_moments
from dicom_ai_node.infer.planes import legible, read_headers
from dicom_ai_node.infer.slices import read_slices, read_volume
from dicom_ai_node.infer.stills import read_frames

MAX_PIXELS_BYTES: Final = 4 * 2**30
"""Of decoded pixels, 4 bytes each at least."""

_NO_OPTIONS: Final[Mapping[str, Option]] = MappingProxyType({})

_CROSS_SECTIONS: Final = frozenset({"CT", "MR", "PT"})


def read_series(
    paths: Sequence[Path],
    sees: Sees,
    *,
    options: Mapping[str, Option] = _NO_OPTIONS,
    max_pixels_bytes: int = MAX_PIXELS_BYTES,
) -> Image:
    """Read one series into what a model sees, or say why that cannot be done.

    Nothing is repaired in silence: what was left out or looks odd stands in `notes`.

    Parameters
    ----------
    paths
        The Part 10 files of one series, in any order and under any name.
    sees
        VOLUME: one evenly spaced, orthogonal volume. SLICES: the same slices one by one; tilt
        and uneven gaps are noted, not rejected. FRAMES: projections, ultrasound and cines in
        0..255; CT, MR and PET are read as SLICES, but for one place at many times, which is a
        cine.
    options
        `allow_derived`, `allow_doppler`, `allow_unscaled`: take what is rejected otherwise.
        `time_point` (from 1): which of several; `place` (from 1): which of several over time;
        `voi` (from 1): which LUT or window of an X-ray; `views: frontal`: only X-rays taken from
        the front or the back.
    max_pixels_bytes
        Checked before anything is decoded.

    Returns
    -------
    Image
        `Volume` for VOLUME, `Frames` for the others; CT in HU, PET in SUVbw.

    Raises
    ------
    Rejected
        With the code of the cause; see `domain.reject`.
    """
    with warnings.catch_warnings(), legible():
        # pydicom warns of odd values and quotes them; what matters of it is checked on the way
        warnings.simplefilter("ignore")
        with share(0, 2):
            headers = read_headers(paths)
        with share(1, 2):
            return _read(headers, sees, options, max_pixels_bytes)


def _read(
    headers: Sequence[Dataset],
    sees: Sees,
    options: Mapping[str, Option],
    max_pixels_bytes: int,
) -> Image:
    if sees is Sees.VOLUME:
        return read_volume(headers, options, max_pixels_bytes)
    if sees is Sees.SLICES:
        return read_slices(headers, options, max_pixels_bytes)
    if headers[0].get("Modality") in _CROSS_SECTIONS:
        return read_moments(headers, options, max_pixels_bytes)
    return read_frames(headers, options, max_pixels_bytes)
