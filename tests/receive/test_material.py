"""Real files of every kind arrive as they are."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.errors import InvalidDicomError

from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.receive.contexts import TRANSFER_SYNTAXES, storage_classes
from dicom_ai_node.receive.header import instance_of
from tests.receive.conftest import Node
from tests.receive.rawpeer import RawPeer

MATERIAL = Path(__file__).parents[2] / "../shared/material/dicom"
CHARACTER_SETS = MATERIAL / "pydicom/charset_files"

pytestmark = pytest.mark.skipif(not MATERIAL.is_dir(), reason="the real material is not here")


def _completed(path: Path, to: Path) -> Path:
    """Give a sample that was made to try a codec the UIDs of an instance; its pixels stay."""
    image = dcmread(path)
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not image.get(keyword):
            setattr(image, keyword, image.file_meta.get(f"MediaStorage{keyword}") or "1.2.3")
    image.save_as(to)
    return to


def _whole(folder: Path) -> dict[str, list[tuple[Path, str, str, bytes]]]:
    """Return path, class, instance and data set of files that are whole, by transfer syntax."""
    found: dict[str, list[tuple[Path, str, str, bytes]]] = {}
    for path in sorted(MATERIAL.rglob("*")):
        if not path.is_file():
            continue
        try:
            instance = instance_of(path)
        except NodeError as error:
            if not str(error).endswith("is absent"):
                continue
            path = _completed(path, folder / f"{len(found)}-{path.name}")  # noqa: PLW2901
            instance = instance_of(path)
        data = path.read_bytes()
        start = _start(data)
        entry = (path, instance.sop_class_uid, instance.sop_instance_uid, data[start:])
        if instance.sop_class_uid in storage_classes():
            found.setdefault(instance.transfer_syntax_uid, []).append(entry)
    return found


def _start(data: bytes) -> int:
    """Return where the data set begins, found in another way than the product finds it."""
    at = 132
    while data[at : at + 2] == b"\2\0":
        is_long = data[at + 4 : at + 6] in (b"OB", b"UN")
        length = int.from_bytes(
            data[at + 8 : at + 12] if is_long else data[at + 6 : at + 8], "little"
        )
        at += length + (12 if is_long else 8)
    return at


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[tuple[Path, str, str, bytes]]]:
    """Return the files once for all tests."""
    return _whole(tmp_path_factory.mktemp("completed"))


def test_files_of_every_transfer_syntax_arrive_byte_for_byte(
    node: Node, whole: dict[str, list[tuple[Path, str, str, bytes]]]
) -> None:
    """Nothing is decoded, encoded again or repaired on the way to the disk."""
    sent = 0
    for syntax, files in whole.items():
        assert syntax in TRANSFER_SYNTAXES, syntax
        for path, sop_class, sop_instance, data in files:
            with RawPeer(node.port).associate([(3, sop_class, (syntax,))]) as peer:
                status = peer.store(data, sop_instance.encode(), sop_class.encode())
                assert status == 0x0000, path.name
                peer.release()
            stored = node.blobs.path(node.diary.arrivals[-1].instance.sha256).read_bytes()
            assert stored[_start(stored) :] == data, path.name
            sent += 1
    assert len(whole) >= 14
    assert sent > 200


@pytest.mark.parametrize(
    "name",
    ["MR_truncated.dcm", "rtplan_truncated.dcm"],
)
def test_real_truncated_files_are_quarantined(node: Node, name: str) -> None:
    """A file that was cut off is noticed although its message is complete."""
    path = MATERIAL / "pydicom/test_files" / name
    data = path.read_bytes()
    meta = dcmread(path, stop_before_pixels=True, force=True).file_meta
    sop_class = meta.MediaStorageSOPClassUID
    with RawPeer(node.port).associate([(3, sop_class, (meta.TransferSyntaxUID,))]) as peer:
        status = peer.store(
            data[_start(data) :], meta.MediaStorageSOPInstanceUID.encode(), sop_class.encode()
        )
    assert status == 0xC000
    assert len(node.diary.refused) == 1


@pytest.mark.filterwarnings("ignore")
def test_texts_of_real_character_sets_read_as_pydicom_reads_them() -> None:
    """Greek, Hebrew, Japanese and Chinese descriptions can be routed on."""
    compared = 0
    for path in sorted(MATERIAL.rglob("*.dcm")):
        try:
            texts, image = instance_of(path).attributes, dcmread(path, stop_before_pixels=True)
        except (NodeError, InvalidDicomError):
            continue
        for keyword in ("StudyDescription", "SeriesDescription", "ProtocolName"):
            if keyword in texts:
                assert texts[keyword] == str(image.get(keyword)).strip(), (path.name, keyword)
                compared += 1
        assert "PatientName" not in texts
    assert compared > 50
