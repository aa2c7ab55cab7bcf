"""What was told lately: so that whoever does the same again and again fills no trail."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from datetime import timedelta

NEWS_EVERY = timedelta(minutes=5)
"""Somebody who looks at the same study again within this time is no news."""


class News:
    """Remembers the last `most` things that it was asked about, for five minutes each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._told: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_new(self, what: Hashable, at_seconds: float) -> bool:
        """Return whether nobody has asked about this lately, by a clock of the caller."""
        with self._lock:
            before = self._told.get(what)
            if before is not None and at_seconds - before < NEWS_EVERY.total_seconds():
                return False
            self._told[what] = at_seconds
            self._told.move_to_end(what)
            if len(self._told) > self._most:
                self._told.popitem(last=False)
        return True
