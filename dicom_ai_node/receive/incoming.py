"""A data set on its way from the wire to the disk, or to memory if it is an identifier."""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.uids import Sha256

TOO_LARGE = "the instance is too large"
_NO_ROOM = OutOfResources.dimse_status


LONGEST_IDENTIFIER_BYTES = 1 << 20
"""A list of ten thousand UIDs is shorter."""


_HANDED_OVER_BYTES = 1 << 24
"""The disk begins to write a large file after so many bytes, and not when all of it is there."""


class Identifier:
    """The data set of a query, in memory; of one that is too long nothing is kept."""

    def __init__(self) -> None:
        self._bytes: bytearray | None = bytearray()

    @property
    def encoded(self) -> bytes | None:
        """What has come, `None` if it was too long."""
        return None if self._bytes is None else bytes(self._bytes)

    def write(self, fragment: memoryview) -> None:
        """Append a fragment."""
        if self._bytes is None:
            return
        if len(self._bytes) + len(fragment) > LONGEST_IDENTIFIER_BYTES:
            self._bytes = None
        else:
            self._bytes += fragment

    def discard(self) -> None:
        """Forget what has come."""
        self._bytes = None


class Incoming:
    """A spooled Part 10 file in the making.

    A data set that we cannot take is still read to its end, because a peer hears no answer
    before it has said everything; its bytes are thrown away and `refusal`, a status and a
    comment, says why.
    """

    def __init__(self, longest_bytes: int) -> None:
        self.refusal: tuple[int, str] | None = None
        self.data_set_at = 0
        self._head = b""
        self._only_piece: bytes | None = b""
        self._file_digest, self._data_set = hashlib.sha256(), hashlib.sha256()
        self._path: Path | None = None
        self._file: int | None = None
        self._room_bytes = longest_bytes
        self._written_bytes = self._handed_over_bytes = 0

    @property
    def path(self) -> Path:
        """Where the file lies, until somebody keeps it or `discard` removes it."""
        if self._path is None:
            raise OutOfResources("there is no file")
        return self._path

    @property
    def in_memory(self) -> bytes | None:
        """All of the file, if its data set came in one piece; then nobody has to read it again."""
        return self._head + self._only_piece if self._only_piece else None

    @property
    def sha256(self) -> Sha256:
        """The digest of the file as far as it has come."""
        return Sha256(self._file_digest.hexdigest())

    @property
    def data_set_sha256(self) -> str:
        """The digest of the data set as far as it has come."""
        return self._data_set.hexdigest()

    def begin(self, spool: Callable[[], Path], head: bytes) -> None:
        """Open the file and write what goes before the data set."""
        try:
            self._path = spool()
            self._file = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            self._put(memoryview(head))
        except OSError:
            self.refuse(_NO_ROOM, "no room on the disk")
        self.data_set_at, self._head = len(head), head

    def refuse(self, status: int, comment: str) -> None:
        """Take nothing more, and answer so in the end. The first refusal stands."""
        self.refusal = self.refusal or (status, comment)
        self.discard()

    def write(self, fragment: memoryview) -> None:
        """Append a fragment of the data set."""
        if self.refusal is not None:
            return
        self._room_bytes -= len(fragment)
        if self._room_bytes < 0:
            self.refuse(_NO_ROOM, TOO_LARGE)
            return
        self._data_set.update(fragment)
        self._only_piece = bytes(fragment) if self._only_piece == b"" else None
        try:
            self._put(fragment)
        except OSError:
            self.refuse(_NO_ROOM, "no room on the disk")

    def close(self) -> None:
        """Have all of it written, though not yet durable."""
        file, self._file = self._file, None
        if file is not None:
            try:
                os.close(file)
            except OSError:
                self.refuse(_NO_ROOM, "no room on the disk")

    def let_go(self) -> None:
        """Know that somebody has kept the file: it is not where it was."""
        self._path = None

    def discard(self) -> None:
        """Remove the file, if it is still there."""
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = None
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _put(self, data: memoryview) -> None:
        assert self._file is not None  # noqa: S101 - opened in `begin`
        self._file_digest.update(data)
        self._written_bytes += len(data)
        while data:
            data = data[os.write(self._file, data) :]
        waiting_bytes = self._written_bytes - self._handed_over_bytes
        if waiting_bytes >= _HANDED_OVER_BYTES:
            with suppress(OSError):  # advice: where it is not taken, the fsync takes longer
                os.posix_fadvise(
                    self._file, self._handed_over_bytes, waiting_bytes, os.POSIX_FADV_DONTNEED
                )
            self._handed_over_bytes = self._written_bytes
