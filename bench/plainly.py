"""What scripts do with highdicom to write what was found, as its documentation shows it."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import highdicom as hd
import numpy as np
from PIL import Image, ImageDraw
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from scipy import ndimage

from bench.found import MEASURED, measured, segments

if TYPE_CHECKING:
    from bench.writing import Asked

MADE_BY = {"manufacturer": "Bench", "series_number": 100, "instance_number": 1}
_TINT, _LINE_PX = 0.16, 2


def _headers(asked: "Asked") -> list[Dataset]:
    return [dcmread(path, stop_before_pixels=True) for path in asked.series]


def _uids() -> dict[str, hd.UID]:
    return {"series_instance_uid": hd.UID(), "sop_instance_uid": hd.UID()}


def _segmentation(asked: "Asked", kind: str, syntax: str) -> None:
    algorithm = hd.AlgorithmIdentificationSequence(
        name="bench", family=codes.DCM.ArtificialIntelligence, version="1"
    )
    seg = hd.seg.Segmentation(
        source_images=_headers(asked),
        pixel_array=np.load(f"{asked.labels}.npy"),
        segmentation_type=kind,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=one.number, segment_label=one.label,
                segmented_property_category=one.category, segmented_property_type=one.type,
                algorithm_type="AUTOMATIC", algorithm_identification=algorithm,
            )
            for one in segments(asked.count)
        ],
        manufacturer_model_name="Bench", software_versions="1", device_serial_number="1",
        transfer_syntax_uid=syntax, **MADE_BY, **_uids(),
    )  # fmt: skip
    seg.save_as(asked.out / "seg.dcm")


def binary(asked: "Asked") -> None:
    """Write a BINARY segmentation."""
    _segmentation(asked, "BINARY", ExplicitVRLittleEndian)


def label_map(asked: "Asked") -> None:
    """Write a LABELMAP segmentation, compressed as ours is."""
    _segmentation(asked, "LABELMAP", RLELossless)


def report(asked: "Asked") -> None:
    """Write a report with volume and mean of each structure."""
    headers = _headers(asked)
    labels = np.load(f"{asked.labels}.npy")
    values = np.load(asked.folder / "derived.npy")
    device = hd.sr.ObserverContext(
        codes.DCM.Device, hd.sr.DeviceObserverIdentifyingAttributes(uid=hd.UID(), name="bench")
    )
    groups = [
        hd.sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=hd.sr.TrackingIdentifier(hd.UID(), one.label),
            finding_category=one.category,
            finding_type=one.type,
            measurements=[
                hd.sr.Measurement(codes.SCT.Volume, volume, codes.UCUM.CubicCentimeter),
                hd.sr.Measurement(
                    codes.DCM.AttenuationCoefficient, mean, codes.UCUM.HounsfieldUnit,
                    derivation=codes.SCT.Mean,
                ),
            ],
        )
        for one in segments(min(asked.count, MEASURED))
        for volume, mean in (measured(labels, values, one.number),)
    ]  # fmt: skip
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=device),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=headers,
    )
    hd.sr.Comprehensive3DSR(
        evidence=headers, content=content, is_complete=True, **MADE_BY, **_uids()
    ).save_as(asked.out / "sr.dcm")


def capture(asked: "Asked") -> None:
    """Write a picture of the slice with most on it: colours, outlines, a banner and a legend."""
    headers = _headers(asked)
    labels = np.load(f"{asked.labels}.npy")
    at = int((labels > 0).sum(axis=(1, 2)).argmax())
    ds = dcmread(asked.series[at])
    grey = np.clip((ds.pixel_array.astype(np.float32) - 864) * (255 / 400), 0, 255)
    shown = np.repeat(grey[..., None], 3, axis=2)
    for one in segments(asked.count):
        mask = labels[at] == one.number
        shown[mask] += _TINT * (np.asarray(one.colour_rgb, np.float32) - shown[mask])
        shown[mask & ~ndimage.binary_erosion(mask, iterations=_LINE_PX)] = one.colour_rgb
    sheet = Image.new("RGB", (shown.shape[1], shown.shape[0] + 200))
    sheet.paste(Image.fromarray(shown.astype(np.uint8)), (0, 24))
    pen = ImageDraw.Draw(sheet)
    pen.text((4, 4), "AI RESULT - RESEARCH - NOT FOR DIAGNOSIS", fill="orange")
    for line, one in enumerate(segments(asked.count)):
        pen.text((4, shown.shape[0] + 28 + 16 * line), one.label, fill=one.colour_rgb)
    hd.sc.SCImage.from_ref_dataset(
        ref_dataset=headers[at], pixel_array=np.asarray(sheet), photometric_interpretation="RGB",
        bits_allocated=8, coordinate_system="PATIENT", pixel_spacing=(0.8, 0.8),
        patient_orientation=("L", "P"), **MADE_BY, **_uids(),
    ).save_as(asked.out / "sc.dcm")  # fmt: skip


WRITERS: Mapping[str, Callable[["Asked"], None]] = {
    "segmentation": binary,
    "segmentation_labelmap": label_map,
    "structured_report": report,
    "secondary_capture": capture,
}
