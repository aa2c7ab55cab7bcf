"""Results as files in a folder: for a share, for a script, and to look at them."""

import errno
import os
from collections.abc import Sequence
from filecmp import cmp
from pathlib import Path
from secrets import token_hex
from shutil import copyfileobj

from pydicom import dcmread

from dicom_ai_node.deliver.judge import Entry
from dicom_ai_node.deliver.parcel import Parcel, each
from dicom_ai_node.domain.destination import FolderPeer
from dicom_ai_node.domain.errors import (
    NeedsAttention,
    NodeError,
    OutOfResources,
    PeerRejected,
    PeerUnavailable,
)
from dicom_ai_node.domain.uids import is_uid

_CHUNK_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EFBIG})


class FolderSender:
    """Writes `STUDY/SERIES/INSTANCE.dcm`, each whole or not at all."""

    def __init__(self, peer: FolderPeer) -> None:
        self._folder = peer.folder

    def send(self, objects: Sequence[Path]) -> list[Entry]:
        """Copy Part 10 files in order and return one entry per object.

        The folder itself must be there: if it were made here, an archive that is not mounted
        would look like one that is.
        """
        return each(objects, lambda parcels: [self._entry(parcel) for parcel in parcels])

    def accepts(self, sop_class_uid: str) -> bool:  # noqa: ARG002 - a folder takes them all
        """Return whether the folder is there and can be written."""
        return self._folder.is_dir() and os.access(self._folder, os.W_OK | os.X_OK)

    def _entry(self, parcel: Parcel) -> Entry:
        try:
            self._copy(parcel)
        except NodeError as no:
            return no
        except OSError as cause:
            return _judge_os_error(cause)
        return ""

    def _copy(self, parcel: Parcel) -> None:
        if not self._folder.is_dir():
            raise PeerUnavailable("the folder is not there; is it mounted?")
        home = self._home_of(parcel)
        file = home / f"{parcel.sop_instance_uid}.dcm"
        if file.exists():
            if not cmp(file, parcel.path, shallow=False):
                raise PeerRejected(
                    "another object of the same UID lies there; a person: find out who wrote it, "
                    "remove it and retry the job"
                )
            return
        for folder in (home.parent, home):
            folder.mkdir(exist_ok=True)
            _sync(folder.parent)
        _write(parcel.path, file)

    def _home_of(self, parcel: Parcel) -> Path:
        """Return the folder of the series; UIDs of others become a path only if they are UIDs."""
        header = dcmread(
            parcel.path,
            stop_before_pixels=True,
            specific_tags=["StudyInstanceUID", "SeriesInstanceUID"],
        )
        study = str(header.get("StudyInstanceUID", ""))
        series = str(header.get("SeriesInstanceUID", ""))
        for keyword, uid in (
            ("StudyInstanceUID", study),
            ("SeriesInstanceUID", series),
            ("SOPInstanceUID", str(parcel.sop_instance_uid)),
        ):
            if not is_uid(uid):
                raise NeedsAttention(f"{keyword} is not a UID, so it cannot name a folder")
        return self._folder / study / series


def _write(source: Path, file: Path) -> None:
    """Make a file appear whole: copied, fsynced, renamed, and its folder fsynced."""
    part = file.with_name(f".{file.name}.{token_hex(8)}.part")
    try:
        with source.open("rb") as whence, part.open("xb") as whither:
            copyfileobj(whence, whither, _CHUNK_BYTES)
            whither.flush()
            os.fsync(whither.fileno())
        part.replace(file)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync(file.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _judge_os_error(cause: OSError) -> NodeError:
    code = errno.errorcode.get(cause.errno or 0, "an error")
    if cause.errno in _FULL:
        return OutOfResources(f"no room in the folder ({code})")
    if cause.errno in _FORBIDDEN:
        return PeerRejected(
            f"the folder cannot be written ({code}); the operator of this node: give the node's "
            "user the right to write there"
        )
    return PeerUnavailable(f"the folder does not answer ({code})")
