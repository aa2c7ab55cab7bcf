"""Binary segmentations, read back by an implementation that did not write them."""

from io import BytesIO

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.encode.segmentation import encode
from dicom_ai_node.encode.write import unvalidated
from tests import phantoms
from tests.encode import scenes


def read_back(dataset: Dataset) -> hd.seg.Segmentation:
    """Return what highdicom reads from the bytes of a segmentation."""
    stream = BytesIO()
    with unvalidated():
        dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return hd.seg.Segmentation.from_dataset(dcmread(stream))


def pixels_by_source(seg: hd.seg.Segmentation, scene: scenes.Scene) -> np.ndarray:
    """Return (frames, rows, columns, segments) as highdicom finds them, in the sources' order."""
    first = scene.origin.sources[0]
    options = {"ignore_spatial_locations": True, "assert_missing_frames_are_empty": True}
    if "NumberOfFrames" in first:
        return seg.get_pixels_by_source_frame(
            first.SOPInstanceUID, list(range(1, first.NumberOfFrames + 1)), **options
        )
    uids = [source.SOPInstanceUID for source in scene.origin.sources]
    return seg.get_pixels_by_source_instance(uids, **options)


@pytest.mark.parametrize("source", scenes.SOURCES)
def test_every_pixel_is_found_again_on_its_source_frame(source: str) -> None:
    """On slices upright or tilted, on enhanced images, X-rays, ultrasound and cines."""
    scene = scenes.scene(scenes.SOURCES[source]())
    found = scene.findings.segmentation
    assert found is not None
    seg = read_back(encode(scene.findings, scene.origin)[0])
    pixels = pixels_by_source(seg, scene)
    for index, number in enumerate((1, 2)):
        assert np.array_equal(pixels[..., index], found.labels == number)


def test_a_real_head_ct_with_tilt_and_two_spacings_is_segmented_on_its_own_slices() -> None:
    """Where no volume can be made, slices can still be labelled."""
    headers = scenes.head_ct()
    if headers is None:
        pytest.skip("the real head CT is not here")
    scene = scenes.scene_of(headers)
    found = scene.findings.segmentation
    assert found is not None
    seg = encode(scene.findings, scene.origin)[0]
    measures = seg.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence")
    assert measures is None or "SpacingBetweenSlices" not in measures[0]
    pixels = pixels_by_source(read_back(seg), scene)
    assert np.array_equal(pixels[..., 0], found.labels == 1)


@pytest.mark.parametrize("source", ["CT", "US cine", "DX"])
def test_nothing_found_is_no_segmentation(source: str) -> None:
    """An empty one would look like a fault; the report says that nothing was found."""
    scene = scenes.nothing(scenes.SOURCES[source]())
    assert encode(scene.findings, scene.origin) == []


def test_findings_without_labels_are_no_segmentation() -> None:
    """A classifier finds no pixels."""
    scene = scenes.scene([phantoms.dx()])
    assert encode(scenes.Findings(), scene.origin) == []


def test_bits_are_packed_across_frames() -> None:
    """Frames whose pixels are no multiple of eight leave no gap, PS3.5 8.2."""
    scene = scenes.scene(phantoms.ct(slices=3, rows=21, columns=13))
    found = scene.findings.segmentation
    assert found is not None
    dataset = encode(scene.findings, scene.origin)[0]
    bits = dataset.NumberOfFrames * 21 * 13
    assert len(dataset.PixelData) == -(-bits // 8) + (-(-bits // 8)) % 2
    assert np.array_equal(pixels_by_source(read_back(dataset), scene)[..., 0], found.labels == 1)
