"""Data sets that are said and not stored: looked over, decoded, encoded again."""

from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicom_ai_node.domain.errors import NotUnderstood
from dicom_ai_node.receive.contexts import EXPLICIT_BIG, IMPLICIT_LITTLE
from dicom_ai_node.receive.walk import Walk


def check(encoded: bytes, transfer_syntax_uid: str) -> None:
    """Walk over a data set without decoding it: whoever reads it may follow it by recursion.

    Raises
    ------
    NotUnderstood
        If it is cut off, nests too deep, or is no data set.
    """
    walk = Walk(
        encoded,
        0,
        is_implicit=transfer_syntax_uid == IMPLICIT_LITTLE,
        is_little=transfer_syntax_uid != EXPLICIT_BIG,
    )
    for _ in walk.elements({}):
        pass


def decoded(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    """Return a data set; raise `NotUnderstood` as `check`, or if a value cannot be read."""
    check(encoded, transfer_syntax_uid)
    syntax = UID(transfer_syntax_uid)
    try:
        found = read_dataset(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)
        found.decode()
    except Exception as cause:  # pydicom raises all kinds of them
        raise NotUnderstood("a value of the data set cannot be read") from cause
    return found


def encoded_in(dataset: Dataset, transfer_syntax_uid: str) -> bytes:
    """Return the bytes of a data set of ours."""
    syntax, buffer = UID(transfer_syntax_uid), DicomBytesIO()
    buffer.is_implicit_VR = syntax.is_implicit_VR
    buffer.is_little_endian = syntax.is_little_endian
    write_dataset(buffer, dataset)
    return buffer.getvalue()
