"""A restored image is what its source is, but for its pixels and for saying that it is derived."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.domain.errors import TaskFailed
from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.encode.derived_image import encode
from dicom_ai_node.encode.headers import normalised
from tests import phantoms
from tests.encode import scenes


def _derived(received: Sequence[Dataset], factor: int = 1, **changes: object) -> list[Dataset]:
    scene = scenes.restored(received, factor, **changes)
    return list(encode(scene.findings, scene.origin))


@pytest.mark.parametrize("source", scenes.RESTORED)
def test_there_is_one_image_for_each_of_the_source(source: str) -> None:
    """Of the same class and study, in one new series, with UIDs of their own."""
    received = list(scenes.RESTORED[source]())
    derived = _derived(received)
    assert [item.SOPClassUID for item in derived] == [item.SOPClassUID for item in received]
    assert {item.StudyInstanceUID for item in derived} == {received[0].StudyInstanceUID}
    assert len({item.SeriesInstanceUID for item in derived}) == 1
    assert derived[0].SeriesInstanceUID != received[0].SeriesInstanceUID
    assert len({item.SOPInstanceUID for item in derived}) == len(received)
    assert [item.Modality for item in derived] == [item.Modality for item in received]
    assert [item.InstanceNumber for item in derived] == [item.InstanceNumber for item in received]


@pytest.mark.parametrize("source", scenes.RESTORED)
def test_it_says_what_it_was_derived_from_and_how(source: str) -> None:
    """PS3.3 C.7.6.1.1.3: image type, derivation and source image, and that it is research."""
    for item, received in zip(
        _derived(scenes.RESTORED[source]()), scenes.RESTORED[source](), strict=True
    ):
        assert item.ImageType[0] == "DERIVED"
        assert list(item.ImageType[1:]) == list(received.ImageType[1:])
        assert item.DerivationCodeSequence[-1].CodeValue == "113087"
        assert "less_noise 1.2.0" in item.DerivationDescription
        (reference,) = item.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == received.SOPInstanceUID
        assert reference.SpatialLocationsPreserved == "YES"
        assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"
        assert item.ContentQualification == "RESEARCH"
        assert item.SeriesDescription.endswith("AI Less noise (RESEARCH)")
        assert item.ContributingEquipmentSequence[-1].DeviceUID == scenes.RESTORER.device_uid


@pytest.mark.parametrize("source", scenes.RESTORED)
def test_place_unit_and_window_are_those_of_the_source(source: str) -> None:
    """A viewer puts the two side by side, links them, and shows both in the same grey."""
    same = (
        "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
        "FrameOfReferenceUID", "SliceThickness", "GantryDetectorTilt", "RescaleSlope",
        "RescaleIntercept", "RescaleType", "WindowCenter", "WindowWidth", "BitsStored",
        "PixelRepresentation", "PhotometricInterpretation", "Units", "DecayCorrection", "SeriesDate",
        "SeriesTime", "AcquisitionTime", "FrameReferenceTime", "PatientWeight", "ImageIndex",
        "NumberOfFrames", "FrameTime", "BurnedInAnnotation", "LossyImageCompression",
        "RadiopharmaceuticalInformationSequence", "SequenceOfUltrasoundRegions", "KVP",
    )  # fmt: skip
    for item, received in zip(
        _derived(scenes.RESTORED[source]()), scenes.RESTORED[source](), strict=True
    ):
        clean = normalised(received)
        assert {k: item.get(k) for k in same} == {k: clean.get(k) for k in same}


def test_the_pixels_are_the_ones_that_were_restored() -> None:
    """In their order, with the bits of the source."""
    scene = scenes.restored(phantoms.ct())
    assert scene.findings.derived is not None
    for item, pixels in zip(
        encode(scene.findings, scene.origin), scene.findings.derived.pixels, strict=True
    ):
        item.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
        assert np.array_equal(item.pixel_array, pixels)


def test_what_was_true_of_the_old_pixels_is_left_out() -> None:
    """Smallest and largest value, the icon, a signature, another image's frame of mind."""
    received = phantoms.ct()
    for image in received:
        image.SmallestImagePixelValue, image.LargestImagePixelValue = 0, 4095
        image.ImageID, image.StationName = "7", "CT1"
    for item in _derived(received):
        for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "ImageID"):
            assert keyword not in item


def test_what_was_lost_stays_lost() -> None:
    """A lossy source makes a lossy result, whatever was done to it."""
    received = phantoms.ct()
    for image in received:
        image.LossyImageCompression, image.LossyImageCompressionRatio = "01", "12.5"
        image.LossyImageCompressionMethod = "ISO_10918_1"
    for item in _derived(received):
        assert item.LossyImageCompression == "01"
        assert item.LossyImageCompressionRatio == "12.5"


def test_an_earlier_derivation_is_not_forgotten() -> None:
    """What was derived from a derived image has been derived twice."""
    received = phantoms.ct()
    for image in received:
        image.DerivationDescription = "Averaged"
    assert _derived(received)[0].DerivationDescription.startswith("Averaged; Less noise")


def test_finer_pixels_lie_between_the_same_borders() -> None:
    """Their corner and their end in the patient are those of the source, tilt and all."""
    for fine, coarse in zip(_derived(scenes.tilted(), 2), scenes.tilted(), strict=True):
        assert (fine.Rows, fine.Columns) == (2 * coarse.Rows, 2 * coarse.Columns)
        assert np.allclose(_borders_mm(fine), _borders_mm(coarse), atol=1e-4)
        assert fine.SourceImageSequence[0].SpatialLocationsPreserved == "NO"
        assert fine.SliceThickness == coarse.SliceThickness


def _borders_mm(image: Dataset) -> list[np.ndarray]:
    """Return where the outer corners of the first and the last pixel lie in the patient."""
    across, down = np.reshape(np.asarray(image.ImageOrientationPatient, float), (2, 3))
    row_mm, column_mm = map(float, image.PixelSpacing)
    first = np.asarray(image.ImagePositionPatient, float)
    return [
        first + across * column_mm * (column - 0.5) + down * row_mm * (row - 0.5)
        for row, column in ((0, 0), (image.Rows, image.Columns))
    ]


def test_finer_ultrasound_measures_the_same_lengths() -> None:
    """Its region has twice the pixels and half the step, so that its sides are as long."""
    received = phantoms.us()
    (fine,) = _derived([received], 2)
    for image, times in ((received, 1), (fine, 2)):
        (region,) = image.SequenceOfUltrasoundRegions
        columns = region.RegionLocationMaxX1 - region.RegionLocationMinX0 + 1
        assert columns * region.PhysicalDeltaX == pytest.approx(
            received.SequenceOfUltrasoundRegions[0].PhysicalDeltaX
            * (
                received.SequenceOfUltrasoundRegions[0].RegionLocationMaxX1
                - received.SequenceOfUltrasoundRegions[0].RegionLocationMinX0
                + 1
            )
        )
        assert region.RegionLocationMinY0 == times * (
            received.SequenceOfUltrasoundRegions[0].RegionLocationMinY0
        )


def test_shutters_are_left_out_where_pixels_have_another_size() -> None:
    """A black border at the old place would cover what was outside of it."""
    received = phantoms.dx()
    received.CollimatorShape, received.CollimatorLeftVerticalEdge = "RECTANGULAR", 3
    assert "CollimatorShape" not in _derived([received], 2)[0]
    assert _derived([received])[0].CollimatorLeftVerticalEdge == 3


def test_a_long_description_is_cut_and_what_was_done_is_not() -> None:
    """64 characters are all that there are."""
    received = phantoms.ct()
    for image in received:
        image.SeriesDescription = "X" * 64
    (text, *_) = {item.SeriesDescription for item in _derived(received)}
    assert len(text) == 64
    assert text.endswith("X AI Less noise (RESEARCH)")
    released = _derived(received, content_qualification="PRODUCT")
    assert released[0].SeriesDescription.endswith("X AI Less noise")


def test_the_same_job_gives_the_same_images() -> None:
    """An archive sees duplicates, and the node recognises its own UIDs."""
    assert _derived(phantoms.ct()) == _derived(phantoms.ct())


def test_findings_without_a_restoration_give_no_image() -> None:
    """That is no failure."""
    scene = scenes.scene(phantoms.ct())
    assert encode(scene.findings, scene.origin) == []


def test_what_cannot_be_derived_is_refused() -> None:
    """Enhanced images, PET whose scale is private, cines of which frames are missing, strangers."""
    scene = scenes.restored([scenes.enhanced()])
    with pytest.raises(TaskFailed, match="SOP class"):
        encode(scene.findings, scene.origin)
    counts = phantoms.pet()
    for image in counts:
        image.Units = "CNTS"
    with pytest.raises(TaskFailed, match="scale"):
        _derived(counts)
    cine = scenes.restored([phantoms.us_cine()])
    with pytest.raises(TaskFailed, match="frames of an instance"):
        encode(_first_frames(cine.findings), cine.origin)
    ct = scenes.restored(phantoms.ct())
    with pytest.raises(TaskFailed, match="inputs"):
        encode(ct.findings, replace(ct.origin, sources=ct.origin.sources[1:]))


def _first_frames(findings: Findings) -> Findings:
    derived = findings.derived
    assert derived is not None
    fewer = replace(derived, pixels=derived.pixels[:2], sources=derived.sources[:2])
    return replace(findings, derived=fewer)
