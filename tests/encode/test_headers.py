"""Headers as they come, and as they may be written again."""

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.uid import JPEGBaseline8Bit

from dicom_ai_node.encode.headers import TYPE_2, normalised, read_sources, unvalidated
from tests import phantoms
from tests.encode.scenes import MATERIAL

ESCAPE_58 = b"\x1b$)A"


def _read_back(header: Dataset) -> Dataset:
    stream = BytesIO()
    with unvalidated():
        dcmwrite(stream, header, implicit_vr=False, little_endian=True)
    stream.seek(0)
    return dcmread(stream, force=True)


def _received(dataset: Dataset) -> Dataset:
    stream = DicomBytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return dcmread(BytesIO(stream.getvalue()))


@pytest.mark.parametrize(
    ("character_set", "raw", "name"),
    [
        pytest.param("ISO_IR 192", "王^小东".encode(), "王^小东", id="UTF-8"),
        pytest.param("GB18030", "王^小东".encode("gb18030"), "王^小东", id="GB18030"),
        pytest.param(
            ["", "ISO 2022 IR 58"],
            b"Z^X=" + ESCAPE_58 + "张".encode("gb2312") + b"^" + ESCAPE_58 + "东".encode("gb2312"),
            "Z^X=张^东",
            id="ISO 2022 from China",
        ),
        pytest.param(
            ["", "ISO 2022 IR 58"],
            b"Z^X=" + "张^东".encode("gb2312"),
            "Z^X=张^东",
            id="the same from a system that forgets its escape sequences",
        ),
        pytest.param(
            ["", "ISO 2022 IR 87"],
            b"Y^T=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
            "Y^T=山田^太郎",
            id="ISO 2022 from Japan",
        ),
        pytest.param(
            ["", "ISO 2022 IR 149"],
            b"H^G=\x1b$)C" + "洪^".encode("euc_kr") + b"\x1b$)C" + "吉洞".encode("euc_kr"),
            "H^G=洪^吉洞",
            id="ISO 2022 from Korea",
        ),
        pytest.param("ISO_IR 100", "Buc^Jérôme".encode("latin-1"), "Buc^Jérôme", id="Latin-1"),
        pytest.param("ISO_IR 144", "Люк^Ж".encode("iso8859_5"), "Люк^Ж", id="Cyrillic"),
    ],
)
@pytest.mark.parametrize("is_nested", [False, True], ids=["", "in a sequence"])
def test_a_name_in_any_character_set_becomes_utf_8(
    character_set: str | list[str], raw: bytes, name: str, *, is_nested: bool
) -> None:
    """With all its groups, also where the first character set is empty, also in sequences."""
    place = Dataset() if is_nested else phantoms.dx()
    place.PatientName = "X" * len(raw)
    image = phantoms.dx(SpecificCharacterSet=character_set)
    if is_nested:
        image.ReferencedPatientSequence = [place]
    else:
        image.PatientName = place.PatientName
    stream = DicomBytesIO()
    image.save_as(stream, enforce_file_format=True)
    data = stream.getvalue().replace(b"X" * len(raw), raw)
    header = _read_back(normalised(dcmread(BytesIO(data))))
    assert header.SpecificCharacterSet == "ISO_IR 192"
    shown = header.ReferencedPatientSequence[0] if is_nested else header
    assert shown.PatientName == name


def test_text_without_a_character_set_is_read_as_utf_8_if_it_is_valid() -> None:
    """Nobody writes valid UTF-8 by accident; anything else is Latin-1, as pydicom assumes."""
    image = phantoms.dx(PatientName="Wang^XiaoDong=王^小东")
    stream = DicomBytesIO()
    image.save_as(stream, enforce_file_format=True)
    undeclared = dcmread(BytesIO(stream.getvalue().replace(b"ISO_IR 192", b"          ")))
    assert normalised(undeclared).PatientName == "Wang^XiaoDong=王^小东"


def test_type_2_attributes_are_filled_and_odd_ones_emptied() -> None:
    """No received header makes a library stumble later."""
    with unvalidated():
        image = phantoms.dx(
            PatientBirthDate="1960", PatientSex="U", StudyTime="101010.1234567",
            BodyPartExamined="chest", PatientID="A\\B", StudyID=None, AccessionNumber=None,
        )  # fmt: skip
    header = normalised(image)
    assert all(keyword in header for keyword in TYPE_2)
    assert header.PatientBirthDate in {None, ""}
    assert header.PatientSex in {None, ""}
    assert header.StudyTime == "101010.123456"
    assert header.BodyPartExamined == "CHEST"
    assert header.PatientID == "A/B"


def test_private_overlay_and_bulk_data_do_not_pass() -> None:
    """What we do not understand we do not repeat."""
    image = phantoms.ct(slices=1)[0]
    image.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "secret")
    image.add_new(0x60003000, "OW", b"\0\0")
    image.add_new(0x60000010, "US", 8)
    nested = Dataset()
    nested.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "secret")
    nested.CodeValue = "1"
    image.ProcedureCodeSequence = [nested]
    header = normalised(image)
    assert not any(element.tag.is_private for element in header.iterall())
    assert not any(element.tag.group in {0x6000, 0x7FE0} for element in header)
    assert "PixelData" in image


def test_the_uids_of_the_source_are_never_touched() -> None:
    """A reference must name what the archive holds, however odd it is."""
    odd = "1.2.003.4"
    with unvalidated():
        image = phantoms.dx(SOPInstanceUID=odd)
        assert normalised(image).SOPInstanceUID == odd


def test_half_a_position_is_no_position() -> None:
    """One number that cannot be read takes the others with it."""
    image = _received(phantoms.ct(slices=1)[0])
    raw = image.get_item("ImagePositionPatient")
    image._dict[raw.tag] = raw._replace(value=b"1.5\\x\\2 ", length=8)
    assert not normalised(image).ImagePositionPatient


def test_a_lossy_source_tells_how_much_it_lost(tmp_path: Path) -> None:
    """Even if its own header forgot: the transfer syntax and the size of its file know."""
    image = phantoms.us()
    image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    image.PixelData = encapsulate([b"\xff\xd8" + b"\0" * 2000 + b"\xff\xd9"])
    image["PixelData"].is_undefined_length = True
    header = read_sources(phantoms.write(image, tmp_path))[0]
    assert header.LossyImageCompression == "01"
    assert header.LossyImageCompressionMethod == "ISO_10918_1"
    size = next(tmp_path.iterdir()).stat().st_size
    assert float(header.LossyImageCompressionRatio) == pytest.approx(80 * 96 * 3 / size, rel=0.01)


def test_what_is_alike_in_a_series_is_understood_once_and_belongs_to_each(tmp_path: Path) -> None:
    """The same bytes mean the same only where the character set is the same."""
    raw = "é^ß".encode("latin-1")
    images = [phantoms.dx(SpecificCharacterSet=it) for it in ("ISO_IR 100", "ISO_IR 144") * 2]
    files = []
    for number, image in enumerate(images):
        image.PatientName = "XQX"
        files.append(tmp_path / f"{number}.dcm")
        image.save_as(files[-1], enforce_file_format=True)
        files[-1].write_bytes(files[-1].read_bytes().replace(b"XQX", raw))
    headers = read_sources(files)
    assert [str(header.PatientName) for header in headers] == ["é^ß", "щ^п"] * 2
    headers[0].PatientName, headers[0].Modality = "Another", "CT"
    assert (str(headers[2].PatientName), headers[2].Modality) == ("é^ß", "DX")


def _material() -> list[Path]:
    folder = MATERIAL / "dicom"
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [
        path for path in files if path.suffix == ".dcm" or path.read_bytes()[128:132] == b"DICM"
    ]


def test_every_file_that_we_could_find_can_be_normalised_and_written() -> None:
    """Some 360 files of all makes and ages, broken ones among them."""
    files = _material()
    if not files:
        pytest.skip("the folder of real material is not here")
    for path, together in zip(files, read_sources(files), strict=True):
        header = read_sources([path])[0]
        assert header == together
        header.file_meta = FileMetaDataset()
        again = _read_back(header)
        with unvalidated():
            assert all(element.value is not Ellipsis for element in again.iterall())
        assert again.SpecificCharacterSet == "ISO_IR 192"
