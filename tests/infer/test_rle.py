"""Frames that are packed by runs, whole and damaged; what is made of them stays in bounds."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.pixels.decoders.rle import _rle_decode_frame
from pydicom.pixels.encoders.native import _encode_segment

from dicom_ai_node.infer.rle import BadRuns, decoded_rle

PIXELS = 60


def packed(values: np.ndarray) -> bytes:
    """Return (samples, pixels) as pydicom packs them, sample after sample, most significant first."""
    segments = []
    for sample in values:
        octets = sample.reshape(-1, 1).view(np.uint8)[:, ::-1]
        segments += [bytes(_encode_segment(column.tobytes(), 10)) for column in octets.T]
    starts = np.cumsum([64, *(len(one) for one in segments[:-1])]).tolist()
    header = struct.pack("<16L", len(segments), *starts, *[0] * (15 - len(segments)))
    return header + b"".join(segments)


@given(
    st.sampled_from([np.uint8, np.uint16, np.uint32]), st.integers(1, 3), st.integers(0, 2**32 - 1)
)
def test_it_is_what_pydicom_makes_of_it(kind: type, samples: int, seed: int) -> None:
    """Byte by byte, of runs and of noise."""
    random = np.random.default_rng(seed)
    values = random.integers(0, 3, (samples, PIXELS)).astype(kind) * np.iinfo(kind).max // 3
    frame, width = packed(values), np.dtype(kind).itemsize
    found = decoded_rle(frame, PIXELS, samples, width)
    assert found == values.astype(np.dtype(kind).newbyteorder("<")).tobytes()
    assert found == _rle_decode_frame(frame, 6, 10, samples, width * 8)


WHOLE = packed(np.arange(PIXELS, dtype=np.uint16)[None] * 300)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(WHOLE[:40], id="half a header"),
        pytest.param(WHOLE[:64], id="no segment"),
        pytest.param(WHOLE[:-9], id="a segment that is cut off"),
        pytest.param(struct.pack("<L", 3) + WHOLE[4:], id="three segments"),
        pytest.param(struct.pack("<L", 0) + WHOLE[4:], id="none"),
        pytest.param(WHOLE[:8] + struct.pack("<L", 1 << 30) + WHOLE[12:], id="one far behind"),
        pytest.param(WHOLE[:4] + struct.pack("<L", 10) + WHOLE[8:], id="one within the header"),
        pytest.param(WHOLE + b"\x81\0" * 1000, id="a thousand runs too many"),
    ],
)
def test_what_is_damaged_is_said_to_be(frame: bytes) -> None:
    """And nothing is read beyond it, nor made of it."""
    with pytest.raises(BadRuns):
        decoded_rle(frame, PIXELS, 1, 2)


@pytest.mark.parametrize("more", [b"\0", b"\0\0\0\0", b"\x80\x80"])
def test_some_bytes_behind_the_last_pixel_are_left_out(more: bytes) -> None:
    """Padding to an even length, and what careless encoders leave."""
    assert decoded_rle(WHOLE + more, PIXELS, 1, 2) == decoded_rle(WHOLE, PIXELS, 1, 2)
