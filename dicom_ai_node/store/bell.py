"""How one process tells another on the same machine that there is something to do.

What there is to do stands in the ledger, and only there: whoever is woken looks for it as if time
had passed. So a bell that nobody hears costs a moment and nothing else, and whoever waits for one
waits for a while only.
"""

import os
import select
from contextlib import suppress
from pathlib import Path

_ONE = (1).to_bytes(8, "little")


class Bell:
    """A named pipe at `path`, which anybody may ring and one thread waits for.

    It is opened when it is first used, in the process that uses it. Where the file system has no
    pipes it is heard in the process that rings it, and nowhere else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def ring(self) -> None:
        """Wake whoever waits, or will wait next."""
        with suppress(BlockingIOError):  # full: it was rung a thousand times, and is as loud
            os.write(self.fileno(), _ONE)

    def wait(self, seconds: float) -> None:
        """Return when it has been rung since the last time, after `seconds` at the latest."""
        ear = select.poll()
        ear.register(self.fileno(), select.POLLIN)
        if ear.poll(max(0.0, seconds) * 1000):
            self.hush()

    def hush(self) -> None:
        """Forget that it was rung."""
        with suppress(BlockingIOError):
            os.read(self.fileno(), select.PIPE_BUF)

    def fileno(self) -> int:
        """Return the descriptor that can be read when it has been rung."""
        if self._descriptor is None:
            self._descriptor = self._opened()
        return self._descriptor

    def close(self) -> None:
        """Give its descriptor back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):
                os.mkfifo(self._path, mode=0o600)
            # For both: a pipe of which only one side is open could not be written.
            return os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
