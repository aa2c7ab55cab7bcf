"""Alarms of those who are turned away, as few as tell it: a stranger can knock very often."""

from collections.abc import Callable, Hashable
from datetime import datetime

import structlog

from dicom_ai_node.domain.audit import Act, Actor, Happening, Notes, Outcome, Participant
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.happenings import alarm, login
from dicom_ai_node.watch.news import News

log = structlog.get_logger()

MOST_REMEMBERED = 1000


class Alarms:
    """Tells the trail who was turned away and why; the same again is told after five minutes."""

    def __init__(self, notes: Notes, now: Callable[[], datetime]) -> None:
        self._notes = notes
        self._now = now
        self._news = News(MOST_REMEMBERED)

    def __call__(self, address: str, why: str) -> None:
        """Tell that somebody was turned away; without a ledger only the log says so."""
        by = Participant(name="unknown", address=address)
        self._tell((address, why), lambda now: alarm(Act.NODE_AUTHENTICATION, by, why, now))

    def login(self, name: str, address: str) -> None:
        """Tell that somebody could not log in; `name` is of an account that there is, or empty."""
        by = Actor(name=name or "unknown", address=address)
        self._tell(
            (name, address, "login"),
            lambda now: login(Act.LOGIN, by, now, Outcome.MINOR_FAILURE),
        )

    def _tell(self, what: Hashable, happening: Callable[[datetime], Happening]) -> None:
        now = self._now()
        if not self._news.is_new(what, now.timestamp()):
            return
        try:
            self._notes.note(happening(now))
        except NodeError:
            log.warning("alarm_not_noted", exc_info=True)
