"""The short way to the pixels of an ordinary image gives what the long way gives, or nothing."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.infer.pixels import decoded_frames
from dicom_ai_node.infer.plain_frame import plain_frame
from dicom_ai_node.infer.planes import PIXELS_AT, legible, read_headers
from tests.infer.reading import material
from tests.phantoms import ct, dx, us, us_cine, write


def _random(rows: int, columns: int, bits: tuple[int, int, int], *, is_signed: bool) -> FileDataset:
    """Return an image with random words: stored bits among others that mean nothing."""
    allocated, stored, high = bits
    image = dx(rows, columns)
    image.BitsAllocated, image.BitsStored, image.HighBit = allocated, stored, high
    image.PixelRepresentation = int(is_signed)
    words = np.random.default_rng(rows * columns).bytes(rows * columns * allocated // 8)
    image.PixelData = words + b"\0" * (len(words) % 2)
    image["PixelData"].VR = "OB" if allocated == 8 else "OW"
    return image


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_short_way_and_the_long_way_agree(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever part of a word is used, signed or not, of odd length or not, in both VR encodings."""
    allocated = data.draw(st.sampled_from([8, 16]))
    stored = data.draw(st.integers(1, allocated))
    high = data.draw(st.integers(stored - 1, allocated - 1))
    rows, columns = data.draw(st.integers(1, 9)), data.draw(st.integers(2, 9))
    image = _random(rows, columns, (allocated, stored, high), is_signed=data.draw(st.booleans()))
    image.file_meta.TransferSyntaxUID = data.draw(
        st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    )
    (header,) = read_headers(write(image, tmp_path_factory.mktemp("plain")))
    short = plain_frame(header)
    assert short is not None
    delattr(header, PIXELS_AT)
    (long,) = decoded_frames(header)
    assert (short.dtype, short.shape) == (long.values.dtype, long.values.shape)
    assert np.array_equal(short, long.values)


def _with_more_behind(image: FileDataset) -> FileDataset:
    image.PixelData += bytes(4)
    return image


def _of_another_syntax(image: FileDataset, syntax: str) -> FileDataset:
    image.file_meta.TransferSyntaxUID = syntax
    return image


def _compressed(image: FileDataset) -> FileDataset:
    image.compress(RLELossless)
    return image


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: _with_more_behind(dx()), id="more pixel data than belongs"),
        pytest.param(lambda: _compressed(dx()), id="compressed"),
        pytest.param(
            lambda: _of_another_syntax(dx(), DeflatedExplicitVRLittleEndian), id="deflated"
        ),
        pytest.param(us_cine, id="many frames"),
        pytest.param(us, id="in colour"),
    ],
)
def test_what_is_unusual_goes_the_long_way(make: Callable[[], FileDataset], tmp_path: Path) -> None:
    """There it is decoded, or judged."""
    (header,) = read_headers(write(make(), tmp_path))
    assert plain_frame(header) is None


def test_what_is_cut_off_goes_the_long_way(tmp_path: Path) -> None:
    """A length that is right is not enough."""
    (path,) = write(dx(), tmp_path)
    path.write_bytes(path.read_bytes()[:-2])
    (header,) = read_headers([path])
    assert plain_frame(header) is None


def test_pixels_are_those_of_the_data_set_and_no_others(tmp_path: Path) -> None:
    """Behind them stands what looks like pixel data, as one would hide another image there."""
    image, other = ct(slices=1)[0], ct(slices=1)[0]
    other.PixelData = bytes(len(image.PixelData))
    hidden = write(other, tmp_path / "other")[0].read_bytes()
    image.DataSetTrailingPadding = hidden[hidden.rindex(b"\xe0\x7f\x10\x00") :]
    (header,) = read_headers(write(image, tmp_path))
    found = plain_frame(header)
    assert found is not None
    assert np.array_equal(found, image.pixel_array)
    assert found.any()


def test_of_every_file_that_we_could_find_both_ways_read_the_same() -> None:
    """Of all makes and ages."""
    compared = 0
    for path in material("**/*.dcm"):
        with suppress(Rejected), legible():
            (header,) = read_headers([path])
            short = plain_frame(header)
            if short is None:
                continue
            delattr(header, PIXELS_AT)
            (long,) = decoded_frames(header)
            assert np.array_equal(short, long.values), path.name
            assert short.dtype == long.values.dtype, path.name
            compared += 1
    assert compared > 50
