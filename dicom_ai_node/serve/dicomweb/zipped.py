"""Objects in a ZIP archive that is written while it is sent."""

from collections.abc import Iterator, Sequence
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.serve.dicomweb.objects import Choice, Objects
from dicom_ai_node.serve.dicomweb.sending import Piece, groups


class _Sink:
    """Takes what is written, and gives it away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, some: bytes) -> int:
        """Take some bytes."""
        self._parts.append(bytes(some))
        return len(some)

    def flush(self) -> None:
        """Do nothing: what is here is there."""

    def taken(self) -> list[bytes]:
        """Give away what has been written since the last time."""
        parts, self._parts = self._parts, []
        return parts


def zipped(held: Sequence[Held], choice: Choice, objects: Objects) -> Iterator[Piece]:
    """Yield an archive with a folder for each series; names say nothing of the patient."""
    sink = _Sink()
    series: dict[str, int] = {}
    with ZipFile(sink, "w", ZIP_STORED) as archive:  # type: ignore[call-overload]
        for number, one in enumerate(held, 1):
            folder = series.setdefault(one.series_instance_uid, len(series) + 1)
            # Without a date of today: the same is the same again.
            entry = ZipInfo(f"SERIES{folder:03}/IMAGE{number:05}.dcm")
            with archive.open(entry, "w", force_zip64=True) as file:
                for group in groups(objects.pieces(one, choice)):
                    for some in group:
                        file.write(some)
                        yield from sink.taken()
    yield from sink.taken()
