"""The same object in another transfer syntax, for a destination that takes no other."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_ai_node.deliver.parcel import Parcel
from dicom_ai_node.domain.errors import PeerRejected

PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
"""What everything can be turned into."""


@contextmanager
def in_syntax(parcel: Parcel, transfer_syntax_uid: UID) -> Iterator[Path]:
    """Give the file as it lies, or a short-lived copy in an uncompressed transfer syntax.

    The SOP Instance UID stays: decompressing takes nothing away, PS3.4 B.4.1.3.

    Raises
    ------
    PeerRejected
        If the pixel data cannot be decoded here.
    """
    if transfer_syntax_uid == parcel.transfer_syntax_uid:
        yield parcel.path
        return
    with TemporaryDirectory(prefix="deliver-") as folder:
        copy = Path(folder) / "object.dcm"
        _write_uncompressed(parcel, transfer_syntax_uid, copy)
        yield copy


def _write_uncompressed(parcel: Parcel, transfer_syntax_uid: UID, copy: Path) -> None:
    dataset = dcmread(parcel.path)
    if parcel.transfer_syntax_uid.is_encapsulated:
        try:
            dataset.decompress(generate_instance_uid=False)
        except (RuntimeError, ValueError, AttributeError, NotImplementedError) as cause:
            raise PeerRejected(
                f"the destination takes no {parcel.transfer_syntax_uid.name} and it cannot be "
                f"decoded here; a person: let the destination accept this transfer syntax"
            ) from cause
    dataset.file_meta.TransferSyntaxUID = transfer_syntax_uid
    dataset.save_as(
        copy,
        implicit_vr=transfer_syntax_uid.is_implicit_VR,
        little_endian=transfer_syntax_uid.is_little_endian,
        enforce_file_format=True,
    )
