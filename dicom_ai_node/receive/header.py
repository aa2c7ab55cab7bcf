"""What an instance is, read once from its header; pixel data is measured but never touched.

No UID that is read here ever becomes part of a path.
"""

import hashlib
import mmap
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dicom_ai_node.domain.errors import NotStorable, NotUnderstood
from dicom_ai_node.domain.part10 import data_set_in
from dicom_ai_node.domain.study import Instance
from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    is_uid,
)
from dicom_ai_node.receive.attributes import Attributes
from dicom_ai_node.receive.contexts import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from dicom_ai_node.receive.part10 import Announced
from dicom_ai_node.receive.walk import Walk

_SHARED_FUNCTIONAL_GROUPS = 0x52009229
_OF_FUNCTIONAL_GROUPS = {
    0x00289110: (0x00280030, 0x00180050),  # Pixel Measures: spacing and thickness
    0x00209116: (0x00200037,),  # Plane Orientation (Patient): orientation
}
_CONTRIBUTING_EQUIPMENT, _DEVICE_UID = 0x0018A001, 0x00181002
_WITHIN = {_SHARED_FUNCTIONAL_GROUPS: 2, _CONTRIBUTING_EQUIPMENT: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """An instance but for its digest. `attributes` are those of `Instance`.

    `device_uids` are those of everything that contributed to it, PS3.3 C.12.1.1.5: by them the
    node recognises what its own models have made.
    """

    sop_instance_uid: SOPInstanceUID
    sop_class_uid: SOPClassUID
    series_instance_uid: SeriesInstanceUID
    study_instance_uid: StudyInstanceUID
    transfer_syntax_uid: str
    size_bytes: int
    attributes: Mapping[str, str]
    device_uids: frozenset[str] = frozenset()

    def instance(self, sha256: Sha256, data_set_sha256: str = "") -> Instance:
        """Return the instance whose bytes, and whose data set alone, have these digests."""
        return Instance(
            sop_instance_uid=self.sop_instance_uid,
            sop_class_uid=self.sop_class_uid,
            series_instance_uid=self.series_instance_uid,
            study_instance_uid=self.study_instance_uid,
            transfer_syntax_uid=self.transfer_syntax_uid,
            sha256=sha256,
            size_bytes=self.size_bytes,
            attributes=self.attributes,
            data_set_sha256=data_set_sha256,
        )

    def check(self, announced: Announced) -> None:
        """Check that the instance is the one that its sender announced, PS3.4 B.2.3.

        Raises
        ------
        NotStorable
            If it is another one.
        """
        if self.sop_class_uid != announced.sop_class_uid:
            raise NotStorable("SOPClassUID is not the one announced")
        if self.sop_instance_uid != announced.sop_instance_uid:
            raise NotStorable("SOPInstanceUID is not the one announced")
        if announced.study_instance_uid not in ("", self.study_instance_uid):
            raise NotStorable("StudyInstanceUID is not that of the address")


def header_of(path: Path, data_set_at: int, transfer_syntax_uid: str) -> Header:
    """Read the header of the Part 10 file `path` whose data set begins at byte `data_set_at`.

    Raises
    ------
    NotUnderstood
        If the bytes are no data set, are cut off, nest too deep, or lack one of the UIDs.
    NotStorable
        If one of the UIDs is not a UID.
    """
    with path.open("rb", buffering=0) as file, closing(_mapped(file.fileno())) as data:
        return header_in(data, data_set_at, transfer_syntax_uid)


def header_in(data: mmap.mmap | bytes, data_set_at: int, transfer_syntax_uid: str) -> Header:
    """Read the header of the Part 10 file with these bytes; see `header_of`."""
    if transfer_syntax_uid == DEFLATED:
        raise NotUnderstood("a deflated data set is not read")
    texts, device_uids = _attributes(data, data_set_at, transfer_syntax_uid)
    return Header(
        sop_instance_uid=SOPInstanceUID(_uid(texts, "SOPInstanceUID")),
        sop_class_uid=SOPClassUID(_uid(texts, "SOPClassUID")),
        series_instance_uid=SeriesInstanceUID(_uid(texts, "SeriesInstanceUID")),
        study_instance_uid=StudyInstanceUID(_uid(texts, "StudyInstanceUID")),
        transfer_syntax_uid=transfer_syntax_uid,
        size_bytes=len(data),
        attributes=texts,
        device_uids=device_uids,
    )


def instance_of(path: Path) -> Instance:
    """Return the instance in a Part 10 file, with the digest of its bytes.

    Raises
    ------
    NotUnderstood, NotStorable
        As `header_of`, and if the file has no file meta information.
    """
    with path.open("rb") as file:
        digest = Sha256(hashlib.file_digest(file, "sha256").hexdigest())
    transfer_syntax_uid, data_set_at = data_set_of(path)
    return header_of(path, data_set_at, transfer_syntax_uid).instance(digest)


def data_set_of(path: Path) -> tuple[str, int]:
    """Return the transfer syntax of a Part 10 file and where its data set begins.

    Raises
    ------
    NotUnderstood
        If the file has no file meta information.
    OSError
        If it is gone or cannot be read.
    """
    with path.open("rb") as file, closing(_mapped(file.fileno())) as data:
        return data_set_in(data)


def _mapped(file_descriptor: int) -> mmap.mmap:
    try:
        return mmap.mmap(file_descriptor, 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        raise NotUnderstood("the file is empty") from error


def _attributes(
    data: mmap.mmap | bytes, start: int, transfer_syntax_uid: str
) -> tuple[dict[str, str], frozenset[str]]:
    is_little = transfer_syntax_uid != EXPLICIT_BIG
    walk = Walk(
        data, start, is_implicit=transfer_syntax_uid == IMPLICIT_LITTLE, is_little=is_little
    )
    collected = Attributes(is_little=is_little)
    device_uids = set()
    for element in walk.elements(_WITHIN):
        if (element.parent, element.tag) == (_CONTRIBUTING_EQUIPMENT, _DEVICE_UID):
            value = data[element.at : element.at + element.length]
            device_uids.add(value.decode("ascii", "replace").strip("\0 "))
        if element.parent and element.tag not in _OF_FUNCTIONAL_GROUPS.get(element.parent, ()):
            continue
        if not collected.wants(element.tag, element.length):
            continue
        value = data[element.at : element.at + element.length]
        # Whoever reads the file next may believe the other one.
        if not collected.add(element.tag, value) and not element.parent:
            raise NotUnderstood("an attribute is there twice")
    return collected.texts, frozenset(device_uids)


def _uid(texts: Mapping[str, str], keyword: str) -> str:
    if keyword not in texts:
        raise NotUnderstood(f"{keyword} is absent")
    if not is_uid(texts[keyword]):
        raise NotStorable(f"{keyword} is not a UID")
    return texts[keyword]
