"""Our XML beside that of DCMTK: the same objects, told alike by two writers and read alike."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from pydicom import Dataset

from dicom_ai_node.domain.native_model import NAMESPACE, xml_of
from dicom_ai_node.domain.native_model_read import header_of
from dicom_ai_node.samples.studies import SAMPLES
from dicom_ai_node.store.header_json import header_json
from tests import phantoms
from tests.peers.tools import find

pytestmark = pytest.mark.peer

NUMBERS = {"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"}
BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
"""What of them is inline and what elsewhere is for each writer to choose."""


def odd() -> Dataset:
    """Return an object with whatever is hard to say in XML."""
    (made,) = phantoms.ct(slices=1, rows=2, columns=2)
    made.SpecificCharacterSet = "ISO_IR 192"
    made.PatientName = "Yamada^Tarou^^Dr=山田^太郎=やまだ^たろう"
    made.PatientID = 'a&<"b> é'
    made.ImageType = ["ORIGINAL", "", "AXIAL", ""]
    made.StudyDescription = ""
    made.ReferencedImageSequence = []
    made.ImageComments = "line 1\r\nline 2\ttab"
    made.FrameIncrementPointer = [0x00181063, 0x00280030]
    made.RecommendedDisplayFrameRateInFloat = 0.1
    made.RealWorldValueSlope = 1 / 3
    inner = Dataset()
    inner.CodeValue = "1"
    made.ConceptNameCodeSequence = [inner, Dataset()]
    for creator in ("ACME 1", "ACME 2"):
        block = made.private_block(0x0009, creator, create=True)
        block.add_new(0x01, "LO", f"of {creator}")
        block.add_new(0x02, "SQ", [Dataset()])
    return made


def leaves(parent: ET.Element, place: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield whatever a document says, one value after the other, each with its place."""
    for child in parent:
        kind = child.tag.removeprefix(f"{{{NAMESPACE}}}")
        said = {name: value for name, value in child.attrib.items() if name not in ("uri", "uuid")}
        here = (*place, kind, *(value for _, value in sorted(said.items())))
        vr = next((word for word in reversed(place) if word in NUMBERS | BINARY), "")
        if kind in ("BulkData", "InlineBinary"):
            yield (*place, "binary")
        elif kind == "Value" and vr in NUMBERS:
            yield (*here, float(np.float32(child.text)))
        elif len(child) or kind in ("DicomAttribute", "Item"):
            yield here
            yield from leaves(child, here)
        elif child.text:
            yield (*here, child.text)


FREE = {"SpecificCharacterSet", "PixelData"}
"""Ours are always in UTF-8; of pixels of 8 bits each writer has an own view, OB or OW."""


def comparable(document: bytes) -> list[tuple[Any, ...]]:
    """Return what a document says without what writers are free in."""
    return sorted((one for one in leaves(ET.fromstring(document)) if one[1] not in FREE), key=str)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return one file of each sample, and the odd one."""
    folder = tmp_path_factory.mktemp("objects")
    made = [next(iter(sample.make())) for sample in SAMPLES]
    paths = []
    for number, dataset in enumerate([odd(), *made]):
        paths.append(folder / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    return paths


def theirs(path: Path, *options: str) -> bytes:
    """Return what DCMTK writes."""
    return subprocess.run(
        [find("dcm2xml"), "--native-format", *options, str(path)], check=True, capture_output=True
    ).stdout


def test_dcmtk_writes_the_same(objects: list[Path]) -> None:
    """Attribute by attribute, with and without a name space."""
    assert len(objects) > 5
    for path in objects:
        ours = comparable(xml_of(header_json(path)))
        assert ours == comparable(theirs(path, "--use-xml-namespace"))
        assert len(ours) > 30


def test_what_dcmtk_writes_is_read_as_the_object_itself(objects: list[Path]) -> None:
    """By way of their XML and by way of our own reading of the file it is one data set."""
    for path in objects:
        read = header_of(theirs(path, "--encode-base64"))
        assert comparable(xml_of(read)) == comparable(xml_of(header_json(path)))
