"""Results as files in a folder."""

import errno
import os
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_ai_node.deliver.folder import FolderSender, _judge_os_error
from dicom_ai_node.domain.destination import FolderPeer
from dicom_ai_node.domain.errors import (
    NeedsAttention,
    NodeError,
    OutOfResources,
    PeerRejected,
    PeerUnavailable,
)
from tests.phantoms import ct, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    made = tmp_path / "results"
    made.mkdir()
    return made


def test_a_file_is_named_by_its_uids(folder: Path, tmp_path: Path) -> None:
    """`STUDY/SERIES/INSTANCE.dcm`, and nothing else is left behind."""
    [file] = write(ct(slices=1), tmp_path / "made")
    assert FolderSender(FolderPeer(folder=folder)).send([file]) == [""]
    ds = dcmread(file)
    path = folder / ds.StudyInstanceUID / ds.SeriesInstanceUID / f"{ds.SOPInstanceUID}.dcm"
    assert [each for each in folder.rglob("*") if each.is_file()] == [path]
    assert path.read_bytes() == file.read_bytes()


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("uid", ["../../../etc", "1/2", "", ".", "1.2.3.4.", "1" * 65])
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
def test_what_is_no_uid_never_becomes_a_path(
    folder: Path, tmp_path: Path, keyword: str, uid: str
) -> None:
    """The Study Instance UID comes from whoever sent the study."""
    [file] = write(ct(slices=1), tmp_path / "made")
    ds = dcmread(file)
    setattr(ds, keyword, uid)
    if keyword == "SOPInstanceUID":
        ds.file_meta.MediaStorageSOPInstanceUID = uid
    ds.save_as(file)
    before = sorted(tmp_path.rglob("*"))
    [entry] = FolderSender(FolderPeer(folder=folder)).send([file])
    assert isinstance(entry, NeedsAttention)
    assert sorted(tmp_path.rglob("*")) == before


def test_another_object_of_the_same_uid_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    """Whatever lies there may be somebody's; a person must look."""
    [file] = write(ct(slices=1), tmp_path / "made")
    sender = FolderSender(FolderPeer(folder=folder))
    sender.send([file])
    [there] = folder.rglob("*.dcm")
    there.write_bytes(b"something else")
    [entry] = sender.send([file])
    assert isinstance(entry, PeerRejected)
    assert there.read_bytes() == b"something else"


def test_a_folder_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    """Otherwise results would pile up under the mount point and nobody would see them."""
    files = write(ct(slices=1), tmp_path / "made")
    sender = FolderSender(FolderPeer(folder=tmp_path / "share"))
    [entry] = sender.send(files)
    assert isinstance(entry, PeerUnavailable)
    assert not (tmp_path / "share").exists()
    (tmp_path / "share").mkdir()
    assert sender.send(files) == [""]


def test_a_file_in_the_way_is_for_the_operator(folder: Path, tmp_path: Path) -> None:
    """Where the folder of the study should be there is a file."""
    [file] = write(ct(slices=1), tmp_path / "made")
    (folder / dcmread(file).StudyInstanceUID).write_bytes(b"")
    [entry] = FolderSender(FolderPeer(folder=folder)).send([file])
    assert isinstance(entry, NodeError)
    assert str(tmp_path) not in str(entry)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        pytest.param(errno.ENOSPC, OutOfResources, id="full"),
        pytest.param(errno.EDQUOT, OutOfResources, id="over quota"),
        pytest.param(errno.EACCES, PeerRejected, id="no right to write"),
        pytest.param(errno.EROFS, PeerRejected, id="read-only"),
        pytest.param(errno.EIO, PeerUnavailable, id="the share has gone"),
        pytest.param(errno.ESTALE, PeerUnavailable, id="the server was restarted"),
    ],
)
def test_the_system_says_who_has_to_act(number: int, error: type[NodeError]) -> None:
    """No room: later. No right: the operator. No answer: later."""
    assert type(_judge_os_error(OSError(number, os.strerror(number)))) is error
