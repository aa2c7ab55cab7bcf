"""Pictures as DICOM objects."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)

from dicom_ai_node.domain.findings import Findings
from dicom_ai_node.encode.secondary_capture import encode
from tests import phantoms
from tests.encode import scenes


def test_a_volume_becomes_the_picture_on_which_most_was_found() -> None:
    """It names its source image, lies as it does, and says that it is drawn on."""
    scene = scenes.scene(phantoms.ct())
    (image,) = encode(scene.findings, scene.origin)
    found = scene.findings.segmentation
    assert found is not None
    fullest = found.sources[int((found.labels > 0).sum(axis=(1, 2)).argmax())]
    assert image.SOPClassUID == SecondaryCaptureImageStorage
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == fullest.sop_instance_uid
    assert image.PatientOrientation == ["L", "P"]
    assert image.BurnedInAnnotation == "YES"
    assert image.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert image.Rows > 512 <= image.Columns
    assert len(image.PixelData) in {image.Rows * image.Columns * 3 + rest for rest in (0, 1)}


def test_a_cine_stays_a_cine() -> None:
    """With all frames and their time."""
    scene = scenes.scene([phantoms.us_cine()])
    (image,) = encode(scene.findings, scene.origin)
    assert image.SOPClassUID == MultiFrameTrueColorSecondaryCaptureImageStorage
    assert image.NumberOfFrames == 8
    assert float(image.FrameTime) == 40.0


@pytest.mark.parametrize(
    ("times_ms", "keyword"),
    [
        pytest.param((0.0, 30.0, 90.0), "FrameTimeVector", id="uneven times are a list"),
        pytest.param(None, "PageNumberVector", id="no times are pages"),
    ],
)
def test_the_times_of_a_cine_are_told_as_they_are(
    times_ms: tuple[float, ...] | None, keyword: str
) -> None:
    """Never invented."""
    scene = scenes.scene([phantoms.us_cine(frames=3)])
    assert scene.findings.backdrop is not None
    backdrop = replace(scene.findings.backdrop, times_ms=times_ms)
    (image,) = encode(replace(scene.findings, backdrop=backdrop), scene.origin)
    assert keyword in image
    assert len(image[keyword].value) == 3


def test_a_long_cine_is_thinned_out() -> None:
    """No archive likes a picture of gigabytes; the time runs on as it did."""
    scene = scenes.scene([phantoms.us_cine(frames=300, rows=16, columns=16)])
    (image,) = encode(scene.findings, scene.origin)
    assert image.NumberOfFrames < 300
    every = round(float(image.FrameTime) / 40)
    assert image.NumberOfFrames == -(-300 // every)
    assert f"every {every}" in image.DerivationDescription


def test_single_images_become_one_picture_each() -> None:
    """Frontal and lateral are read side by side."""
    scene = scenes.scene(scenes.SOURCES["two CR"]())
    images = encode(scene.findings, scene.origin)
    assert len(images) == 2
    assert [image.InstanceNumber for image in images] == [1, 2]
    assert images[0].PatientOrientation == ["L", "F"]


def test_nothing_found_is_shown_as_such() -> None:
    """Who sees only pictures must see that the model has run."""
    scene = scenes.nothing(phantoms.ct())
    (image,) = encode(scene.findings, scene.origin)
    pixels = np.frombuffer(image.PixelData, np.uint8)[: image.Rows * image.Columns * 3]
    colour = pixels.reshape(image.Rows, image.Columns, 3)
    assert not (colour == scenes.LIVER.colour_rgb).all(axis=-1).any()


def test_pixels_that_are_not_square_are_shown_in_proportion() -> None:
    """A ball stays round."""
    scene = scenes.scene(phantoms.ct(rows=64, columns=64, spacing_mm=(2.5, 2.0, 1.0)))
    (image,) = encode(scene.findings, scene.origin)
    assert image.Columns == 512
    assert image.Rows > 1024


def test_a_task_that_shows_nothing_gets_no_picture() -> None:
    """No backdrop, no picture."""
    scene = scenes.scene([phantoms.dx()])
    assert encode(Findings(), scene.origin) == []


def test_the_same_patient_or_another_makes_the_same_picture() -> None:
    """No name, no number of a patient is in the pixels."""
    one = scenes.scene([phantoms.dx()])
    other = scenes.scene(
        [phantoms.dx(PatientName="Other^Name", PatientID="2", AccessionNumber="9")]
    )
    pictures = [encode(scene.findings, scene.origin)[0].PixelData for scene in (one, other)]
    assert pictures[0] == pictures[1]


def test_a_product_does_not_call_itself_research() -> None:
    """The banner follows the qualification that the site has configured."""
    research = scenes.scene([phantoms.dx()])
    product = scenes.scene([phantoms.dx()], content_qualification="PRODUCT")
    images = [encode(scene.findings, scene.origin)[0] for scene in (research, product)]
    assert [image.ContentQualification for image in images] == ["RESEARCH", "PRODUCT"]
    assert images[0].PixelData != images[1].PixelData


def test_legs_have_a_side_and_heads_have_none() -> None:
    """Laterality is there exactly where there are two of it."""
    for part, has_side in (("KNEE", True), ("CHEST", False)):
        scene = scenes.scene([phantoms.dx(BodyPartExamined=part, Laterality="R")])
        assert ("Laterality" in encode(scene.findings, scene.origin)[0]) is has_side


def _colour(image: Dataset) -> NDArray[np.uint8]:
    pixels = np.frombuffer(image.PixelData, np.uint8)[: image.Rows * image.Columns * 3]
    return pixels.reshape(image.Rows, image.Columns, 3)


def test_a_heat_map_is_drawn_over_the_image_that_it_explains() -> None:
    """In colour where something speaks for the class, in the grey of the image elsewhere."""
    scene = scenes.classified([phantoms.cr()])
    (image,) = encode(scene.findings, scene.origin)
    (bare,) = encode(replace(scene.findings, heat_map=None), scene.origin)
    warm, plain = _colour(image), _colour(bare)
    assert image.BurnedInAnnotation == "YES"
    source = image.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert source == scene.origin.sources[0].SOPInstanceUID
    height, width = plain.shape[:2]
    hot = (
        slice(height * 35 // 100, height * 40 // 100),
        slice(width * 58 // 100, width * 62 // 100),
    )
    assert np.ptp(plain[hot].astype(int), axis=-1).max() == 0
    assert np.ptp(warm[hot].astype(int), axis=-1).min() > 30
    corner = (slice(height * 78 // 100, height * 79 // 100), slice(2, 6))
    assert np.abs(warm[corner].astype(int) - plain[corner]).max() <= 4


def test_of_a_stack_the_slice_with_most_heat_is_shown() -> None:
    """It names the slice."""
    scene = scenes.classified(phantoms.mr())
    (image,) = encode(scene.findings, scene.origin)
    heat = scene.findings.heat_map
    assert heat is not None
    shown = image.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert shown == heat.sources[1].sop_instance_uid


def test_a_heat_map_of_other_patients_looks_the_same() -> None:
    """No name is in the pixels of a classification either."""
    one, other = (
        scenes.classified([phantoms.cr(**changes)])
        for changes in ({}, {"PatientName": "Other^Name", "PatientID": "2"})
    )
    pictures = [encode(scene.findings, scene.origin)[0].PixelData for scene in (one, other)]
    assert pictures[0] == pictures[1]
