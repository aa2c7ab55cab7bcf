"""After the journey: destinations are asked whether they keep what they were sent, and whoever
has asked us is told. One thread for each of these in the dispatch process.
"""  # noqa: D205

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

import structlog

from dicom_ai_node.deliver.backoff import next_try
from dicom_ai_node.domain.commitment import Promises, Untold
from dicom_ai_node.domain.errors import NodeError, PeerUnavailable, TryAgain
from dicom_ai_node.domain.proof import ADVICE, OBJECTS_AT_ONCE, Proofs, Prover
from dicom_ai_node.domain.uids import AETitle

log = structlog.get_logger()

AWAY = timedelta(minutes=5)
"""Before a destination is asked again, about whatever, that did not take a request."""
REFUSED = timedelta(hours=1)
"""Before it is asked again about what it would not hear of."""
LEASE = timedelta(minutes=5)
"""Longer than one answer takes to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """How one destination is asked.

    Attributes
    ----------
    patience
        How long it may take to answer.
    settled
        How long after it took an object it is asked about it.
    at_once
        About how many objects it is asked in one go.
    """

    prover: Prover
    patience: timedelta = timedelta(hours=1)
    settled: timedelta = timedelta(0)
    at_once: int = OBJECTS_AT_ONCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Proving:
    """Asks destinations whether they keep what they have taken."""

    ledger: Proofs
    askers: Mapping[str, Asker]
    now: Callable[[], datetime]
    _left_alone_until: dict[str, datetime] = field(default_factory=dict)

    def ask(self, destination: str) -> int:
        """Ask one destination about what it has not answered for; return how many objects."""
        asker, now = self.askers[destination], self.now()
        # Who takes no request is not asked about all the rest at once: each of these is written
        # down.
        if now < self._left_alone_until.get(destination, now):
            return 0
        # At random: who knows it has heard it from us, so that nobody else can answer for a peer.
        transaction_uid = f"2.25.{uuid4().int}"
        unproven = self.ledger.claim_unproven(
            destination, transaction_uid, now, asker.patience, asker.settled, asker.at_once
        )
        if unproven:
            try:
                asker.prover.ask(transaction_uid, unproven)
            except NodeError as trouble:
                log.warning("commitment_not_asked", destination=destination, exc_info=True)
                self._left_alone_until[destination] = self.now() + AWAY
                self._not_asked(destination, transaction_uid, trouble)
            else:
                log.info("commitment_asked", destination=destination, objects=len(unproven))
        return len(unproven)

    def _not_asked(self, destination: str, transaction_uid: str, trouble: NodeError) -> None:
        now = self.now()
        match trouble:
            case PeerUnavailable():
                self.ledger.not_asked(transaction_uid, now, str(trouble), now + AWAY)
            case TryAgain():
                pass  # it counts as asked, and falls due again as if there were no answer
            case _:
                note = f"{trouble}; {ADVICE.format(destination=destination)}"
                self.ledger.refused(transaction_uid, now, note, now + REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Tells peers what has become of their requests, if they have not heard it where they asked.

    `tell` are the ways to those whose address is known, by AE title.
    """

    promises: Promises
    tell: Mapping[AETitle, Callable[[Untold], None]]
    now: Callable[[], datetime]
    jitter: Callable[[], float]

    def next(self) -> int:
        """Tell one answer that is due; return 1, or 0 if there was none."""
        untold = self.promises.claim_untold(self.now(), LEASE)
        if untold is None:
            return 0
        peer = untold.ae_title
        if peer not in self.tell:
            # The operator reads this: an entry in `destinations` with this AE title is missing.
            log.warning("commitment_not_told", peer=peer, reason="no destination has its AE title")
            self.promises.told(untold.transaction_uid)
            return 1
        try:
            self.tell[peer](untold)
        except NodeError:
            log.warning("commitment_not_told", peer=peer, exc_info=True)
            due = next_try(untold.attempts, self.now(), self.jitter())
            self.promises.not_told(untold.transaction_uid, due)
        else:
            self.promises.told(untold.transaction_uid)
            log.info("commitment_told", peer=peer)
        return 1
