"""What is said again in every frame or instance of a result: made once, given away many times."""

from collections.abc import Container, MutableMapping, Sequence

from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import correct_ambiguous_vr_element, write_sequence
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import AMBIGUOUS_VR

UTF_8 = ["utf8"]
"""How pydicom calls the encoding of all text that this node writes."""


def twin(element: DataElement) -> DataElement:
    """Return an element that may be given another value while the first keeps its own.

    The value itself is shared: it may be replaced, and not changed.
    """
    copy = DataElement.__new__(DataElement)
    vars(copy).update(vars(element))  # copy.copy is slow: it asks the class how
    return copy


def copy_of(dataset: Dataset, without: Container[int] = ()) -> Dataset:
    """Return a data set whose elements may be given other values, in its items, too.

    Elements whose tags are in `without` are left out.
    """
    elements: MutableMapping[BaseTag, DataElement | RawDataElement] = {}
    for element in dataset:
        if element.tag in without:
            continue
        elements[element.tag] = (
            DataElement(element.tag, "SQ", [copy_of(item) for item in element.value])
            if element.VR == "SQ"
            else twin(element)
        )
    return Dataset(elements)


def written_once(keyword: str, items: Sequence[Dataset]) -> RawDataElement:
    """Return a sequence as its bytes, Explicit VR Little Endian and UTF-8.

    Many data sets may have it, and writing them copies the bytes. Whoever asks one of them for its
    items gets items of its own.
    """
    tag = Tag(tag_for_keyword(keyword) or 0)
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = False, True
    for item in items:
        settle(item)
    write_sequence(stream, DataElement(tag, "SQ", list(items)), UTF_8)
    content = stream.getvalue()
    return RawDataElement(
        tag, "SQ", len(content), content, 0, is_implicit_VR=False, is_little_endian=True
    )


def settle(dataset: Dataset, around: Sequence[Dataset] = ()) -> None:
    """Decide every VR that depends on other elements, so that pydicom need not look for any.

    From then on the data set is taken for one that was read as Explicit VR Little Endian.
    """
    line = [dataset, *around]
    for element in dataset.elements():
        if isinstance(element, RawDataElement):
            continue
        if element.VR == "SQ":
            for item in element.value:
                settle(item, line)
        elif element.VR in AMBIGUOUS_VR:
            correct_ambiguous_vr_element(element, dataset, is_little_endian=True, ancestors=line)
    said = dataset.get("SpecificCharacterSet")
    dataset.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=convert_encodings(said) if said else default_encoding,
    )
