"""What is sent: made up, with noise for pixels, encoded once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from bench.sender import PLACEHOLDER, new_uid
from tests import phantoms


@dataclass(frozen=True, slots=True)
class Template:
    """An object without its SOP Instance UID, in the place of which stands `PLACEHOLDER`.

    Attributes
    ----------
    preamble
        What a Part 10 file has before the data set.
    head
        The data set up to its pixels, which are in the file `payload`.
    """

    sop_class: str
    preamble: bytes
    head: bytes
    payload: Path

    @property
    def size_bytes(self) -> int:
        """How long its data set is."""
        return len(self.head) + self.payload.stat().st_size

    def new_file_head(self) -> bytes:
        """Return what a Part 10 file of a new instance has before its pixels."""
        return (self.preamble + self.head).replace(PLACEHOLDER.encode(), new_uid().encode())


def noisy(ds: Dataset, seed: int = 1) -> Dataset:
    """Add noise as scanners make it to an image: without it, codecs have nothing to do."""
    values = np.frombuffer(ds.PixelData, "<u2")
    noise = np.random.default_rng(seed).normal(0, 18, len(values))
    ds.PixelData = np.clip(values + noise, 0, 4095).astype("<u2").tobytes()
    return ds


def ct_images(count: int, side: int = 512) -> list[Dataset]:
    """Return a CT series."""
    made = phantoms.ct(slices=count, rows=side, columns=side)
    return [noisy(ds, seed) for seed, ds in enumerate(made)]


def ct_slice(folder: Path) -> Template:
    """Return a slice of 0.5 MB."""
    return _template(ct_images(1)[0], folder / "ct")


def small_image(folder: Path) -> Template:
    """Return an MR image of 20 KB."""
    return _template(noisy(phantoms.mr(slices=1, rows=96, columns=96)[0]), folder / "small")


def cine(folder: Path, megabytes: int) -> Template:
    """Return an ultrasound cine in colour of so many MB, in one object."""
    ds = phantoms.us_cine(frames=1, rows=480, columns=640)
    frame = os.urandom(480 * 640 * 3)
    frames = max(1, megabytes * 1_000_000 // len(frame))
    ds.NumberOfFrames, ds.PixelData = frames, frame
    return _template(ds, folder / "cine", frames)


def _template(ds: Dataset, payload: Path, times: int = 1) -> Template:
    """Write the pixels so many times into a file; their length says so."""
    ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID = PLACEHOLDER, new_uid(), new_uid()
    ds.file_meta.MediaStorageSOPInstanceUID = PLACEHOLDER
    pixels, encoded = ds.PixelData, encoded_data_set(ds)
    preamble = part10(ds)[: -len(encoded)]
    head = encoded[: -len(pixels) - 4] + (len(pixels) * times).to_bytes(4, "little")
    with payload.open("wb") as file:
        for _ in range(times):
            file.write(pixels)
    return Template(ds.SOPClassUID, preamble, head, payload)


def encoded_data_set(ds: Dataset) -> bytes:
    """Return a data set without a header of a file, in Explicit VR Little Endian."""
    buffer = BytesIO()
    written = DicomIO(buffer)
    written.is_implicit_VR, written.is_little_endian = False, True
    write_dataset(written, ds)
    return buffer.getvalue()


def part10(ds: Dataset) -> bytes:
    """Return an instance as a file."""
    file = BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


CODECS: Mapping[str, tuple[UID, Callable[[NDArray[np.uint16]], bytes | bytearray]]] = {
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "JPEG 2000": (
        JPEG2000Lossless,
        lambda values: imagecodecs.jpeg2k_encode(
            values, level=0, codecformat="J2K", reversible=True, bitspersample=12
        ),
    ),
    "JPEG lossless": (
        JPEGLosslessSV1, lambda values: imagecodecs.ljpeg_encode(values, bitspersample=12)
    ),
}  # fmt: skip
"""Lossless ones: the transfer syntax, and what encodes a frame of 12 bits."""

RLE = "RLE"


def compressed(ds: Dataset, codec: str) -> Dataset:
    """Return an image of one frame with its pixels encoded; `codec` is `RLE` or one of `CODECS`."""
    if codec == RLE:
        ds.compress(RLELossless, generate_instance_uid=False)
        return ds
    syntax, encode = CODECS[codec]
    frame = bytes(encode(np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns)))
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = syntax
    return ds


SYNTAX = str(ExplicitVRLittleEndian)
