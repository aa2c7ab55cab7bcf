"""RLE Lossless, PS3.5 Annex G: the bytes of all pixels by their significance, packed by runs."""

import struct
from itertools import pairwise
from typing import Final

import imagecodecs
import numpy as np

_HEADER: Final = struct.Struct("<16L")
_TOO_MUCH_BYTES: Final = 1024
"""So much some write behind the last pixel."""


class BadRuns(ValueError):
    """A frame is cut off, or not what its data set says."""


def decoded_rle(src: bytes, pixels: int, samples: int, bytes_each: int) -> bytearray:
    """Return a frame, sample after sample (planar configuration 1), little endian.

    Parameters
    ----------
    src
        The frame: a header of 64 bytes and one segment for each byte of a pixel.
    pixels, samples, bytes_each
        Pixels in the frame, samples in a pixel, bytes in a sample.

    Raises
    ------
    BadRuns
        If there are other segments, or one has too few bytes. What is too much is left out.
    """
    wanted = samples * bytes_each
    if len(src) < _HEADER.size:
        raise BadRuns("an RLE frame ends in its header")
    count, *starts = _HEADER.unpack_from(src)
    places = [*starts[:wanted], len(src)]
    if count != wanted or any(one > other for one, other in pairwise((_HEADER.size, *places))):
        raise BadRuns("an RLE frame has other segments than its data set says")
    frame = np.empty((samples, pixels, bytes_each), np.uint8)
    for number, (start, end) in enumerate(pairwise(places)):
        try:
            # A run of three bytes may say a hundred: no more than this is made of them.
            unpacked = imagecodecs.packbits_decode(src[start:end], out=pixels + _TOO_MUCH_BYTES)
        except imagecodecs.PackbitsError as error:
            raise BadRuns("a segment of an RLE frame is damaged") from error
        if len(unpacked) < pixels:
            raise BadRuns("a segment of an RLE frame is cut off")
        sample, significance = divmod(number, bytes_each)
        most_first = bytes_each - 1 - significance
        frame[sample, :, most_first] = np.frombuffer(unpacked, np.uint8, pixels)
    return bytearray(frame.tobytes())
