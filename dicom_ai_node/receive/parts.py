"""What the parts of a request are: each a Part 10 file, PS3.18 10.5.1."""

from collections.abc import Mapping
from threading import Lock
from typing import Protocol

from dicom_ai_node.domain.errors import NodeError, NotUnderstood, Refused
from dicom_ai_node.receive.depot import Takings
from dicom_ai_node.receive.incoming import Incoming  # noqa: TC001 - one way to import
from dicom_ai_node.receive.media import DICOM, media_type
from dicom_ai_node.receive.meta import MetaReader
from dicom_ai_node.receive.multipart import Multipart, PartBegins, PartData, PartEnds
from dicom_ai_node.receive.part10 import Announced

_PLAIN = frozenset({"", "binary", "8bit", "7bit", "identity"})


class WrongType(Refused):
    """Something that is no DICOM, or is wrapped in a way that nobody undoes here."""

    http_status = 415


class Parts(Protocol):
    """Takes the parts of one request, one after the other."""

    def begin(self, headers: Mapping[str, str]) -> None:
        """Begin a part."""

    def data(self, data: memoryview) -> None:
        """Take more of it."""

    def end(self) -> None:
        """Take it as whole."""

    def finish(self) -> None:
        """Do what can be done only when all parts are here."""

    def discard(self) -> None:
        """Throw away what is not whole."""


def check_encoding(headers: Mapping[str, str]) -> None:
    """Raise `WrongType` for a part, or a request, that would have to be decoded first."""
    for name in ("content-encoding", "content-transfer-encoding"):
        if headers.get(name, "").strip().lower() not in _PLAIN:
            # A megabyte may inflate to a gigabyte, and nobody gains by it: pixels are compressed
            # by their transfer syntax.
            raise WrongType(f"nothing is taken with a {name.title()}")


def _check_part(headers: Mapping[str, str]) -> None:
    check_encoding(headers)
    if media_type(headers.get("content-type", DICOM)).name != DICOM:
        raise WrongType(f"a part is not {DICOM}")


class InstanceParts:
    """Takes Part 10 files."""

    def __init__(self, takings: Takings) -> None:
        self._takings = takings
        self._announced = Announced()
        self._meta = MetaReader()
        self._incoming: Incoming | None = None
        self._trouble: NodeError | None = None

    def begin(self, headers: Mapping[str, str]) -> None:
        """Begin a file."""
        self._announced, self._meta = Announced(), MetaReader()
        self._incoming = self._trouble = None
        try:
            _check_part(headers)
        except WrongType as trouble:
            self._trouble = trouble

    def data(self, data: memoryview) -> None:
        """Take more of the file."""
        if self._incoming is not None:
            self._incoming.write(data)
        elif self._trouble is None:
            self._read_meta(data)

    def _read_meta(self, data: memoryview) -> None:
        try:
            found = self._meta.feed(data)
        except NodeError as trouble:
            self._trouble = trouble
            return
        if found is not None:
            self._announced, rest = found
            self._incoming = self._takings.begin(self._announced)
            self._incoming.write(memoryview(rest))

    def end(self) -> None:
        """Take the file as whole."""
        if self._incoming is not None:
            # From here on `Takings` answers for the spooled file.
            incoming, self._incoming = self._incoming, None
            self._takings.end(incoming, self._announced)
            return
        trouble = self._trouble or NotUnderstood("the file ends before its data set begins")
        self._takings.fail(self._meta.announced, trouble)

    def finish(self) -> None:
        """Do nothing more."""

    def discard(self) -> None:
        """Throw away a file that is not whole."""
        if self._incoming is not None:
            self._incoming.discard()
            self._incoming = None


class Reading:
    """Reads one request: its body goes in, instances come out.

    One method at a time, whatever threads they are called from, and none after the last.
    """

    def __init__(self, parts: Parts, multipart: Multipart | None) -> None:
        self._parts = parts
        self._multipart = multipart
        self._lock = Lock()
        self.is_over = False
        if multipart is None:
            parts.begin({})

    def feed(self, block: bytes) -> None:
        """Take more of the body.

        Raises
        ------
        NotUnderstood, TooMuch
            If it is not what it should be.
        """
        with self._lock:
            self._feed(block)

    def finish(self, block: bytes) -> None:
        """Take the end of the body; what was in it is for `Takings` to settle.

        Raises
        ------
        NotUnderstood, TooMuch
            If it is not what it should be, or has ended too early.
        """
        with self._lock:
            self._feed(block)
            if self._multipart is None:
                self._parts.end()
            else:
                self._multipart.close()
            self._parts.finish()
            self.is_over = True

    def _feed(self, block: bytes) -> None:
        if self.is_over:
            return
        if self._multipart is None:
            self._parts.data(memoryview(block))
            return
        for event in self._multipart.feed(block):
            match event:
                case PartBegins(headers):
                    self._parts.begin(headers)
                case PartData(data):
                    self._parts.data(data)
                case PartEnds():
                    self._parts.end()

    def break_off(self) -> None:
        """Throw away what is not whole; what was is for `Takings` to settle."""
        with self._lock:
            if not self.is_over:
                self.is_over = True
                self._parts.discard()
