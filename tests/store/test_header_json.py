"""A header says what its file says: compared with pydicom's own JSON, file by file."""

import json
import warnings
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, data, dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_ai_node.store.header_json import LONGEST_BYTES, encoded, header_json

UID = "1.2.3"
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian,
            DeflatedExplicitVRLittleEndian]  # fmt: skip


def readable() -> Iterator[Path]:
    """Yield every image and document that pydicom ships for its own tests."""
    for path in sorted(Path(data.__file__).parent.rglob("*.dcm")):
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            dataset = dcmread(path, stop_before_pixels=True)
            found = [dataset.get(keyword) for keyword in UIDS]
            if all(found) and dataset.file_meta.TransferSyntaxUID:
                yield path


LEFT_OUT = {"00080005", "7FE00008", "7FE00009", "7FE00010", "FFFCFFFC"}
"""What is said in another way, pixel data, and padding."""
READABLE = list(readable())
SMALL = Path(str(get_testdata_file("MR_small.dcm")))


def by_pydicom(dataset: Dataset) -> dict[str, Any]:
    """Return what pydicom makes of a data set, element by element, without pixel data."""
    made: dict[str, Any] = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating would read the elements
        if tag >> 16 == 0x7FE0 or not tag & 0xFFFF:
            continue
        made[f"{tag:08X}"] = None
        with suppress(Exception):
            element = dataset[tag]
            if element.VR == "SQ":
                items = [by_pydicom(item) for item in element.value]
                made[f"{tag:08X}"] = {"vr": "SQ", "Value": items}
            else:
                made[f"{tag:08X}"] = element.to_json_dict(None, 1 << 30)
    return made


def plain(element: dict[str, Any] | None) -> Any:  # noqa: ANN401 - JSON
    """Return an element without what says nothing: padding, and values that are empty."""
    if element is None:
        return None
    if element["vr"] == "SQ":
        return [{tag: plain(one) for tag, one in item.items()} for item in element.get("Value", ())]
    values = [_stripped(one) for one in element.get("Value", ())]
    while values and values[-1] is None:
        values.pop()
    return element["vr"], values, element.get("InlineBinary", "")


def _stripped(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {name: group.strip(" \0") for name, group in value.items() if group} or None
    if isinstance(value, str):
        return value.strip(" \0") or None
    return None if value != value else value  # noqa: PLR0124 - not a number


def differences(ours: dict[str, Any], theirs: dict[str, Any], where: str = "") -> Iterator[str]:
    """Yield where two headers differ, except where ours only names a long value."""
    for tag in sorted({*ours, *theirs} - LEFT_OUT):
        mine, other, place = ours.get(tag), theirs.get(tag), f"{where}/{tag}"
        if other is None:
            continue  # pydicom cannot read it
        if mine is None:
            yield f"{place} is missing"
        elif "BulkDataURI" in mine:
            assert mine["BulkDataURI"].endswith(place)
            # Base64 is longer by a third.
            assert len(other["InlineBinary"]) * 3 > LONGEST_BYTES * 4
        elif mine["vr"] == "SQ":
            pairs = zip(mine.get("Value", ()), other["Value"], strict=True)
            for number, pair in enumerate(pairs, 1):
                yield from differences(*pair, f"{place}/{number}")
        elif plain(mine) != plain(other):
            yield f"{place}: {mine} is not {other}"


def stored(folder: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    """Return the file of a data set."""
    for keyword in UIDS:
        setattr(dataset, keyword, UID)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.file_meta.MediaStorageSOPInstanceUID = UID
    path = folder / "one.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_there_are_many_files() -> None:
    """Else the next test would say nothing."""
    assert len(READABLE) > 60


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_a_header_is_what_pydicom_reads(path: Path) -> None:
    """In every VR, every transfer syntax and every character set that its files have."""
    theirs = by_pydicom(dcmread(path))
    ours = header_json(path)
    assert list(differences(ours, theirs)) == []
    assert json.loads(encoded(ours)) == ours
    assert not any(tag.endswith("0000") for tag in ours)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_values_in_sequences_say_where_they_are(tmp_path: Path, syntax: str) -> None:
    """By the path of the element: tag, item, tag; the pixel data by its tag."""
    item, inner = Dataset(), Dataset()
    inner.EncapsulatedDocument = bytes(LONGEST_BYTES + 2)
    inner.PatientID = "within"
    item.ReferencedSeriesSequence = Sequence([Dataset(), inner])
    dataset = Dataset()
    dataset.ReferencedStudySequence = Sequence([item])
    dataset.EncapsulatedDocument = bytes(4 << 20)
    dataset.Rows = dataset.Columns = 2
    dataset.BitsAllocated = 8
    dataset.add_new(0x7FE00010, "OW", bytes(4))
    header = header_json(stored(tmp_path, dataset, syntax))
    place = f"/studies/{UID}/series/{UID}/instances/{UID}/bulkdata"
    within = header["00081110"]["Value"][0]["00081115"]["Value"][1]
    assert within["00420011"]["BulkDataURI"] == f"{place}/00081110/1/00081115/2/00420011"
    assert within["00100020"] == {"vr": "LO", "Value": ["within"]}
    assert header["00420011"] == {"vr": "OB", "BulkDataURI": f"{place}/00420011"}
    assert header["7FE00010"]["BulkDataURI"] == f"{place}/7FE00010"
    assert header["00280010"]["Value"] == [2]


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        pytest.param("ISO_IR 192", "Wang^XiaoDong=王^小東", id="UTF-8"),
        pytest.param("GB18030", "Wang^XiaoDong=王^小东", id="GB18030"),
        pytest.param("GBK", "Wang^XiaoDong=王^小东", id="GBK"),
        pytest.param(["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", id="Japanese"),
        pytest.param(["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", id="Korean"),
        pytest.param("ISO_IR 100", "Müller^Jörg", id="Latin 1"),
        pytest.param("ISO_IR 144", "Люксембург", id="Cyrillic"),
    ],
)
@pytest.mark.parametrize("syntax", SYNTAXES[:2], ids=lambda uid: uid.name)
def test_a_name_is_read_in_its_character_set(
    tmp_path: Path, character_set: str | list[str], name: str, syntax: str
) -> None:
    """Also in a sequence, which inherits it."""
    item = Dataset()
    item.PatientName = name
    dataset = Dataset()
    dataset.SpecificCharacterSet = character_set
    dataset.PatientName = name
    dataset.OtherPatientIDsSequence = Sequence([item])
    header = header_json(stored(tmp_path, dataset, syntax))
    groups = zip(("Alphabetic", "Ideographic", "Phonetic"), name.split("="), strict=False)
    assert header["00100010"] == {"vr": "PN", "Value": [dict(groups)]}
    assert header["00101002"]["Value"][0]["00100010"] == header["00100010"]
    assert header["00080005"] == {"vr": "CS", "Value": ["ISO_IR 192"]}


def test_simplified_chinese_has_escape_sequences(tmp_path: Path) -> None:
    """ISO 2022 IR 58, as PS3.5 K.2 writes it; they are no part of the name."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 58"]
    dataset.PatientName = "N" * 29
    path = stored(tmp_path, dataset)
    name = b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab"
    path.write_bytes(path.read_bytes().replace(b"N" * 29 + b" ", name.ljust(30)))
    (value,) = header_json(path)["00100010"]["Value"]
    assert value == {"Alphabetic": "Zhang^XiaoDong", "Ideographic": "张^小东"}


def test_a_long_value_whose_vr_depends_on_others_is_told(tmp_path: Path) -> None:
    """Implicit VR names none, and pydicom has to look at a value that was not read at once."""
    dataset = Dataset()
    dataset.add_new(0x60003000, "OW", bytes(2 << 20))
    (wave,) = dataset.WaveformSequence = Sequence([Dataset()])
    wave.add_new(0x54001010, "OW", bytes(2 << 20))
    header = header_json(stored(tmp_path, dataset, ImplicitVRLittleEndian))
    place = f"/studies/{UID}/series/{UID}/instances/{UID}/bulkdata"
    assert header["60003000"] == {"vr": "OW", "BulkDataURI": f"{place}/60003000"}
    (inside,) = header["54000100"]["Value"]
    assert inside["54001010"] == {"vr": "OW", "BulkDataURI": f"{place}/54000100/1/54001010"}


@pytest.mark.filterwarnings("ignore")
def test_a_number_that_is_none_does_not_harm_the_others(tmp_path: Path) -> None:
    """Some modalities write a comma, or words."""
    source = SMALL.read_bytes()
    thickness = dcmread(BytesIO(source)).SliceThickness.original_string.encode()
    path = tmp_path / "odd.dcm"
    path.write_bytes(
        source.replace(thickness, b"0,8\\nan\\2"[: len(thickness)].ljust(len(thickness)))
    )
    header = header_json(path)
    assert header["00180050"] == {"vr": "DS"}
    assert header["00100020"]["Value"] == ["4MR1"]


@pytest.mark.filterwarnings("ignore")
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None
)
@given(st.lists(st.tuples(st.integers(400, 1900), st.binary(min_size=1, max_size=6)), max_size=6))
def test_any_bytes_are_a_header_or_none(tmp_path: Path, changes: list[tuple[int, bytes]]) -> None:
    """What comes out is JSON that the next one can read."""
    noisy = bytearray(SMALL.read_bytes())
    for at, new in changes:
        noisy[at : at + len(new)] = new
    path = tmp_path / "noise.dcm"
    path.write_bytes(noisy)
    header: dict[str, Any] = {}
    with suppress(Exception):
        header = header_json(path)
    assert json.loads(encoded(header)) == header
