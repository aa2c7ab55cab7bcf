"""Our way to the bytes of a file and pydicom's are one."""

from collections.abc import Iterator
from copy import deepcopy
from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_ai_node.encode.copies import settle, written_once
from dicom_ai_node.encode.headers import unvalidated
from dicom_ai_node.encode.part10_file import Part10Writer
from dicom_ai_node.encode.write import ENCODERS, encode_job
from tests.encode import scenes


def _by_pydicom(dataset: Dataset) -> bytes:
    stream = BytesIO()
    copy = deepcopy(dataset)
    settle(copy)
    copy.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _by_us(dataset: Dataset, writer: Part10Writer) -> bytes:
    stream = BytesIO()
    writer.write(dataset, stream)
    return stream.getvalue()


def _results() -> Iterator[Dataset]:
    """Yield results of every kind that a scene has: small and with pixels, plain and compressed."""
    for sources, scene_of in (
        (scenes.SOURCES, scenes.scene),
        (scenes.CLASSIFIED, scenes.classified),
        (scenes.RESTORED, scenes.restored),
    ):
        for make in sources.values():
            made = scene_of(make())
            yield from (item for _, item in encode_job(made.findings, made.origin, ENCODERS))


def test_results_of_every_kind_are_the_bytes_that_pydicom_writes() -> None:
    """With one writer for all of them, so that what it keeps of one is tried on the next."""
    writer, kinds = Part10Writer(), set()
    with unvalidated():
        for number, result in enumerate(_results()):
            expected = _by_pydicom(result)
            assert _by_us(result, writer) == expected, number
            kinds.add((result.SOPClassUID, result.file_meta.TransferSyntaxUID))
    assert len(kinds) > 6


@pytest.fixture
def result() -> Dataset:
    """Return a small result."""
    return next(_results())


def _odd(result: Dataset) -> Iterator[tuple[str, Dataset]]:
    item = Dataset()
    item.CodeMeaning, item.CodeValue = "Größe", "1"
    said = deepcopy(item)
    said.SpecificCharacterSet = "ISO_IR 100"
    undefined = deepcopy(item)
    undefined.is_undefined_length_sequence_item = True
    for name, items in {"a character set": [said, item], "an open item": [undefined]}.items():
        odd = deepcopy(result)
        odd.ConceptCodeSequence = Sequence(items)
        yield name, odd
    odd = deepcopy(result)
    odd.ConceptCodeSequence = Sequence([item])
    odd["ConceptCodeSequence"].is_undefined_length = True
    yield "an open sequence", odd
    odd = deepcopy(result)
    odd.add(written_once("ConceptCodeSequence", [item]))
    yield "bytes as they are", odd
    odd = deepcopy(result)
    odd.PatientWeight, odd.PatientSize, odd.ReferringPhysicianName = "70.0", None, ""
    odd.PixelData = b"odd"
    odd["PixelData"].VR = "OB"
    yield "odd pixels, empty values", odd
    odd = deepcopy(result)
    odd.PixelData = BytesIO(b"1234" * 2000)
    odd["PixelData"].VR = "OB"
    yield "pixels in a buffer", odd
    for syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        odd = deepcopy(result)
        odd.file_meta.TransferSyntaxUID = syntax
        yield syntax.name, odd
    odd = deepcopy(result)
    odd.file_meta.TransferSyntaxUID = RLELossless
    odd.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\x00\xe0\2\0\0\0ab"
    odd["PixelData"].VR, odd["PixelData"].is_undefined_length = "OB", True
    yield "encapsulated", odd
    odd = deepcopy(result)
    odd.SpecificCharacterSet = "ISO_IR 100"
    yield "another character set", odd


def test_what_is_unusual_is_what_pydicom_writes(result: Dataset) -> None:
    """Rather slowly than differently."""
    with unvalidated():
        for name, odd in _odd(result):
            expected = _by_pydicom(odd)
            assert _by_us(odd, Part10Writer()) == expected, name


def test_values_that_are_equal_and_written_differently_stay_apart(result: Dataset) -> None:
    """1.0 is 1.00, and says so in other bytes."""
    writer = Part10Writer()
    for weight in ("1.0", "1.00", "1", "1.0"):
        result.PatientWeight = weight
        with unvalidated():
            assert _by_us(result, writer) == _by_pydicom(result)
