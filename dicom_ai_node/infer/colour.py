"""From any colours to grey: what a model trained on grey images has seen."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.pixels import Decoded

LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue, ITU-R BT.601."""

FULL_SCALE: Final = 255.0
"""Shown values run from 0 to this, whatever their bits were."""


def luma(decoded: Decoded, header: Dataset) -> NDArray[np.float32]:
    """Return (rows, columns) float32 luma in 0..255 of a colour frame.

    Raises
    ------
    Rejected
        With PIX_CORRUPT if a palette is incomplete, PIX_UNSUPPORTED if the colours are none that
        we know.
    """
    match decoded.photometric:
        case "RGB":
            rgb = decoded.values
            bits = int(header.get("BitsStored", 8))
        case "PALETTE COLOR":
            rgb = _through_palette(decoded.values, header)
            bits = 8 * rgb.itemsize
        case other:
            raise Rejected(RejectCode.PIX_UNSUPPORTED, f"colours as {other}")
    weights = np.array(LUMA, np.float32) * np.float32(FULL_SCALE / (2**bits - 1))
    grey: NDArray[np.float32] = rgb.astype(np.float32) @ weights
    return grey


def _through_palette(indices: NDArray[Any], header: Dataset) -> NDArray[Any]:
    try:
        rgb: NDArray[Any] = apply_color_lut(indices, header)[..., :3]
    except (AttributeError, ValueError, IndexError, KeyError) as error:
        raise Rejected(RejectCode.PIX_CORRUPT, "the palette is incomplete") from error
    return rgb
