"""What all segmentations share."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_ai_node.encode.identity import tracking_uid
from dicom_ai_node.encode.segmentation import encode
from dicom_ai_node.encode.segments import (
    MOST_FRAMES,
    MOST_SEGMENTS,
    found_segments,
    labels_by_frame,
    split,
)
from tests import phantoms
from tests.encode import scenes


def _seg(received: list[Dataset]) -> tuple[scenes.Scene, Dataset]:
    scene = scenes.scene(received)
    return scene, encode(scene.findings, scene.origin)[0]


def test_only_what_was_found_is_a_segment() -> None:
    """The spleen was looked for and not found: the report says so, the segmentation does not."""
    scene, seg = _seg(phantoms.ct())
    assert [item.number for item in found_segments(scene.findings)] == [1, 2]
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["Liver", "Left kidney"]


@pytest.mark.parametrize("shape", [(3, 7, 9), (2, 1, 1), (3, 16, 16), (1, 0, 4), (2, 33, 64)])
def test_labels_are_found_wherever_they_are(shape: tuple[int, int, int]) -> None:
    """As counting every pixel says, also where their number is none of eight, or they lie apart."""
    chance = np.random.default_rng(5)
    noise = chance.integers(0, 256, shape, np.uint8)
    lonely = np.zeros(shape, np.uint8)
    lonely[-1, -1:, -1:] = 7
    for labels in (noise, noise[:, ::-1], noise[..., ::2], lonely, np.repeat(noise, 9, axis=2)):
        counted = [np.bincount(frame.ravel(), minlength=256) > 0 for frame in labels]
        assert (labels_by_frame(labels) == np.array(counted)).all()


def test_a_segment_says_what_where_and_by_whom() -> None:
    """Codes, side, site, colour, algorithm and the UID that the report uses, too."""
    scene, seg = _seg(phantoms.ct())
    item = seg.SegmentSequence[1]
    kind = item.SegmentedPropertyTypeCodeSequence[0]
    assert kind.CodeMeaning == "Kidney"
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert item.AnatomicRegionSequence[0].CodeMeaning == "Abdomen"
    assert item.SegmentAlgorithmName == "organs"
    assert item.TrackingUID == tracking_uid(scene.origin, scenes.KIDNEY)
    assert len(item.RecommendedDisplayCIELabValue) == 3


def test_slices_are_placed_as_their_source_to_the_last_digit() -> None:
    """A viewer that compares positions finds the slice on which to draw."""
    scene, seg = _seg(phantoms.ct())
    source = {item.SOPInstanceUID: item for item in scene.origin.sources}
    assert seg.FrameOfReferenceUID == phantoms.FRAME_OF_REFERENCE_UID
    for group in seg.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        position = group.PlanePositionSequence[0].ImagePositionPatient
        assert position == source[image.ReferencedSOPInstanceUID].ImagePositionPatient


def test_dimension_indices_tell_all_frames_apart() -> None:
    """On slices by segment and position, in a cine by segment and time."""
    for received, pointers in (
        (phantoms.ct(), ["ReferencedSegmentNumber", "ImagePositionPatient"]),
        ([phantoms.us_cine()], ["ReferencedSegmentNumber", "TemporalPositionIndex"]),
    ):
        _, seg = _seg(received)
        labels = [item.DimensionDescriptionLabel for item in seg.DimensionIndexSequence]
        assert labels == pointers
        indices = [
            tuple(group.FrameContentSequence[0].DimensionIndexValues)
            for group in seg.PerFrameFunctionalGroupsSequence
        ]
        assert len(set(indices)) == len(indices) == seg.NumberOfFrames


def test_what_varies_between_slices_is_told_per_slice() -> None:
    """And what does not is told once."""
    images = phantoms.ct(slices=6)
    images[3].SliceThickness = 5
    _, seg = _seg(images)
    assert "PixelMeasuresSequence" not in seg.SharedFunctionalGroupsSequence[0]
    assert "PlaneOrientationSequence" in seg.SharedFunctionalGroupsSequence[0]
    assert all("PixelMeasuresSequence" in item for item in seg.PerFrameFunctionalGroupsSequence)


def test_the_series_that_was_segmented_is_referenced_first() -> None:
    """OHIF looks at the first one only."""
    scene = scenes.scene(phantoms.pet())
    ct = scenes.scene(phantoms.ct())
    both = replace(scene.origin, sources=[*ct.origin.sources, *scene.origin.sources])
    seg = encode(scene.findings, both)[0]
    first = seg.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert first == scene.origin.sources[0].SOPInstanceUID
    assert len(seg.ReferencedSeriesSequence) == 2


@pytest.mark.parametrize(
    ("frames_per_segment", "segments_per_part"),
    [
        pytest.param([10] * 45, [20, 20, 5], id="at most twenty segments"),
        pytest.param([1500] * 5, [2, 2, 1], id="at most four thousand frames"),
        pytest.param([MOST_FRAMES + 1], [1, 1], id="a segment on more frames than that is cut"),
        pytest.param([], [], id="nothing is nothing"),
    ],
)
def test_large_segmentations_are_dealt_to_several_instances(
    frames_per_segment: list[int], segments_per_part: list[int]
) -> None:
    """None is larger than viewers can open, and nothing gets lost."""
    segments = [replace(scenes.LIVER, number=1 + n) for n in range(len(frames_per_segment))]
    wanted = list(zip(segments, map(range, frames_per_segment), strict=True))
    parts = list(split(wanted))
    assert [len(part.segments) for part in parts] == segments_per_part
    assert all(len(part.segments) <= MOST_SEGMENTS for part in parts)
    assert all(len(part.frames) <= MOST_FRAMES for part in parts)
    dealt = [
        (part.segments[at].number, plane)
        for part in parts
        for at, plane in part.frames
        if at is not None
    ]
    assert dealt == [(item.number, plane) for item, planes in wanted for plane in planes]


def test_many_segments_become_several_objects_of_one_series() -> None:
    """With the segments of each counted from 1."""
    scene = scenes.scene(phantoms.ct(slices=2))
    found = scene.findings.segmentation
    assert found is not None
    segments = tuple(
        replace(scenes.LIVER, number=number, label=f"Organ {number}") for number in range(1, 31)
    )
    labels = np.zeros_like(found.labels)
    for number in range(1, 31):
        labels[:, number, number] = number
    many = replace(found, labels=labels, segments=segments)
    objects = encode(replace(scene.findings, segmentation=many), scene.origin)
    assert [len(item.SegmentSequence) for item in objects] == [20, 10]
    assert [item.InstanceNumber for item in objects] == [1, 2]
    assert len({item.SeriesInstanceUID for item in objects}) == 1
    assert len({item.SOPInstanceUID for item in objects}) == 2
    numbers = [item.SegmentNumber for item in objects[1].SegmentSequence]
    assert numbers == list(range(1, 11))
