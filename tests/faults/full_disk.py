"""A store that fails as on a full disk, where a test wants it to."""

from collections.abc import Mapping
from pathlib import Path

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.blobs import FolderBlobs


class FullBlobs(FolderBlobs):
    """A store whose next step fails as on a full disk."""

    fails_at = ""

    def spool(self) -> Path:
        self._fail("spool")
        return Path("/dev/full") if self.fails_at == "write" else super().spool()

    def keep_all(self, spooled: Mapping[Path, Sha256]) -> None:
        try:
            self._fail("keep")
        except OutOfResources:
            for path in spooled:
                path.unlink()
            raise
        super().keep_all(spooled)

    def _fail(self, step: str) -> None:
        if self.fails_at == step:
            raise OutOfResources(f"no room to {step}")
