"""Every transfer syntax that hospitals send decodes to the same pixels."""

import warnings
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    UID,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.model import Sees
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.codecs import BadCodestream, codestream_size
from dicom_ai_node.infer.pixels import decoded_frames
from dicom_ai_node.infer.planes import read_headers
from tests.infer.reading import frames_of, material, rejection_of, volume_of
from tests.phantoms import ct, ct_values, dx, us, us_values, xray_values


def _encoded(ds: FileDataset, syntax: UID, *frames: bytes) -> FileDataset:
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate(list(frames))
    ds["PixelData"].VR = "OB"
    return ds


def _colour(syntax: UID, frame: bytes, photometric: str) -> FileDataset:
    return _encoded(us(PhotometricInterpretation=photometric), syntax, frame)


def _grey_rgb() -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.repeat(us_values(1, 80, 96)[0][..., None], 3, axis=-1))


def _tinted_rgb() -> NDArray[np.uint8]:
    """Return smooth colours: red to the right, blue downward, green at an angle."""
    y, x = np.mgrid[:80, :96]
    return np.stack([x * 2, (x + y), 200 - y * 2], axis=-1).astype(np.uint8)


def _luma(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = rgb @ np.array([0.299, 0.587, 0.114])
    return weights


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        pytest.param(RLELossless, None, id="RLE"),
        pytest.param(JPEGLSLossless, imagecodecs.jpegls_encode, id="JPEG-LS"),
        pytest.param(
            JPEG2000Lossless,
            lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True),
            id="JPEG 2000 lossless",
        ),
        pytest.param(
            JPEGLosslessSV1,
            lambda a: imagecodecs.ljpeg_encode(a, bitspersample=12),
            id="JPEG lossless",
        ),
    ],
)
def test_a_lossless_ct_is_the_same_in_every_syntax(
    syntax: UID, encode: object, tmp_path: Path
) -> None:
    """Hounsfield units do not depend on how the sender compressed them."""
    series = ct(slices=3)
    for ds, values in zip(series, ct_values(3, 64, 48), strict=True):
        if callable(encode):
            _encoded(ds, syntax, encode((values + 1024).astype(np.uint16)))
        else:
            ds.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(volume_of(series, tmp_path).array, ct_values(3, 64, 48))


def test_12_bit_jpeg_extended_is_read(tmp_path: Path) -> None:
    """Process 4 with 12 bits, which Pillow cannot: lossy, so within a few grey values."""
    frame = imagecodecs.jpeg8_encode(xray_values(96, 80), level=98, bitspersample=12)
    ds = _encoded(dx(), JPEGExtended12Bit, frame)
    frames = frames_of(ds, tmp_path)
    difference = np.abs(frames.array[0] - xray_values(96, 80) * (255 / 4095))
    assert difference.mean() < 0.5


@pytest.mark.parametrize(
    ("photometric", "outcolorspace"),
    [
        pytest.param("YBR_FULL_422", None, id="coded and declared as YBR"),
        pytest.param("YBR_FULL", None, id="coded and declared as YBR, no subsampling told"),
        pytest.param("RGB", "RGB", id="coded and declared as RGB"),
        pytest.param("RGB", None, id="coded as YBR with a JFIF marker, declared as RGB"),
    ],
)
def test_colours_of_jpeg_are_converted_exactly_once(
    photometric: str, outcolorspace: str | None, tmp_path: Path
) -> None:
    """Whatever the data set claims, the grey of the tinted image is the same."""
    options = {"outcolorspace": outcolorspace} if outcolorspace else {"subsampling": "422"}
    frame = imagecodecs.jpeg8_encode(_tinted_rgb(), level=98, **options)
    frames = frames_of(_colour(JPEGBaseline8Bit, frame, photometric), tmp_path)
    assert np.abs(frames.array[0] - _luma(_tinted_rgb())).mean() < 1.5


@pytest.mark.parametrize(
    ("syntax", "encode", "photometric"),
    [
        pytest.param(
            JPEG2000Lossless,
            lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True, mct=True),
            "YBR_RCT",
            id="JPEG 2000 with its reversible colour transform",
        ),
        pytest.param(
            JPEG2000,
            lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", level=60, mct=True),
            "YBR_ICT",
            id="JPEG 2000 with its irreversible one",
        ),
        pytest.param(JPEGLSLossless, imagecodecs.jpegls_encode, "RGB", id="JPEG-LS in colour"),
        pytest.param(
            JPEGLSNearLossless,
            lambda a: imagecodecs.jpegls_encode(a, level=2),
            "RGB",
            id="near-lossless JPEG-LS",
        ),
    ],
)
def test_colour_in_other_codecs(
    syntax: UID, encode: object, photometric: str, tmp_path: Path
) -> None:
    """Colour transforms of the codec are undone, and only those."""
    assert callable(encode)
    frames = frames_of(_colour(syntax, encode(_tinted_rgb()), photometric), tmp_path)
    assert np.abs(frames.array[0] - _luma(_tinted_rgb())).max() <= 2.5


def test_no_decoder_means_unsupported(tmp_path: Path) -> None:
    """Video is none of our business, and it says so before anything is decoded."""
    ds = _colour(MPEG2MPML, b"\0" * 64, "YBR_FULL_422")
    assert rejection_of(ds, Sees.FRAMES, tmp_path) is RejectCode.PIX_UNSUPPORTED


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        pytest.param(
            JPEGBaseline8Bit, imagecodecs.jpeg8_encode(_grey_rgb(), level=90), id="baseline JPEG"
        ),
        pytest.param(JPEGLSLossless, imagecodecs.jpegls_encode(_grey_rgb()), id="JPEG-LS"),
        pytest.param(
            JPEG2000Lossless,
            imagecodecs.jpeg2k_encode(_grey_rgb(), codecformat="j2k", reversible=True),
            id="JPEG 2000",
        ),
    ],
)
@pytest.mark.parametrize("kept", [0.2, 0.6, 0.97])
def test_a_truncated_codestream_is_corrupt(
    syntax: UID, frame: bytes, kept: float, tmp_path: Path
) -> None:
    """Half an image filled up with grey is worse than none."""
    ds = _colour(syntax, frame[: int(kept * len(frame))], "RGB")
    assert rejection_of(ds, Sees.FRAMES, tmp_path) is RejectCode.PIX_CORRUPT


@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        pytest.param(
            JPEGBaseline8Bit,
            imagecodecs.jpeg8_encode(np.zeros((2000, 3000, 3), np.uint8)),
            id="JPEG",
        ),
        pytest.param(
            JPEG2000Lossless,
            imagecodecs.jpeg2k_encode(np.zeros((300, 200, 3), np.uint8), codecformat="j2k"),
            id="JPEG 2000",
        ),
    ],
)
def test_a_codestream_larger_than_its_data_set_is_not_decoded(
    syntax: UID, frame: bytes, tmp_path: Path
) -> None:
    """80 x 96 pixels are declared and allowed; the decoder would allocate what the stream says."""
    code = rejection_of(_colour(syntax, frame, "RGB"), Sees.FRAMES, tmp_path)
    assert code is RejectCode.PIX_CORRUPT


def test_the_size_is_read_from_each_kind_of_header() -> None:
    """Rows, columns, components; RLE has none of its own."""
    grey = np.zeros((30, 20), np.uint8)
    assert codestream_size(imagecodecs.jpeg8_encode(grey)) == (30, 20, 1)
    assert codestream_size(imagecodecs.jpegls_encode(grey)) == (30, 20, 1)
    assert codestream_size(imagecodecs.jpeg2k_encode(grey, codecformat="j2k")) == (30, 20, 1)
    assert codestream_size(imagecodecs.jpeg2k_encode(grey, codecformat="jp2")) == (30, 20, 1)
    assert codestream_size(b"\x01\0\0\0" + bytes(60)) is None


@pytest.mark.parametrize(
    "start", [b"\xff\xd8\xff\xd9", b"\xff\xd8", b"\xff\xd8\xff\xc0\0\x02", b"\xff\x4f\xff\x51\0"]
)
def test_a_header_that_ends_early_is_a_bad_codestream(start: bytes) -> None:
    """No size, no decoding."""
    with pytest.raises(BadCodestream):
        codestream_size(start)


def test_microsofts_pairs_decode_to_their_truth() -> None:
    """Each image before and after its codec; JPEG and J2K lossy within their loss."""
    pairs = [path.parent for path in material("ms-transcode-pairs/Decode/*/*/Input.dcm")]
    assert len(pairs) == 6
    for pair in pairs:
        coded, truth = (_pixels(pair / name) for name in ("Input.dcm", "ExpectedOutput.dcm"))
        is_lossy = "Process1/" in f"{pair}/" or "Lossy" in str(pair)
        assert np.abs(coded - truth).max() <= (2 if is_lossy else 0), pair


@pytest.mark.parametrize(
    ("coded", "plain"),
    [
        ("pydicom/test_files/MR_small_RLE.dcm", "pydicom/test_files/MR_small.dcm"),
        ("pydicom/test_files/MR_small_jp2klossless.dcm", "pydicom/test_files/MR_small.dcm"),
        ("pydicom/test_files/MR_small_jpeg_ls_lossless.dcm", "pydicom/test_files/MR_small.dcm"),
        ("pydicom/test_files/MR_small_bigendian.dcm", "pydicom/test_files/MR_small.dcm"),
        ("pydicom/test_files/MR_small_implicit.dcm", "pydicom/test_files/MR_small.dcm"),
        ("pydicom-data/emri_small_RLE.dcm", "pydicom-data/emri_small.dcm"),
        ("pydicom-data/emri_small_jpeg_2k_lossless.dcm", "pydicom-data/emri_small.dcm"),
        ("pydicom-data/emri_small_jpeg_ls_lossless.dcm", "pydicom-data/emri_small.dcm"),
        ("pydicom-data/emri_small_big_endian.dcm", "pydicom-data/emri_small.dcm"),
        ("pydicom-data/OBXXXX1A_rle.dcm", "pydicom-data/OBXXXX1A.dcm"),
        ("pydicom/test_files/SC_rgb_rle_16bit.dcm", "pydicom-data/SC_rgb_16bit.dcm"),
        ("pydicom/test_files/SC_rgb_jpeg_gdcm.dcm", "pydicom-data/SC_rgb.dcm"),
        ("pydicom/test_files/SC_rgb_gdcm_KY.dcm", "pydicom-data/SC_rgb_gdcm2k_uncompressed.dcm"),
    ],
    ids=lambda name: Path(name).stem,
)
def test_files_of_many_toolkits_equal_their_plain_form(coded: str, plain: str) -> None:
    """Written by others, with their habits; J2K of GDCM is lossy by one."""
    difference = _pixels(*material(coded)) - _pixels(*material(plain))
    assert np.abs(difference).max() <= (1 if "KY" in coded else 0)


def test_every_real_file_is_decoded_or_rejected() -> None:
    """Nothing of what 200 odd and broken files do comes out as another error."""
    codes = set()
    decoded = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in material("*/*.dcm", "*/*/*.dcm"):
            try:
                decoded += len(list(decoded_frames(read_headers([path])[0])))
            except Rejected as reason:
                codes.add(reason.code)
    assert decoded > 300
    assert codes == {RejectCode.PIX_CORRUPT, RejectCode.PIX_UNSUPPORTED}


def test_htj2k_is_read() -> None:
    """High-throughput JPEG 2000: the lossless and the lossy file of one image agree."""
    lossless = material("pydicom-data/HTJ2KLossless_08_RGB.dcm")[0]
    assert dcmread(lossless).file_meta.TransferSyntaxUID == HTJ2KLossless
    difference = _pixels(lossless) - _pixels(*material("pydicom-data/HTJ2K_08_RGB.dcm"))
    assert 0 < np.abs(difference).max() <= 4


def _pixels(path: Path) -> NDArray[np.int64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (header,) = read_headers([path])
        return np.array([one.values for one in decoded_frames(header)]).astype(np.int64)
