"""A receiver as a PACS has one, that comes and goes and remembers what it has taken."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt

from dicom_ai_node.selftest.judge import Came, data_set

AE_TITLE = "RECEIVER"
_SUCCESS = 0x0000


class Receiver:
    """Takes every object on one port of loopback while it is up; PS3.4 Annex B."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.came: list[Came] = []
        self.files: list[Path] = []
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def up(self) -> Iterator[None]:
        """Listen for a while."""
        ae = AE(AE_TITLE)
        plain = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(context.abstract_syntax or "", plain)
        server = ae.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self._take)]
        )
        try:
            yield
        finally:
            if server is not None:
                server.shutdown()

    def _take(self, event: evt.Event) -> int:
        content = event.encoded_dataset()
        path = self._folder / f"{len(self.files)}.dcm"
        path.write_bytes(content)
        self.files.append(path)
        uid = str(getattr(event.request, "AffectedSOPInstanceUID", ""))
        self.came.append(Came(uid, hashlib.sha256(data_set(content)).hexdigest()))
        return _SUCCESS
