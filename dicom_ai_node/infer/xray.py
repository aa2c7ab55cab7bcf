"""Projections: presented as a viewer would show them, and how large their pixels are.

The chain is that of PS3.4 N.2: modality LUT, VOI LUT or window, and one inversion if the image is
MONOCHROME1. What comes out runs from 0 to 255, more is brighter.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    DigitalIntraOralXRayImageStorageForProcessing,
    DigitalMammographyXRayImageStorageForProcessing,
    DigitalXRayImageStorageForProcessing,
)

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.domain.rule import Option
from dicom_ai_node.infer.colour import FULL_SCALE
from dicom_ai_node.infer.planes import Plane
from dicom_ai_node.infer.units import looked_up, padding, rescaled

FOR_PROCESSING: Final = frozenset({
    DigitalXRayImageStorageForProcessing, DigitalMammographyXRayImageStorageForProcessing,
    DigitalIntraOralXRayImageStorageForProcessing,
})  # fmt: skip

_FRONTAL_CODES: Final = frozenset({"399348003", "399061000", "R-10214", "R-10206"})
"""Postero-anterior and antero-posterior in SNOMED CT and SRT, CID 4010."""

_FLUOROSCOPY: Final = frozenset({"XA", "RF"})

_SIGMOID_SLOPE: Final = -4.0
"""PS3.3 C.11.2.1.3.1."""


def check_presentable(header: Dataset) -> None:
    """Raise PIX_FOR_PROCESSING for detector values that were never meant to be seen."""
    is_raw = header.get("PresentationIntentType") == "FOR PROCESSING"
    if is_raw or header.get("SOPClassUID") in FOR_PROCESSING:
        raise Rejected(RejectCode.PIX_FOR_PROCESSING, "PresentationIntentType is FOR PROCESSING")


def presented(
    header: Dataset, stored: NDArray[Any], options: Mapping[str, Option]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return a grey frame as it would be shown, and where it is not padding.

    Parameters
    ----------
    options
        `voi` (from 1) takes another LUT or window than the first.

    Returns
    -------
    tuple
        (rows, columns) float32 in 0..255; (rows, columns) bool, or `None` if all is valid.

    Raises
    ------
    Rejected
        With PIX_CORRUPT if a LUT or window cannot be applied.
    """
    plane = Plane(header)
    padded = padding(plane, stored)
    values = rescaled(plane, stored)
    shown = _voi(plane, values, padded, max(1, int(options.get("voi", 1))) - 1)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        # PresentationLUTShape INVERSE says the same again and is no second inversion
        shown = FULL_SCALE - shown
    if padded is None or not padded.any():
        return shown, None
    shown[padded] = 0
    return shown, ~padded


def pixel_spacing_mm(header: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Return the distance of pixel centres (row, column) in mm, and a note on what it means.

    PixelSpacing counts where someone has calibrated it, PS3.3 10.7; else the spacing on the
    detector divided by the magnification. `None` where there is neither, and in fluoroscopy where
    the magnification is unknown.
    """
    plane = Plane(header)
    calibrated, detector = plane.numbers("PixelSpacing"), plane.numbers("ImagerPixelSpacing")
    is_calibrated = calibrated != detector or header.get("PixelSpacingCalibrationType")
    if _is_spacing(calibrated) and is_calibrated:
        return (calibrated[0], calibrated[1]), ""
    if not _is_spacing(detector):
        return None, f"{RejectCode.MEAS_UNCALIBRATED.name}: measured in pixels only"
    magnification = _magnification(plane)
    if magnification is None and header.get("Modality") in _FLUOROSCOPY:
        # There the patient lies anywhere between tube and detector.
        return None, f"{RejectCode.MEAS_UNCALIBRATED.name}: calibrated at the detector only"
    if magnification is None:
        return (detector[0], detector[1]), "millimetres at the detector, magnification unknown"
    return (detector[0] / magnification, detector[1] / magnification), ""


def is_frontal(header: Dataset) -> bool | None:
    """Return whether an X-ray was taken from the front or the back; `None` if it does not say."""
    view = str(header.get("ViewPosition") or "").strip().upper()
    if view:
        return view in ("PA", "AP")
    for item in (header.get("ViewCodeSequence") or ())[:1]:
        return str(item.get("CodeValue")) in _FRONTAL_CODES
    orientation = Plane(header).texts("PatientOrientation")
    if orientation:
        return orientation[0][:1] in ("L", "R")
    return None


def _voi(
    plane: Plane, values: NDArray[np.float32], padded: NDArray[np.bool_] | None, index: int
) -> NDArray[np.float32]:
    tables = plane.ds.get("VOILUTSequence") or ()
    if tables:
        table = tables[min(index, len(tables) - 1)]
        bits = int(table.LUTDescriptor[2])
        entries = looked_up(table, np.rint(values), is_signed=bool(values.min() < 0))
        return entries * np.float32(FULL_SCALE / (2**bits - 1))
    centres, widths = plane.numbers("WindowCenter"), plane.numbers("WindowWidth")
    index = min(index, len(centres) - 1, len(widths) - 1)
    function = (plane.texts("VOILUTFunction") or ("LINEAR",))[0]
    if index >= 0 and widths[index] > (0 if function != "LINEAR" else 1):
        return windowed(values, centres[index], widths[index], function)
    seen = values if padded is None or padded.all() else values[~padded]
    low, high = float(seen.min()), float(seen.max())
    return windowed(values, (low + high) / 2, max(high - low, 1e-6), "LINEAR_EXACT")


def windowed(
    values: NDArray[np.float32], centre: float, width: float, function: str
) -> NDArray[np.float32]:
    """Apply a window, PS3.3 C.11.2.1.2 and C.11.2.1.3; the result runs from 0 to 255.

    Raises
    ------
    Rejected
        With PIX_CORRUPT for a function that the standard does not name.
    """
    match function:
        case "LINEAR":
            share = (values - (centre - 0.5)) / (width - 1) + 0.5
        case "LINEAR_EXACT":
            share = (values - centre) / width + 0.5
        case "SIGMOID":
            steepness = np.clip(_SIGMOID_SLOPE * (values - centre) / width, -80, 80)
            share = 1 / (1 + np.exp(steepness))
        case _:
            raise Rejected(RejectCode.PIX_CORRUPT, "VOILUTFunction is unknown")
    shown: NDArray[np.float32] = np.clip(share, 0, 1).astype(np.float32) * FULL_SCALE
    return shown


def _magnification(plane: Plane) -> float | None:
    """Return by how much the detector's image is larger than the patient."""
    estimated = plane.numbers("EstimatedRadiographicMagnificationFactor")
    if estimated and estimated[0] > 0:
        return estimated[0]
    to_detector = plane.numbers("DistanceSourceToDetector")
    to_patient = plane.numbers("DistanceSourceToPatient")
    if to_detector and to_patient and 0 < to_patient[0] <= to_detector[0]:
        return to_detector[0] / to_patient[0]
    return None


def _is_spacing(values: tuple[float, ...]) -> bool:
    return len(values) == 2 and min(values) > 0  # noqa: PLR2004 (row, column)
