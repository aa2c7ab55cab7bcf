"""New files are taken up when they are in the place of the old ones, without a restart."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from dicom_ai_node.domain.errors import ConfigError

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 30.0


class Renewal(threading.Thread):
    """Looks whether somebody has put a new certificate into the place of the old one.

    Parameters
    ----------
    take
        Takes the files up; raises `ConfigError` if they cannot be used, and then nothing changes.
    """

    def __init__(
        self,
        files: Sequence[Path],
        take: Callable[[], object],
        every_seconds: float = LOOK_EVERY_SECONDS,
    ) -> None:
        super().__init__(name="renewal", daemon=True)
        self._files = tuple(files)
        self._take = take
        self._every_seconds = every_seconds
        self._stopped = threading.Event()
        self._seen = self._stamps()

    def run(self) -> None:
        """Look until it is stopped."""
        while not self._stopped.wait(self._every_seconds):
            self.look()

    def look(self) -> None:
        """Take up what is new; half of it, while it is being replaced, is no reason to stop."""
        stamps = self._stamps()
        if stamps == self._seen:
            return
        try:
            self._take()
        except ConfigError:
            log.warning("certificate_not_taken", reason="it cannot be used, or its key is another")
        else:
            log.info("certificate_renewed")
            self._seen = stamps

    def close(self) -> None:
        """Stop looking."""
        self._stopped.set()

    def _stamps(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in self._files)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
