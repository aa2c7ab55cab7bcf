"""Which decoder takes which transfer syntax, and the JPEG decoders that pydicom does not bring.

pydicom decodes JPEG (baseline, extended, lossless) only with libraries under licences that we do
not take, or with Pillow, which knows 8 bits and sometimes converts colours behind pydicom's back.
This module is a pydicom decoding plug-in on imagecodecs: libjpeg-turbo without any colour
conversion, so that what comes out is what was coded, and OpenJPEG, which undoes the colour
transforms of JPEG 2000; `photometric_interpretation` says which colours came out. RLE and grey
JPEG-LS are decoded by it, too, for it lets other threads work meanwhile.
"""

from collections.abc import Mapping
from typing import Final

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import Decoder, DecodeRunner, get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicom_ai_node.infer.rle import decoded_rle

OURS: Final = "imagecodecs"
"""Label of the plug-in in this module."""

_PLUGIN: Final[Mapping[str, str]] = {
    JPEGBaseline8Bit: OURS,
    JPEGExtended12Bit: OURS,
    JPEGLossless: OURS,
    JPEGLosslessSV1: OURS,
    JPEGLSLossless: OURS,
    JPEGLSNearLossless: OURS,
    JPEG2000Lossless: OURS,
    JPEG2000: OURS,
    HTJ2KLossless: OURS,
    HTJ2KLosslessRPCL: OURS,
    HTJ2K: OURS,
    RLELossless: OURS,
}
_IN_COLOUR: Final[Mapping[str, str]] = {
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
}
"""Who decodes what has several samples in a pixel, where it is somebody else."""

DECODER_DEPENDENCIES: Final[Mapping[str, tuple[str, ...]]] = {
    uid: ("imagecodecs",) for uid, plugin in _PLUGIN.items() if plugin == OURS
}
"""Part of pydicom's contract with a plug-in."""

_SOI, _EOI, _SOS, _APP14, _TEM = 0xD8, 0xD9, 0xDA, 0xEE, 0x01
_RESTARTS = range(0xD0, 0xD8)
_SOF_LOSSLESS = 0xC3
_NOT_A_FRAME = frozenset({0xC4, 0xC8, 0xCC})  # DHT, JPG and DAC stand among the SOFs
_SOF55 = 0xF7  # JPEG-LS, ITU-T T.87 C.1.1
_SOC_SIZ = b"\xff\x4f\xff\x51"  # how each JPEG 2000 codestream starts, ITU-T T.800 A.4
_BOXES_BYTES = 8192
_TRAILER_BYTES = 64  # what some put behind the end


class BadCodestream(ValueError):
    """A codestream is cut off, or not what its data set says."""


def decoder_for(transfer_syntax_uid: str, samples: int = 1) -> tuple[Decoder, str]:
    """Return the decoder of a transfer syntax and the plug-in to use ('' for native ones).

    `samples` is how many a pixel has.

    Raises
    ------
    NotImplementedError
        If nothing here decodes it: video, JPIP, retired JPEG processes.
    """
    decoder = get_decoder(transfer_syntax_uid)
    if not decoder.is_encapsulated:
        return decoder, ""
    plugin = _PLUGIN[transfer_syntax_uid]
    if samples > 1:
        plugin = _IN_COLOUR.get(transfer_syntax_uid, plugin)
    if plugin == OURS and OURS not in decoder.available_plugins:
        decoder.add_plugin(OURS, (__name__, "decode_frame"))
    return decoder, plugin


def is_available(uid: str) -> bool:
    """Return whether this plug-in decodes a transfer syntax; pydicom asks."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: DecodeRunner) -> bytearray:
    """Decode one frame; pydicom calls this.

    Sets `bits_allocated`, `planar_configuration` and `photometric_interpretation` of the runner
    to what the frame turned out to hold.
    """
    if runner.transfer_syntax == RLELossless:
        return _runs(src, runner)
    size = codestream_size(src)
    if size is None:
        raise BadCodestream("a frame is neither JPEG nor JPEG 2000")
    is_jpeg = src[:2] == bytes((0xFF, _SOI))
    values = np.ascontiguousarray(_jpeg(src) if is_jpeg else imagecodecs.jpeg2k_decode(src))
    if values.shape != (size if size[2] > 1 else size[:2]):
        raise BadCodestream("a frame decodes to another size than its header says")
    runner.set_option("bits_allocated", values.itemsize * 8)
    if size[2] > 1:
        runner.set_option("planar_configuration", 0)
        _correct_photometric(runner, _JpegHeader(src) if is_jpeg else None)
    return bytearray(values.tobytes())  # pydicom shifts the sign in place


def _runs(src: bytes, runner: DecodeRunner) -> bytearray:
    pixels, samples = runner.rows * runner.columns, runner.samples_per_pixel
    frame = decoded_rle(src, pixels, samples, runner.bits_allocated // 8)
    runner.set_option("planar_configuration", 1)
    return frame


def codestream_size(src: bytes) -> tuple[int, int, int] | None:
    """Return (rows, columns, components) as a JPEG, JPEG-LS or JPEG 2000 codestream says.

    Decoders allocate what the codestream asks for, so this is compared with the data set first.
    `None` for RLE, whose size follows from the data set.

    Raises
    ------
    BadCodestream
        If it starts like one of them and has no header, or no end (JPEG and JPEG-LS).
    """
    start = src.find(_SOC_SIZ, 0, _BOXES_BYTES)  # some wrap it into the boxes of a JP2 file
    if start >= 0:
        return _j2k_size(src[start:])
    if src[:2] == bytes((0xFF, _SOI)):
        _require_end(src)
        header = _JpegHeader(src)
        return header.rows, header.columns, header.components
    return None


class _JpegHeader:
    """What the marker segments before the first scan say, ITU-T T.81 B.2."""

    def __init__(self, src: bytes) -> None:
        self.rows = self.columns = self.components = self.precision = self.process = 0
        self.adobe_transform: int | None = None
        at = 2
        while at + 4 <= len(src):
            marker = src[at + 1]
            if src[at] != 0xFF:  # noqa: PLR2004 (a marker starts with it)
                break
            if marker == 0xFF or marker in _RESTARTS or marker == _TEM:  # noqa: PLR2004 (fill)
                at += 1 if marker == 0xFF else 2  # noqa: PLR2004
                continue
            if marker in (_SOS, _EOI):
                break
            length = int.from_bytes(src[at + 2 : at + 4], "big")
            self._take(marker, src[at + 4 : at + 2 + length])
            at += 2 + length
        if self.components not in (1, 3) or self.rows == 0 or self.columns == 0:
            raise BadCodestream("a JPEG codestream has no usable frame header")

    def _take(self, marker: int, body: bytes) -> None:
        is_frame = 0xC0 <= marker <= 0xCF and marker not in _NOT_A_FRAME  # noqa: PLR2004
        if (is_frame or marker == _SOF55) and len(body) >= 6:  # noqa: PLR2004 (T.81 B.2.2)
            self.process, self.precision, self.components = marker, body[0], body[5]
            self.rows = int.from_bytes(body[1:3], "big")
            self.columns = int.from_bytes(body[3:5], "big")
        elif marker == _APP14 and body.startswith(b"Adobe") and len(body) >= 12:  # noqa: PLR2004
            self.adobe_transform = body[11]


def _j2k_size(src: bytes) -> tuple[int, int, int]:
    if len(src) < 42:  # noqa: PLR2004 (end of the fixed part of SIZ, T.800 A.5.1)
        raise BadCodestream("a JPEG 2000 codestream ends in its header")
    width, height, left, top = (int.from_bytes(src[at : at + 4], "big") for at in (8, 12, 16, 20))
    return height - top, width - left, int.from_bytes(src[40:42], "big")


def _jpeg(src: bytes) -> NDArray[np.generic]:
    header = _JpegHeader(src)
    if header.process == _SOF_LOSSLESS:
        lossless: NDArray[np.generic] = imagecodecs.jpegsof3_decode(src)
        return lossless
    if header.process == _SOF55:
        nearly: NDArray[np.generic] = imagecodecs.jpegls_decode(src)
        return nearly
    # the same colour space in and out means: leave the components alone
    colours = "GRAYSCALE" if header.components == 1 else "RGB"
    lossy: NDArray[np.generic] = imagecodecs.jpeg8_decode(
        src, colorspace=colours, outcolorspace=colours
    )
    return lossy


def _require_end(src: bytes) -> None:
    """Raise if a codestream was cut off.

    libjpeg fills the rest with grey and says nothing, CharLS looks for the rest for many seconds.
    """
    if bytes((0xFF, _EOI)) not in src.rstrip(b"\0")[-_TRAILER_BYTES:]:
        raise BadCodestream("a JPEG codestream has no end")


def _correct_photometric(runner: DecodeRunner, header: _JpegHeader | None) -> None:
    """Say which colours came out, whatever the data set says.

    The Adobe marker was written with the pixels, so it knows better than the data set.
    """
    coded_as = runner.photometric_interpretation
    if header is None:
        if coded_as in ("YBR_ICT", "YBR_RCT"):
            runner.set_option("photometric_interpretation", "RGB")
    elif header.adobe_transform == 0 and coded_as != "RGB":
        runner.set_option("photometric_interpretation", "RGB")
    elif header.adobe_transform == 1 and coded_as == "RGB":
        runner.set_option("photometric_interpretation", "YBR_FULL")
