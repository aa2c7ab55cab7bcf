"""Pixel data is checked before it is decoded, and decoded entirely or not at all."""

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmwrite
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, RLELossless

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.planes import legible
from dicom_ai_node.infer.read import read_series
from tests.infer.reading import frames_of, material, rejection_of, replace_pixels, volume_of
from tests.phantoms import ct, ct_values, dx, mr, us, us_cine, us_values, write


def test_too_many_pixels_are_refused_before_any_is_decoded(tmp_path: Path) -> None:
    """The operator sets the limit; even a broken codestream of that size is not touched."""
    cine = us_cine()
    cine.NumberOfFrames = 100_000
    paths = write(cine, tmp_path)
    with pytest.raises(Rejected, match="PIX_TOO_LARGE: 3072000000 bytes decoded, 1000 are") as no:
        read_series(paths, Sees.FRAMES, max_pixels_bytes=1000)
    assert no.value.code is RejectCode.PIX_TOO_LARGE


def test_the_limit_is_for_the_whole_series(tmp_path: Path) -> None:
    """12 slices of 64 x 48 float32 values: 147456 bytes are enough, one less is not."""
    paths = write(ct(), tmp_path)
    read_series(paths, Sees.VOLUME, max_pixels_bytes=147_456)
    with pytest.raises(Rejected, match="PIX_TOO_LARGE"):
        read_series(paths, Sees.VOLUME, max_pixels_bytes=147_455)


@pytest.mark.parametrize(
    ("keyword", "sees"), [("Rows", Sees.VOLUME), ("HighBit", Sees.VOLUME), ("Rows", Sees.FRAMES)]
)
def test_a_number_of_the_wrong_length_is_no_number(
    keyword: str, sees: Sees, tmp_path: Path
) -> None:
    """Three bytes where a number has two: known when it is looked at, and told as what it is."""
    image = ct(slices=1)[0]
    (path,) = write(image, tmp_path)
    element = struct.pack("<HH2sH", *divmod(tag_for_keyword(keyword) or 0, 65536), b"US", 2)
    whole = path.read_bytes()
    at = whole.index(element)
    longer = element[:6] + b"\3\0" + whole[at + 8 : at + 10] + b"\0"
    path.write_bytes(whole[:at] + longer + whole[at + 10 :])
    with pytest.raises(Rejected) as no:
        read_series([path], sees)
    assert no.value.code is RejectCode.PIX_CORRUPT


@pytest.mark.parametrize("keyword", ["Modality", "PhotometricInterpretation"])
@pytest.mark.parametrize("sees", list(Sees))
def test_two_values_where_one_belongs_are_corrupt(keyword: str, sees: Sees, tmp_path: Path) -> None:
    """Nobody could say which of them is meant."""
    series = ct(slices=3)
    for image in series:
        setattr(image, keyword, [getattr(image, keyword)] * 2)
    assert rejection_of(series, sees, tmp_path) is RejectCode.PIX_CORRUPT


def test_what_pydicom_cannot_read_is_corrupt_and_a_mistake_of_ours_is_none() -> None:
    """It decodes a value when that is asked for, and raises anything; a bug stays a bug."""
    image = ct(slices=1)[0]
    image[0x00081140] = RawDataElement(
        Tag(0x00081140), "SQ", 4, bytes.fromhex("feff00e0"), 0, True, True
    )
    with pytest.raises(Rejected) as no, legible():
        image.get("ReferencedImageSequence")
    assert no.value.code is RejectCode.PIX_CORRUPT
    with pytest.raises(ValueError, match="invalid literal"), legible():
        int("no number")
    with pytest.raises(Rejected, match="IN_COVERAGE"), legible():
        raise Rejected(RejectCode.IN_COVERAGE, "ours")


def test_a_series_is_not_corrupt_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is tried again: a rejection is for good."""

    def short(*_: object, **__: object) -> None:
        exec("raise MemoryError", {"__name__": "pydicom.filereader"})  # noqa: S102 - raised there

    with pytest.raises(MemoryError), legible():
        short()
    paths = write(ct(), tmp_path)
    monkeypatch.setattr("dicom_ai_node.infer.planes.read_header", short)
    with pytest.raises(MemoryError):
        read_series(paths, Sees.VOLUME, max_pixels_bytes=1 << 20)


@pytest.mark.parametrize("kept", [0, 100, -2], ids=["nothing", "a few bytes", "all but two bytes"])
def test_pixel_data_that_is_cut_off_is_corrupt(kept: int, tmp_path: Path) -> None:
    """The last rows would be made up."""
    series = ct()
    series[7].PixelData = series[7].PixelData[:kept]
    assert rejection_of(series, Sees.VOLUME, tmp_path) is RejectCode.PIX_CORRUPT


def test_no_pixel_data_at_all_is_corrupt(tmp_path: Path) -> None:
    """Some archives strip it."""
    series = ct(PixelData=None)
    assert rejection_of(series, Sees.VOLUME, tmp_path) is RejectCode.PIX_CORRUPT


@pytest.mark.parametrize("vr", ["US", "LO", "DS"])
def test_pixel_data_of_another_vr_is_none(vr: str, tmp_path: Path) -> None:
    """Its value is a number or a text, and not the bytes of an image."""
    (path,) = write(ct(slices=1, rows=2, columns=2), tmp_path)
    whole = path.read_bytes()
    at = whole.rindex(b"\xe0\x7f\x10\x00OW")
    value = b"1 " if vr == "DS" else b"ab"
    element = whole[at : at + 4] + vr.encode() + b"\2\0" + value
    path.write_bytes(whole[:at] + element)
    with pytest.raises(Rejected) as no:
        read_series([path], Sees.SLICES)
    assert no.value.code is RejectCode.PIX_CORRUPT


@pytest.mark.parametrize("frames", [7, 9], ids=["one frame too many", "one frame too few"])
def test_the_number_of_frames_must_be_true(frames: int, tmp_path: Path) -> None:
    """Eight frames are in the file."""
    cine = us_cine(frames=8)
    cine.NumberOfFrames = frames
    assert rejection_of(cine, Sees.FRAMES, tmp_path) is RejectCode.PIX_CORRUPT


@pytest.mark.parametrize("frames", [3, 5], ids=["one frame too many", "one frame too few"])
def test_the_number_of_compressed_frames_must_be_true(frames: int, tmp_path: Path) -> None:
    """Four are in the file, one fragment each."""
    cine = us_cine(frames=4)
    cine.compress(RLELossless, generate_instance_uid=False)
    cine.NumberOfFrames = frames
    assert rejection_of(cine, Sees.FRAMES, tmp_path) is RejectCode.PIX_CORRUPT


def test_damaged_rle_is_corrupt(tmp_path: Path) -> None:
    """A segment that ends too early."""
    ds = us()
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.PixelData = encapsulate([ds.PixelData[20:2000]])
    assert rejection_of(ds, Sees.FRAMES, tmp_path) is RejectCode.PIX_CORRUPT


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"BitsAllocated": 64, "BitsStored": 64, "HighBit": 63}, id="64 bits"),
        pytest.param({"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}, id="one bit"),
        pytest.param({"PhotometricInterpretation": "CMYK"}, id="CMYK"),
        pytest.param({"PhotometricInterpretation": "YBR_PARTIAL_420"}, id="video colours"),
        pytest.param({"SamplesPerPixel": 2}, id="two samples"),
        pytest.param({"PhotometricInterpretation": None}, id="no photometric interpretation"),
    ],
)
def test_a_layout_that_nobody_knows_is_unsupported(
    changes: dict[str, object], tmp_path: Path
) -> None:
    """It is named in the message instead of being guessed at."""
    code = rejection_of(dx(**changes), Sees.FRAMES, tmp_path)
    assert code is RejectCode.PIX_UNSUPPORTED


def test_a_missing_image_pixel_module_is_corrupt(tmp_path: Path) -> None:
    """Without BitsAllocated nobody knows how large a pixel is."""
    code = rejection_of(dx(BitsAllocated=None), Sees.FRAMES, tmp_path)
    assert code is RejectCode.PIX_CORRUPT


def test_overlays_in_unused_bits_are_cleared(tmp_path: Path) -> None:
    """Old scanners drew into bits 12 to 15 of the pixels themselves."""
    series = ct()
    for ds in series:
        values = ds.pixel_array.copy()
        values[::3] |= 0x9000
        replace_pixels(ds, values)
    assert np.array_equal(volume_of(series, tmp_path).array, ct_values(12, 64, 48))


def test_signed_values_of_12_bits_keep_their_sign(tmp_path: Path) -> None:
    """Bit 11 is the sign, whatever stands in the bits above."""
    series = ct(RescaleIntercept=0)
    for ds, values in zip(series, ct_values(12, 64, 48), strict=True):
        replace_pixels(ds, (values & 0x0FFF).astype(np.int16))
    assert np.array_equal(volume_of(series, tmp_path).array, ct_values(12, 64, 48))


@pytest.mark.parametrize("is_signed", [False, True])
def test_values_may_lie_high_in_their_words(is_signed: bool, tmp_path: Path) -> None:
    """HighBit 15 with 12 bits stored, as before the standard forbade it."""
    series = ct(RescaleIntercept=0 if is_signed else -1024)
    for ds, values in zip(series, ct_values(12, 64, 48), strict=True):
        stored = values if is_signed else (values + 1024).astype(np.uint16)
        replace_pixels(ds, (stored << 4) | 5)
        ds.HighBit = 15
    assert np.array_equal(volume_of(series, tmp_path).array, ct_values(12, 64, 48))


def test_big_endian_is_read(tmp_path: Path) -> None:
    """Retired, and still in archives."""
    paths = [tmp_path / f"{number}.dcm" for number in range(3)]
    for ds, path in zip(ct(slices=3), paths, strict=True):
        ds.PixelData = ds.pixel_array.byteswap().tobytes()
        ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dcmwrite(path, ds, enforce_file_format=True)
    image = read_series(paths, Sees.VOLUME)
    assert np.array_equal(image.array, ct_values(3, 64, 48))


def test_planes_of_colour_may_come_one_after_the_other(tmp_path: Path) -> None:
    """PlanarConfiguration 1."""
    ds = us(PlanarConfiguration=1)
    ds.PixelData = np.repeat(us_values(1, 80, 96), 3, axis=0).tobytes()
    assert frames_of(ds, tmp_path).array == pytest.approx(us_values(1, 80, 96), abs=1e-3)


def test_a_cross_section_in_colour_is_unsupported(tmp_path: Path) -> None:
    """A fusion image has no Hounsfield units."""
    series = mr(SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0)
    for ds in series:
        ds.PixelData *= 3
    assert rejection_of(series, Sees.VOLUME, tmp_path) is RejectCode.PIX_UNSUPPORTED


def test_a_file_that_is_not_dicom_is_corrupt(tmp_path: Path) -> None:
    """The store keeps what it was given; here it is found out at the latest."""
    (tmp_path / "a").write_bytes(b"GIF89a" + bytes(500))
    with pytest.raises(Rejected, match="PIX_CORRUPT"):
        read_series([tmp_path / "a"], Sees.VOLUME)


def test_a_series_without_images_is_unsupported(tmp_path: Path) -> None:
    """A report has no pixels."""
    ds = ct(slices=1, Rows=None, PixelData=None)
    assert rejection_of(ds, Sees.VOLUME, tmp_path) is RejectCode.PIX_UNSUPPORTED


def test_a_real_truncated_file_is_corrupt() -> None:
    """62 bytes are missing at the end."""
    with pytest.raises(Rejected, match="PIX_CORRUPT: 8130 bytes of pixel data where 8192 belong"):
        read_series(
            material("pydicom/test_files/MR_truncated.dcm"),
            Sees.SLICES,
            options={"allow_derived": True},
        )
