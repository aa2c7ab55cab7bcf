"""Label map segmentations."""

import struct

import numpy as np
import pytest
from pydicom.uid import RLELossless

from dicom_ai_node.encode.segmentation import encode as encode_binary
from dicom_ai_node.encode.segmentation_labelmap import LABEL_MAP_STORAGE, _compressed, encode
from tests import phantoms
from tests.encode import scenes
from tests.encode.test_segmentation import pixels_by_source, read_back


@pytest.mark.parametrize("source", scenes.SOURCES)
def test_every_label_is_found_again_on_its_source_frame(source: str) -> None:
    """After compression, on every kind of source."""
    scene = scenes.scene(scenes.SOURCES[source]())
    found = scene.findings.segmentation
    assert found is not None
    seg = read_back(encode(scene.findings, scene.origin)[0])
    pixels = pixels_by_source(seg, scene)
    for index, number in enumerate(seg.segment_numbers):
        assert np.array_equal(pixels[..., index], found.labels == number)


def test_all_segments_share_their_frames() -> None:
    """Fewer frames than the binary form, and fewer bytes."""
    scene = scenes.scene(phantoms.ct(rows=128, columns=128))
    binary = encode_binary(scene.findings, scene.origin)[0]
    label_map = encode(scene.findings, scene.origin)[0]
    assert label_map.NumberOfFrames == 11 < binary.NumberOfFrames
    assert len(label_map.PixelData) < len(binary.PixelData)


def test_a_label_map_says_what_it_is() -> None:
    """SOP class, transfer syntax and the background as segment 0."""
    scene = scenes.scene(phantoms.ct())
    seg = encode(scene.findings, scene.origin)[0]
    assert seg.SOPClassUID == seg.file_meta.MediaStorageSOPClassUID == LABEL_MAP_STORAGE
    assert seg.file_meta.TransferSyntaxUID == RLELossless
    assert [item.SegmentNumber for item in seg.SegmentSequence] == [0, 1, 2]
    assert seg.PixelPaddingValue == 0


def test_nothing_found_is_no_segmentation() -> None:
    """As with the binary form."""
    scene = scenes.nothing(phantoms.ct())
    assert encode(scene.findings, scene.origin) == []


@pytest.mark.parametrize("columns", [1, 2, 127, 128, 129, 300])
def test_a_frame_is_compressed_row_by_row(columns: int) -> None:
    """Runs and literals of all lengths around 128, and none goes beyond its row, PS3.5 G.3.1."""
    dice = np.random.default_rng(columns)
    frame = dice.choice([0, 1, 7], (20, columns), p=[0.8, 0.1, 0.1]).astype(np.uint8)
    frame[3:6] = 7
    compressed = _compressed(frame)
    assert struct.unpack_from("<16L", compressed) == (1, 64, *[0] * 14)
    assert len(compressed) % 2 == 0
    at, values, row = 64, bytearray(), 1
    while len(values) < frame.size:
        control = compressed[at]
        count = control + 1 if control < 128 else 257 - control
        values += compressed[at + 1 : at + 1 + count] if control < 128 else (
            compressed[at + 1 : at + 2] * count
        )  # fmt: skip
        at += 1 + count if control < 128 else 2
        assert len(values) <= row * columns
        row += len(values) == row * columns
    assert bytes(values) == frame.tobytes()
    assert len(compressed) - at <= 1
