"""The notebook: what many requests have to tell the audit trail, written down many at a time."""

import threading
import time
from collections import deque
from collections.abc import Hashable

import structlog

from dicom_ai_node.domain.audit import Happening, Notes
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.watch.news import News

log = structlog.get_logger()

MOST_WAITING = 100_000
"""So many wait for a ledger that cannot answer; of more than that, only the log says so."""
MOST_REMEMBERED = 10_000
AT_ONCE = 500
PAUSE_SECONDS = 1.0


class Notebook(threading.Thread):
    """Writes what it is told into the trail, in its order, in a thread of its own.

    Whoever asks by HTTP does not wait for the trail. What was told in the last moments before a
    kill is lost: nothing depends on it, other than on what is written together with a fact.
    """

    def __init__(self, notes: Notes) -> None:
        super().__init__(name="notebook", daemon=True)
        self._notes = notes
        self._waiting: deque[Happening] = deque()
        self._changed = threading.Condition()
        self._is_over = False
        self._news = News(MOST_REMEMBERED)

    def note(self, *happenings: Happening) -> None:
        """Keep what has happened until it is written down; never raises, never waits."""
        with self._changed:
            if len(self._waiting) + len(happenings) > MOST_WAITING:
                log.error("audit_not_noted", count=len(happenings))
                return
            self._waiting.extend(happenings)
            self._changed.notify()

    def is_news(self, what: Hashable) -> bool:
        """Return whether nobody has asked this for five minutes."""
        return self._news.is_new(what, time.monotonic())

    def close(self) -> None:
        """Write down what waits, if the ledger answers, and end."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        if self.is_alive():
            self.join()

    def run(self) -> None:
        """Write until closed."""
        at_once = AT_ONCE
        while some := self._next(at_once):
            try:
                self._notes.note(*some)
            except NodeError:
                if self._is_over:
                    log.exception("audit_not_noted", count=len(self._waiting))
                    return
                log.warning("audit_delayed", count=len(self._waiting), exc_info=True)
                time.sleep(PAUSE_SECONDS)
                continue
            except Exception:
                # A bug of ours: without this thread nothing would be written down any more.
                if len(some) > 1:
                    at_once = 1
                    continue
                log.exception("audit_not_noted", count=1)
            at_once = min(2 * at_once, AT_ONCE)
            with self._changed:
                for _ in some:
                    self._waiting.popleft()

    def _next(self, at_once: int) -> list[Happening]:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_over)
            return [self._waiting[number] for number in range(min(at_once, len(self._waiting)))]
