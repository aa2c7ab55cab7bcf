"""The header of a stored file in the DICOM JSON model, PS3.18 Annex F, without its long values.

Text becomes UTF-8. What cannot be read as its VR is left out: a header with one odd element is
still a header. Values of more than `LONGEST_BYTES`, and the pixel data, are named by a
`BulkDataURI` below `/studies/` instead.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset

LONGEST_BYTES = 1024
"""A longer binary value is bulk data."""

_BULK = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_PIXELS = {"PixelData": "OW", "FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}
_UTF_8 = {"vr": "CS", "Value": ["ISO_IR 192"]}


def header_json(path: Path) -> dict[str, Any]:
    """Return the header of a Part 10 file; the file is trusted to have the UIDs of its row.

    Raises
    ------
    Exception
        Whatever pydicom raises for bytes that are no data set.
    """
    with path.open("rb") as file:
        dataset = dcmread(file, stop_before_pixels=True)
        has_pixels = bool(file.read(1))
    place = (
        f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
        f"/instances/{dataset.SOPInstanceUID}/bulkdata"
    )
    header = _as_json(dataset, place)
    if has_pixels:
        tag, vr = _pixel_data(dataset)
        header[tag] = {"vr": vr, "BulkDataURI": f"{place}/{tag}"}
    header["00080005"] = _UTF_8
    return header


def _pixel_data(dataset: FileDataset) -> tuple[str, str]:
    """Return which of the three pixel data elements comes where reading has stopped."""
    if "BitsAllocated" not in dataset or int(dataset.BitsAllocated) <= 16:  # noqa: PLR2004
        encapsulated = dataset.file_meta.TransferSyntaxUID.is_encapsulated
        return "7FE00010", "OB" if encapsulated else "OW"
    if int(dataset.BitsAllocated) == 64:  # noqa: PLR2004
        return "7FE00009", "OD"
    return ("7FE00008", "OF") if "PixelRepresentation" not in dataset else ("7FE00010", "OW")


def _as_json(dataset: Dataset, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for tag in sorted(dataset.keys()):
        # A private or unknown value may be anything; what does not fit its VR is left out.
        with suppress(Exception):
            element = dataset[tag]
            name = f"{element.tag:08X}"
            found[name] = _element(element, f"{place}/{name}")
    return found


def _element(element: DataElement, place: str) -> dict[str, Any]:
    if element.VR == "SQ":
        items = [
            _as_json(item, f"{place}/{number}") for number, item in enumerate(element.value, 1)
        ]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    if element.VR in _BULK and len(element.value or b"") > LONGEST_BYTES:
        return {"vr": element.VR, "BulkDataURI": place}
    # Longer values have been dealt with, so nobody has to be asked where they are.
    made: dict[str, Any] = element.to_json_dict(None, LONGEST_BYTES * 1024)
    return made


def encoded(header: dict[str, Any]) -> bytes:
    """Return a header as it goes over the wire."""
    return json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
