"""What is read from a header, and what is not."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_ai_node.domain.errors import NotStorable, NotUnderstood
from dicom_ai_node.receive.header import Header, header_of, instance_of
from dicom_ai_node.receive.part10 import Announced
from dicom_ai_node.receive.walk import MAX_DEPTH
from tests import phantoms
from tests.receive.rawpeer import EXPLICIT, IMPLICIT, encoded, smallest

BIG = "1.2.840.10008.1.2.2"
SYNTAXES = [
    pytest.param(EXPLICIT, False, True, id="Explicit VR Little Endian"),
    pytest.param(IMPLICIT, True, True, id="Implicit VR Little Endian"),
    pytest.param(BIG, False, False, id="Explicit VR Big Endian"),
]


Read = Callable[..., Header]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads the header of encoded bytes."""

    def header(data: bytes, syntax: str = EXPLICIT) -> Header:
        path = tmp_path / "instance"
        path.write_bytes(b"head" + data)
        return header_of(path, 4, syntax)

    return header


def _rich() -> Dataset:
    dataset = smallest()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.Modality = "MR"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    dataset.SeriesDescription = "T1 Hüfte"
    dataset.SliceThickness = "2.50"
    dataset.EchoTime = "4.6"
    dataset.Rows = 512
    dataset.PixelRepresentation = 1
    dataset.SmallestImagePixelValue = -5
    dataset.FrameIncrementPointer = 0x00181063
    dataset.TagThickness = 0.1
    dataset.PatientName = phantoms.CANARY
    dataset.PatientID = "ZZCANARY"
    dataset.PatientSex = "F"
    dataset.PatientAge = "040Y"
    dataset.PatientWeight = "70"
    dataset.InstitutionName = "ZZCANARY"
    dataset.InstitutionAddress = "ZZCANARY"
    dataset.ReferringPhysicianName = "ZZCANARY"
    dataset.StudyID = "ZZCANARY"
    dataset.AccessionNumber = "ZZCANARY"
    dataset.OperatorsName = "ZZCANARY"
    dataset.ImageComments = "ZZCANARY"
    dataset.AdmissionID = "ZZCANARY"
    dataset.RequestedProcedureID = "ZZCANARY"
    dataset.ContrastBolusAgent = "x" * 65
    dataset.StudyComments = "y"
    dataset.add_new(0x00091010, "LO", "private")
    dataset.LossyImageCompressionRatio = ""
    dataset.ReferencedImageSequence = Sequence([smallest(SOPInstanceUID="9.9")])
    return dataset


@pytest.mark.parametrize(("syntax", "implicit", "little"), SYNTAXES)
@pytest.mark.filterwarnings("ignore:The value length")
def test_the_short_attributes_become_text(
    read: Read, syntax: str, implicit: bool, little: bool
) -> None:
    """Routes see the same text whatever the encoding; nothing of it names the patient."""
    header = read(encoded(_rich(), implicit=implicit, little=little), syntax)
    assert header.sop_instance_uid == "1.2.3.4"
    assert header.transfer_syntax_uid == syntax
    assert dict(header.attributes) == {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": "ORIGINAL\\PRIMARY\\M",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": "1.2.3.4",
        "Modality": "MR",
        "SeriesDescription": "T1 Hüfte",
        "PatientSex": "F",
        "PatientAge": "040Y",
        "PatientWeight": "70",
        "ContrastBolusAgent": "x" * 65,
        "SliceThickness": "2.50",
        "EchoTime": "4.6",
        "TagThickness": "0.1",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.5",
        "FrameIncrementPointer": "00181063",
        "Rows": "512",
        "PixelRepresentation": "1",
        "SmallestImagePixelValue": "-5",
    }


def test_attributes_of_a_multiframe_image_are_found_in_its_shared_groups(read: Read) -> None:
    """An enhanced image can be routed by spacing, thickness and orientation as any other."""
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [0.5, 0.25]
    measures.SliceThickness = "3"
    plane.ImageOrientationPatient = list("100010")
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [plane]
    dataset = smallest()
    dataset.NumberOfFrames = 7
    dataset.SharedFunctionalGroupsSequence = [shared]
    for undefined in (False, True):
        for sequence in (
            dataset["SharedFunctionalGroupsSequence"],
            shared["PixelMeasuresSequence"],
        ):
            sequence.is_undefined_length = undefined
        attributes = read(encoded(dataset)).attributes
        assert attributes["NumberOfFrames"] == "7"
        assert attributes["PixelSpacing"] == "0.5\\0.25"
        assert attributes["SliceThickness"] == "3"
        assert attributes["ImageOrientationPatient"] == "1\\0\\0\\0\\1\\0"


def test_the_devices_that_contributed_are_known_by_their_uids(read: Read) -> None:
    """By the Device UID of a model the node knows its own work, wherever it comes from."""
    scanner, model, inner = Dataset(), Dataset(), Dataset()
    scanner.Manufacturer = "ACME"
    inner.DeviceUID = "9.9.9"
    scanner.PurposeOfReferenceCodeSequence = [inner]
    model.DeviceUID = "1.2.34"
    dataset = smallest()
    dataset.ContributingEquipmentSequence = [scanner, model]
    for undefined in (False, True):
        dataset["ContributingEquipmentSequence"].is_undefined_length = undefined
        assert read(encoded(dataset)).device_uids == {"1.2.34"}
    assert read(encoded(smallest())).device_uids == frozenset()


@pytest.mark.parametrize(
    ("terms", "value", "text"),
    [
        pytest.param(b"ISO_IR 100", "Schädel".encode("latin1"), "Schädel", id="Latin 1"),
        pytest.param(b"ISO IR 192 ", "脑部".encode(), "脑部", id="a misspelt term"),
        pytest.param(b"GB18030", "脑部平扫".encode("gb18030"), "脑部平扫", id="Chinese"),
        pytest.param(
            b"\\ISO 2022 IR 87", b"\x1b$B\x46\x2c\x1b(B CT", "頭 CT", id="Japanese with escapes"
        ),
        pytest.param(b"KLINGON", b"abc\xe4", "abcä", id="an unknown term"),
        pytest.param(b"ISO_IR 192", b"a\xffb", "a\ufffdb", id="bytes that are no text"),
        pytest.param(b"ISO_IR 6", b"a\x00b\x1b\x07", "a b", id="control characters"),
    ],
)
def test_text_is_decoded_by_the_character_set_of_the_data_set(
    read: Read, terms: bytes, value: bytes, text: str
) -> None:
    """A route can be written in the language of the hospital."""
    data = _elements((8, 5, b"CS", terms), (8, 0x103E, b"LO", value)) + WHOLE
    assert read(data).attributes["SeriesDescription"] == text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"SeriesInstanceUID": ""}, NotUnderstood, id="a UID is absent"),
        pytest.param(
            {"StudyInstanceUID": "1.2\\1.3"}, NotStorable, id="two UIDs where one must be"
        ),
        pytest.param({"StudyInstanceUID": "../../etc/x"}, NotStorable, id="a path"),
        pytest.param({"SOPInstanceUID": "1." + "2" * 63}, NotStorable, id="65 characters"),
        pytest.param({"SOPInstanceUID": "1.2.é"}, NotStorable, id="not ASCII"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
def test_without_its_uids_an_instance_is_none(
    read: Read, changes: dict[str, str], error: type[Exception]
) -> None:
    """The message names the attribute and never its value."""
    with pytest.raises(error, match="UID is") as caught:
        read(encoded(smallest(**changes)))
    assert "etc" not in str(caught.value)


def _announced(sop_class_uid: str, sop_instance_uid: str, study: str = "") -> Announced:
    return Announced(
        sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid, study_instance_uid=study
    )


def test_an_instance_must_be_the_announced_one(read: Read) -> None:
    """The command and the data set name the same instance of the same class."""
    header = read(encoded(smallest()))
    header.check(_announced(header.sop_class_uid, header.sop_instance_uid))
    with pytest.raises(NotStorable, match="SOPClassUID"):
        header.check(_announced("1.2", header.sop_instance_uid))
    with pytest.raises(NotStorable, match="SOPInstanceUID"):
        header.check(_announced(header.sop_class_uid, "1.2"))
    with pytest.raises(NotStorable, match="StudyInstanceUID"):
        header.check(_announced(header.sop_class_uid, header.sop_instance_uid, "1.2"))


def _elements(*parts: tuple[int, int, bytes, bytes]) -> bytes:
    return b"".join(
        struct.pack("<HH2sH", group, number, vr, len(value)) + value
        for group, number, vr, value in parts
    )


def _long(group: int, number: int, vr: bytes, length: int) -> bytes:
    return struct.pack("<HH2sHL", group, number, vr, 0, length)


def _nested(depth: int) -> bytes:
    opened = _long(0x40, 0xA730, b"SQ", 0xFFFFFFFF) + struct.pack(
        "<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    closed = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return opened * depth + closed * depth


WHOLE = encoded(smallest())
ITEM = struct.pack("<HHL", 0xFFFE, 0xE000, 4) + b"abcd"
PIXELS = _long(0x7FE0, 0x10, b"OB", 0xFFFFFFFF)
END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(WHOLE + _nested(MAX_DEPTH), id="as deep as anyone needs"),
        pytest.param(WHOLE + PIXELS + ITEM + ITEM + END, id="encapsulated pixels"),
        pytest.param(WHOLE + _long(0x7FE0, 0x10, b"OW", 4) + b"abcd", id="native pixels"),
        pytest.param(WHOLE + bytes(5), id="a little padding behind the end"),
        pytest.param(
            WHOLE + struct.pack("<HHL", 0x21, 0x1010, 2) + b"ab", id="one element without a VR"
        ),
        pytest.param(
            WHOLE
            + _long(0x21, 0x1010, b"UN", 0xFFFFFFFF)
            + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
            + struct.pack("<HHL", 0x21, 0x1011, 2) + b"ab"
            + struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0),
            id="an unknown sequence is implicit inside",
        ),
    ],
)  # fmt: skip
def test_odd_but_whole_data_sets_are_read(read: Read, data: bytes) -> None:
    """What the standard allows, and what scanners make of it, is taken."""
    assert read(data).sop_instance_uid == "1.2.3.4"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"%PDF-1.7 is not a data set", id="no DICOM"),
        pytest.param(WHOLE[:-3], id="cut off within a value"),
        pytest.param(WHOLE + WHOLE[:6], id="cut off within a header"),
        pytest.param(WHOLE + _nested(MAX_DEPTH + 1), id="nested one too deep"),
        pytest.param(WHOLE + _nested(100_000), id="nested without end"),
        pytest.param(WHOLE + _nested(100_000)[:-800_000], id="nested and never closed"),
        pytest.param(WHOLE + _long(9, 0x1010, b"OB", 0xFFFFFFFE) + b"x" * 100, id="a huge length"),
        pytest.param(WHOLE + _long(0x7FE0, 0x10, b"OW", 8) + b"abcd", id="native pixels cut off"),
        pytest.param(WHOLE + PIXELS + ITEM + ITEM, id="encapsulated pixels without an end"),
        pytest.param(WHOLE + PIXELS + ITEM[:-1], id="a fragment cut off"),
        pytest.param(WHOLE + PIXELS + b"abcdefgh" + END, id="a fragment that is none"),
        pytest.param(WHOLE + _long(0x9, 0x1010, b"UT", 0xFFFFFFFF) + END, id="text without length"),
        pytest.param(WHOLE + END, id="a delimiter of nothing"),
        pytest.param(_elements((2, 0x10, b"UI", b"1.2\0")) + WHOLE, id="file meta within the data"),
        pytest.param(WHOLE + _elements((8, 0x18, b"UI", b"9.9\0")), id="two instance UIDs"),
        pytest.param(
            WHOLE + _long(0x40, 0xA730, b"SQ", 12) + ITEM[:-4] + b"abcdefgh",
            id="item beyond its end",
        ),
        pytest.param(
            WHOLE + b"".join(_elements((9, 0x1000 + n, b"LO", b"ab")) for n in range(50_001)),
            id="too many elements",
        ),
    ],
)
def test_data_sets_that_are_broken_or_meant_to_break_us_are_refused(
    read: Read, data: bytes
) -> None:
    """They are refused quickly, and never by running out of stack or memory."""
    with pytest.raises(NotUnderstood):
        read(data)


def test_a_deflated_data_set_is_not_read(read: Read) -> None:
    """A megabyte may inflate to a gigabyte."""
    with pytest.raises(NotUnderstood, match="deflated"):
        read(WHOLE, "1.2.840.10008.1.2.1.99")


def test_a_file_on_disk_is_an_instance(tmp_path: Path) -> None:
    """A folder of files can be explained as if it had been received."""
    (path,) = phantoms.write(phantoms.ct(slices=1), tmp_path)
    instance = instance_of(path)
    image = dcmread(path)
    assert instance.sop_instance_uid == image.SOPInstanceUID
    assert instance.size_bytes == path.stat().st_size
    assert instance.attributes["PixelSpacing"] == "0.8\\0.8"
    assert "ZZCANARY" not in str(instance)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(b"%PDF-1.7", id="another kind of file"),
        pytest.param(bytes(128) + b"DICM" + WHOLE, id="no file meta information"),
    ],
)
def test_a_file_that_is_no_instance_is_refused(tmp_path: Path, content: bytes) -> None:
    """Other files in a folder are told apart from instances."""
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(NotUnderstood):
        instance_of(path)
