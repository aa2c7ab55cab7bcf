"""Tell targets what has happened: at least once, in order, for as long as it takes.

Facts are read from the ledger after they were written, so that no leg of the journey waits for a
mail server; what has been told is in the ledger, too, so that a restart forgets nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from dicom_ai_node.domain.notice import About, Notices, Teller

log = structlog.get_logger()

LEASE = timedelta(minutes=5)
"""What a process that died was telling is told again after this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to tell what, and by which way."""

    about: frozenset[About]
    teller: Teller


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifier:
    """The desk that tells.

    Attributes
    ----------
    next_try
        Returns when to try again after so many attempts that failed.
    """

    ledger: Notices
    targets: Mapping[str, Target]
    now: Callable[[], datetime]
    next_try: Callable[[int, datetime], datetime]

    def gather(self) -> int:
        """Look for what has happened."""
        wanted = [(name, target.about) for name, target in self.targets.items()]
        return self.ledger.gather(wanted, self.now())

    def tell(self, name: str) -> int:
        """Tell one target what is due; return how many notices that were."""
        due = self.ledger.claim_notices(name, self.now(), LEASE)
        if not due:
            return 0
        answers = self.targets[name].teller.tell(due)
        for notice, error in zip(due, answers, strict=True):
            now = self.now()
            if error is None:
                self.ledger.told(notice, now)
            else:
                self.ledger.not_told(notice, str(error), self.next_try(notice.attempts, now))
        failed = sum(error is not None for error in answers)
        log.info("notices_told", destination=name, count=len(due) - failed)
        if failed:
            log.warning("notices_not_told", destination=name, count=failed)
        return len(due)
