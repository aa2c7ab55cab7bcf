"""Alarms of those who are turned away, as few as tell it: a stranger can knock very often."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

import structlog

from dicom_ai_node.domain.audit import NEWS_EVERY, Act, Notes, Participant
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.happenings import alarm

log = structlog.get_logger()

MOST_REMEMBERED = 1000


class Alarms:
    """Tells the trail who was turned away and why; the same again is told after five minutes."""

    def __init__(self, notes: Notes, now: Callable[[], datetime]) -> None:
        self._notes = notes
        self._now = now
        self._told: OrderedDict[tuple[str, str], datetime] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, address: str, why: str) -> None:
        """Tell that somebody was turned away; without a ledger only the log says so."""
        now = self._now()
        with self._lock:
            before = self._told.get((address, why))
            if before is not None and now - before < NEWS_EVERY:
                return
            self._told[address, why] = now
            if len(self._told) > MOST_REMEMBERED:
                self._told.popitem(last=False)
        try:
            by = Participant(name="unknown", address=address)
            self._notes.note(alarm(Act.NODE_AUTHENTICATION, by, why, now))
        except NodeError:
            log.warning("alarm_not_noted", exc_info=True)
