"""A header that is read in one go is the one that pydicom reads."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import InvalidDicomError
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_ai_node.domain import quick_header
from dicom_ai_node.domain.quick_header import Understood, read_header
from tests.encode.scenes import MATERIAL
from tests.phantoms import ct, dx, sm, us, us_cine, write


def _assert_same(path: Path, *, force: bool = False) -> None:
    """Compare elements as they are read, in their order, and then what they mean."""
    found, at = read_header(path, force=force)
    with path.open("rb") as file:
        expected = dcmread(file, stop_before_pixels=True, force=force)
        assert at == file.tell()
    for ours, theirs in ((found, expected), (found.file_meta, expected.file_meta)):
        assert list(ours.keys()) == list(theirs.keys())
        for tag in theirs.keys():  # noqa: SIM118 - not the elements
            if theirs.get_item(tag).is_raw:  # the character set is not
                assert ours.get_item(tag) == theirs.get_item(tag), tag
        assert ours.get("SpecificCharacterSet") == theirs.get("SpecificCharacterSet")
    assert found.original_encoding == expected.original_encoding
    assert found.original_character_set == expected.original_character_set
    assert isinstance(found, FileDataset)
    assert isinstance(expected, FileDataset)
    assert found.filename == expected.filename == str(path)


def _is_read_in_one_go(path: Path) -> bool:
    return quick_header._read(path.read_bytes()[: 1 << 16]) is not None


@pytest.mark.parametrize("image", [ct(slices=1)[0], dx(), us(), us_cine(), sm()])
def test_it_is_what_pydicom_reads(image: Dataset, tmp_path: Path) -> None:
    """With sequences, in colour, with many frames; compressed, too."""
    (path,) = write(image, tmp_path)
    _assert_same(path)
    assert _is_read_in_one_go(path)
    image.compress(RLELossless)
    (path,) = write(image, tmp_path / "rle")
    _assert_same(path)
    assert _is_read_in_one_go(path)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_what_is_encoded_otherwise_is_left_to_pydicom(syntax: str, tmp_path: Path) -> None:
    """And is read all the same."""
    image = ct(slices=1)[0]
    image.file_meta.TransferSyntaxUID = syntax
    (path,) = write(image, tmp_path)
    assert not _is_read_in_one_go(path)
    _assert_same(path) if syntax == ImplicitVRLittleEndian else read_header(path)


def test_a_header_that_is_cut_off_or_out_of_order_is_left_to_pydicom(tmp_path: Path) -> None:
    """It knows what to make of it, or says that it is none."""
    (path,) = write(ct(slices=1), tmp_path)
    whole = path.read_bytes()
    pixels = whole.rindex(b"\xe0\x7f\x10\x00")
    for end in range(132, pixels, 7):
        path.write_bytes(whole[:end])
        assert not _is_read_in_one_go(path)
    twice = whole.index(b"\x08\x00\x60\x00CS")
    path.write_bytes(whole[:pixels] + whole[twice : twice + 10] + whole[pixels:])
    assert not _is_read_in_one_go(path)
    _assert_same(path)


def test_a_header_that_is_longer_than_what_is_read_at_once_is_left_to_pydicom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the end of what was read falls."""
    (path,) = write(ct(slices=1), tmp_path)
    for length in (100, 300, 501, 777, 1000):
        monkeypatch.setattr(quick_header, "_AT_ONCE_BYTES", length)
        _assert_same(path)


def test_a_file_without_a_preamble_is_read_where_that_is_allowed(tmp_path: Path) -> None:
    """As pydicom does it."""
    path = tmp_path / "bare.dcm"
    ct(slices=1)[0].save_as(path, enforce_file_format=False)
    path.write_bytes(path.read_bytes()[132:])
    with pytest.raises(InvalidDicomError):
        read_header(path)
    _assert_same(path, force=True)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_every_file_that_we_could_find_is_read_as_pydicom_reads_it() -> None:
    """Most of them in one go."""
    files = [path for path in (MATERIAL / "dicom").rglob("*") if path.is_file()]
    if not files:
        pytest.skip("the folder of real material is not here")
    quick = 0
    for path in files:
        try:
            dcmread(path, stop_before_pixels=True)
        except (OSError, ValueError, NotImplementedError, InvalidDicomError):
            continue
        if quick_is := _is_read_in_one_go(path):
            _assert_same(path)
        quick += quick_is
    assert quick > 100


def test_what_instances_have_in_common_means_the_same_and_stays_their_own(tmp_path: Path) -> None:
    """Understood once for all; equal numbers in other words stay apart, nonsense stays nonsense."""
    series = ct(slices=5)
    series[1].RescaleSlope = "1.00"
    paths = write(series, tmp_path)
    for path in paths[3:]:
        data = path.read_bytes()
        at = data.index(b"\x28\x00\x53\x10DS") + 6
        length = int.from_bytes(data[at : at + 2], "little")
        path.write_bytes(data[: at + 2] + b"?" * length + data[at + 2 + length :])
    understood = Understood(["Rows", "PixelSpacing", "RescaleSlope", "Modality", "WindowCenter"])
    shared = [read_header(path, understood=understood)[0] for path in paths]
    alone = [read_header(path)[0] for path in paths]
    assert shared[0]["PixelSpacing"] is shared[1]["PixelSpacing"]
    assert shared[0]["RescaleSlope"] is not shared[1]["RescaleSlope"]
    for ours, theirs in zip(shared, alone, strict=True):
        assert [_said(ours, tag) for tag in ours.keys()] == [  # noqa: SIM118 - not the elements
            _said(theirs, tag)
            for tag in theirs.keys()  # noqa: SIM118
        ]
    assert "?" in _said(shared[3], BaseTag(0x00281053))


def _said(header: Dataset, tag: BaseTag) -> str:
    """Return what an element says, or what is wrong with it."""
    try:
        return repr(header[tag].value)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the same for both
        return repr(error)
