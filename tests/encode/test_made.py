"""What an encoder has left in its folder."""

from pathlib import Path

from dicom_ai_node.domain.uids import JobKey
from dicom_ai_node.encode.made import objects_in
from dicom_ai_node.encode.write import ENCODERS, encode_job, write_objects
from tests import phantoms
from tests.encode import scenes


def test_objects_are_found_with_their_kinds_and_uids_in_the_order_of_sending(
    tmp_path: Path,
) -> None:
    """The ledger enters what is on the disk, not what somebody meant to write."""
    scene = scenes.scene(phantoms.ct())
    written = encode_job(scene.findings, scene.origin, ENCODERS)
    paths = write_objects(tmp_path, written)
    found = objects_in(tmp_path, JobKey("ab"))
    assert [path for path, _ in found] == paths
    for (kind, dataset), (_, result) in zip(written, found, strict=True):
        assert result.kind == kind
        assert result.sop_instance_uid == dataset.SOPInstanceUID
        assert result.sop_class_uid == dataset.SOPClassUID
        assert result.transfer_syntax_uid == dataset.file_meta.TransferSyntaxUID
