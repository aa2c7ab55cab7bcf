"""What an encoder has left in its folder, for whoever enters it in the ledger."""

from collections.abc import Sequence
from pathlib import Path

from dicom_ai_node.domain.job import Result
from dicom_ai_node.domain.quick_header import read_header
from dicom_ai_node.domain.uids import (
    JobKey,
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
)


def objects_in(folder: Path, job: JobKey) -> Sequence[tuple[Path, Result]]:
    """Return the objects that an encoder has left, in their order; their digests come later."""
    found = []
    for path in sorted(folder.glob("*.dcm")):
        header, _ = read_header(path)
        result = Result(
            job=job,
            kind=path.stem.split("-", 1)[1],
            sop_instance_uid=SOPInstanceUID(header.SOPInstanceUID),
            sop_class_uid=SOPClassUID(header.SOPClassUID),
            series_instance_uid=SeriesInstanceUID(header.SeriesInstanceUID),
            transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
            sha256=Sha256(""),
        )
        found.append((path, result))
    return found
