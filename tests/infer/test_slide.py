"""Microscopy from its files: which image is read, and what its pixels are."""

from itertools import pairwise
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer import slide as module
from dicom_ai_node.infer.slide import OpenSlide, open_slide, spans
from tests import phantoms

GIB = 2**30


def opened(tmp_path: Path, *images: FileDataset) -> OpenSlide:
    """Open the slide of a series of these instances."""
    return open_slide(phantoms.write(images, tmp_path / "series"), {}, GIB)


def luma_of(rows: int, columns: int) -> np.ndarray:
    """Return the grey that a phantom has, ITU-R BT.601."""
    pixels, _ = phantoms.sm_values(rows, columns)
    return (pixels @ np.array([0.299, 0.587, 0.114])).round()


def compressed(ds: FileDataset, syntax: str) -> FileDataset:
    """Return a slide with every tile compressed."""
    shape = (int(ds.NumberOfFrames), int(ds.Rows), int(ds.Columns), 3)
    tiles = np.frombuffer(ds.PixelData, np.uint8).reshape(shape)
    if syntax == JPEGBaseline8Bit:
        ds.PhotometricInterpretation = "YBR_FULL_422"
        parts = [imagecodecs.jpeg8_encode(tile, level=95) for tile in tiles]
    else:
        ds.PhotometricInterpretation = "YBR_RCT"
        parts = [imagecodecs.jpeg2k_encode(tile, mct=True, reversible=True, codecformat="j2k")
                 for tile in tiles]  # fmt: skip
    ds.PixelData = encapsulate(parts)
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


def test_the_tiles_of_a_slide_become_one_picture(tmp_path: Path) -> None:
    """In grey, every pixel where it lies in the total matrix."""
    found = opened(tmp_path, phantoms.sm())
    assert np.array_equal(found.grey, luma_of(192, 256))
    assert found.histogram.sum() == 192 * 256
    assert found.notes == ()


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEG2000Lossless])
def test_compressed_tiles_are_read(syntax: str, tmp_path: Path) -> None:
    """JPEG within a few grey levels, JPEG 2000 without loss exactly."""
    found = opened(tmp_path, compressed(phantoms.sm(), syntax))
    off = np.abs(found.grey - luma_of(192, 256))
    assert off.mean() < (1 if syntax == JPEGBaseline8Bit else 0.01)


def test_gaps_of_a_sparse_slide_are_as_bright_as_its_ground(tmp_path: Path) -> None:
    """So that no edge of a gap looks like a nucleus; the note says that it was not looked at."""
    found = opened(tmp_path, phantoms.sparse(phantoms.sm(), [0, 5, 6, 11]))
    wanted = luma_of(192, 256)
    ground = wanted[0, 0]
    assert np.array_equal(found.grey[64:128, 64:192], wanted[64:128, 64:192])
    assert (found.grey[:64, 64:] == ground).all()
    assert found.histogram.sum() == 4 * 64 * 64
    assert "sparse" in found.notes[0]


def test_the_largest_level_is_read_and_labels_are_not(tmp_path: Path) -> None:
    """A label shows the name of a patient: it is not even decoded."""
    label = phantoms.sm(ImageType=["ORIGINAL", "PRIMARY", "LABEL", "NONE"], SOPInstanceUID="2.25.1")
    label.PixelData = b"\0\0"
    small = phantoms.sm(rows=64, columns=64, SOPInstanceUID="2.25.2")
    found = opened(tmp_path, small, label, phantoms.sm())
    assert found.slide.shape == (192, 256)
    assert found.notes == ("2 smaller levels, labels or overviews left out",)


def test_a_microscopy_image_in_one_piece_is_read(tmp_path: Path) -> None:
    """It says no spacing, and the report will say why it has no areas."""
    found = opened(tmp_path, phantoms.vl_microscopic())
    assert np.array_equal(found.grey, luma_of(100, 120))
    assert "no pixel spacing" in found.notes[0]


def test_grey_images_are_read_with_all_their_bits(tmp_path: Path) -> None:
    """Fluorescence is often stored with 12 bits; MONOCHROME1 is turned round."""
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        ds = phantoms.vl_microscopic(
            Rows=64, Columns=64, SamplesPerPixel=1, PlanarConfiguration=None, BitsAllocated=16,
            BitsStored=12, HighBit=11, PhotometricInterpretation=photometric,
            PixelData=values.tobytes(),
        )  # fmt: skip
        ds["PixelData"].VR = "OW"
        grey = opened(tmp_path / photometric, ds).grey
        assert (grey[0, 0], grey[-1, -1]) == (
            (0, 255) if photometric == "MONOCHROME2" else (255, 0)
        )


def test_a_tile_is_shown_in_its_colours(tmp_path: Path) -> None:
    """The picture for people is not grey."""
    found = opened(tmp_path, phantoms.sm())
    pixels, _ = phantoms.sm_values(192, 256)
    tile = found.slide.tiles[5]
    assert np.array_equal(found.colours(tile), pixels[found.inside(tile)])


def test_what_is_no_picture_of_the_specimen_is_declined(tmp_path: Path) -> None:
    """A series of labels and overviews alone holds nothing to count."""
    with pytest.raises(Rejected, match="labels") as reason:
        opened(tmp_path, phantoms.sm(ImageType=["ORIGINAL", "PRIMARY", "OVERVIEW", "NONE"]))
    assert reason.value.code is RejectCode.SM_NO_LEVEL


def test_two_images_of_one_size_are_declined(tmp_path: Path) -> None:
    """Nobody said which of them."""
    other = phantoms.sm(SOPInstanceUID="2.25.2")
    with pytest.raises(Rejected, match="several") as reason:
        opened(tmp_path, phantoms.sm(), other)
    assert reason.value.code is RejectCode.GEO_MIXED


def test_a_slide_too_large_is_declined_before_it_is_read(tmp_path: Path) -> None:
    """With its size and the limit, and before a byte of memory is taken for it."""
    ds = phantoms.sparse(phantoms.sm(), range(4))
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns = 100_000, 100_000
    with pytest.raises(Rejected, match="at most 1073741824 are looked at") as reason:
        opened(tmp_path, ds)
    assert reason.value.code is RejectCode.PIX_TOO_LARGE


def test_a_file_larger_than_the_limit_is_declined(tmp_path: Path) -> None:
    """The instance itself is in memory while it is decoded."""
    paths = phantoms.write(phantoms.sm(), tmp_path)
    with pytest.raises(Rejected, match="bytes stored") as reason:
        open_slide(paths, {}, 1000)
    assert reason.value.code is RejectCode.PIX_TOO_LARGE


def test_a_damaged_tile_is_no_reason_to_guess(tmp_path: Path) -> None:
    """Half a slide would be half a count."""
    ds = compressed(phantoms.sm(), JPEG2000Lossless)
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]
    with pytest.raises(Rejected) as reason:
        opened(tmp_path, ds)
    assert reason.value.code is RejectCode.PIX_CORRUPT


@given(st.integers(1, 2000), st.integers(20, 200), st.integers(0, 9))
def test_windows_cover_everything_once(length: int, size: int, margin: int) -> None:
    """What belongs to a window lies within it, by the margin, and nothing lies between two."""
    windows = list(spans(length, size, margin))
    assert windows[0][1] == 0
    assert windows[-1][2] == length
    for start, first, end in windows:
        assert 0 <= start <= first < end <= min(start + size, length)
        assert start + min(size, length) <= length
        assert first == 0 or first - start >= margin
        assert end == length or start + size - end >= margin
    for one, other in pairwise(windows):
        assert one[2] == other[1]


def test_the_limit_is_what_the_documentation_says() -> None:
    """32768 pixels square."""
    assert module.MOST_PIXELS == 32768**2
