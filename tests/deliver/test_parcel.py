"""What a sender knows of a file before it sends it."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicom_ai_node.deliver.parcel import Parcel, each, pack
from dicom_ai_node.domain.errors import NeedsAttention
from tests.phantoms import ct, write


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Return three CT slices."""
    return write(ct(slices=3), tmp_path)


def test_a_file_is_known_by_its_meta_information(files: list[Path]) -> None:
    """SOP class, UID, transfer syntax and size, without reading pixels."""
    parcel = pack(files[0])
    assert isinstance(parcel, Parcel)
    assert parcel.sop_class_uid == CTImageStorage
    assert parcel.sop_instance_uid == dcmread(files[0]).SOPInstanceUID
    assert parcel.transfer_syntax_uid == ExplicitVRLittleEndian
    assert parcel.size_bytes == files[0].stat().st_size


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"nonsense" * 50, id="not DICOM"),
        pytest.param(b"\0" * 128 + b"DICM", id="no meta information"),
        pytest.param(b"\0" * 128 + b"DICM\x02\0\0\0UL\x04\0\xff", id="cut off"),
    ],
)
def test_what_cannot_be_sent_is_for_a_person(files: list[Path], content: bytes) -> None:
    """Neither the archive nor time will heal it."""
    files[0].write_bytes(content)
    assert isinstance(pack(files[0]), NeedsAttention)


def test_entries_stand_where_their_objects_stood(files: list[Path]) -> None:
    """The sender sees only what can be sent; the list that comes back has no gap."""
    files[1].unlink()
    first, second, third = each(files, lambda parcels: [p.path.name for p in parcels])
    assert (first, third) == (files[0].name, files[2].name)
    assert isinstance(second, NeedsAttention)
