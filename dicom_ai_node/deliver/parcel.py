"""One file on its way: what a sender must know of it without reading its pixels."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from dicom_ai_node.deliver.judge import Entry
from dicom_ai_node.domain.errors import NeedsAttention, NotUnderstood
from dicom_ai_node.domain.part10 import (
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    TRANSFER_SYNTAX_UID,
    names_in,
)

_HEAD_BYTES = 4096
"""More than file meta information has, almost always."""
_UNREADABLE = (
    OSError, EOFError, AttributeError, KeyError, ValueError, NotImplementedError,
    BytesLengthException, InvalidDicomError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """One Part 10 file, named by its file meta information, PS3.10 7.1."""

    path: Path
    sop_class_uid: UID
    sop_instance_uid: UID
    transfer_syntax_uid: UID
    size_bytes: int


def pack(path: Path) -> Parcel | NeedsAttention:
    """Return what is in a file, or the error if it cannot be sent at all."""
    try:
        sop_class, sop_instance, syntax = _names(path)
        return Parcel(
            path=path,
            sop_class_uid=UID(sop_class),
            sop_instance_uid=UID(sop_instance),
            transfer_syntax_uid=UID(syntax),
            size_bytes=path.stat().st_size,
        )
    except FileNotFoundError:
        return NeedsAttention("the file of a result is gone; restore the store, then retry")
    except _UNREADABLE as cause:
        return NeedsAttention(f"the file of a result cannot be read: {type(cause).__name__}")


def _names(path: Path) -> tuple[str, str, str]:
    with path.open("rb", buffering=0) as file:
        head = file.read(_HEAD_BYTES)
    with suppress(NotUnderstood, KeyError):
        names, _ = names_in(head)
        return names[SOP_CLASS_UID], names[SOP_INSTANCE_UID], names[TRANSFER_SYNTAX_UID]
    meta = read_file_meta_info(path)  # which says what is wrong, if it is
    return meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID


def each(
    objects: Sequence[Path], deliver: Callable[[list[Parcel]], Iterable[Entry]]
) -> list[Entry]:
    """Return one entry per object, in order; `deliver` sees only those that can be read.

    `deliver` returns one entry per parcel, in order.
    """
    packed = [pack(path) for path in objects]
    answers: Iterator[Entry] = iter(deliver([it for it in packed if isinstance(it, Parcel)]))
    return [next(answers) if isinstance(it, Parcel) else it for it in packed]
