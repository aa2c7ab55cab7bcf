"""What may go, and when: by age, and earlier where the disk runs full.

What others were promised that it stays goes neither way before its time.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dicom_ai_node.domain.study import Forgotten
from dicom_ai_node.domain.uids import Sha256
from dicom_ai_node.store.blobs import FolderBlobs
from dicom_ai_node.store.ledger_forget import Forgetting

ARRIVING = timedelta(minutes=15)
"""Longer than any instance is on its way between its file and its row."""
LEFT_BEHIND = timedelta(days=1)
"""A file this old that no row names was left behind by a crash."""
_AT_ONCE = 20
_LOOKED_UP_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long studies stay.

    Attributes
    ----------
    keep
        How long after its last instance a study stays, and after a promise that it is kept.
    keep_at_least
        How long it stays even where the disk is nearly full: results are still being read.
    min_free_bytes
        Below this the oldest studies go before their time.
    proving
        Destinations that have to show that they keep a result before its study may go, whether or
        not there is room.
    """

    keep: timedelta
    min_free_bytes: int = 0
    keep_at_least: timedelta = timedelta(hours=1)
    proving: frozenset[str] = frozenset()


def expired(policy: Policy, now: datetime) -> datetime:
    """Return the moment before which the last instance of a study that may go has come."""
    return now - policy.keep


def expired_early(policy: Policy, now: datetime, free_bytes: int) -> datetime | None:
    """Return the same moment where room is short, or `None` where there is enough."""
    if free_bytes >= policy.min_free_bytes:
        return None
    return now - min(policy.keep, policy.keep_at_least)


class Retention:
    """Forgets studies and removes their bytes. Only what is delivered goes; the ledger sees to it.

    Parameters
    ----------
    ledger
        The part of the ledger that forgets.
    blobs
        Where the bytes lie.
    policy
        How long studies stay.
    """

    def __init__(self, ledger: Forgetting, blobs: FolderBlobs, policy: Policy) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._policy = policy

    def run(self, now: datetime) -> Forgotten:
        """Forget what has had its time, then what there is no room for; return what went.

        Raises
        ------
        OutOfResources
            If the ledger or the file system does not answer. What has gone by then has gone.
        """
        gone = _NOTHING
        while (some := self._forget(expired(self._policy, now), _AT_ONCE, now)).studies:
            gone = _sum(gone, some)
        gone = _sum(gone, some)
        # One by one where room is short, so that not a study more goes than must.
        while early := expired_early(self._policy, now, self._blobs.free_bytes()):
            some = self._forget(early, 1, now)
            if not some.studies:
                break
            gone = _sum(gone, some)
        return gone

    def _forget(self, older_than: datetime, limit: int, now: datetime) -> Forgotten:
        gone = self._ledger.forget(older_than, limit, self._policy.proving, now)
        before = now - ARRIVING
        removed = [digest for digest in gone.blobs if self._blobs.discard_aged(digest, before)]
        return replace(gone, blobs=tuple(removed))

    def sweep(self, now: datetime) -> tuple[Sha256, ...]:
        """Remove what crashes have left behind: stale spooled files, and blobs without a row.

        Raises
        ------
        OutOfResources
            If the ledger does not answer.
        """
        self._blobs.sweep()
        swept: list[Sha256] = []
        some: list[Sha256] = []
        before = now - LEFT_BEHIND
        for digest in self._blobs.aged(before):
            some.append(digest)
            if len(some) == _LOOKED_UP_AT_ONCE:
                swept.extend(self._sweep(some, before))
                some.clear()
        swept.extend(self._sweep(some, before))
        return tuple(swept)

    def _sweep(self, digests: list[Sha256], before: datetime) -> list[Sha256]:
        unread = self._ledger.unread(digests)
        return [digest for digest in unread if self._blobs.discard_aged(digest, before)]


_NOTHING = Forgotten(studies=0, instances=0, blobs=())


def _sum(one: Forgotten, other: Forgotten) -> Forgotten:
    return Forgotten(
        studies=one.studies + other.studies,
        instances=one.instances + other.instances,
        blobs=one.blobs + other.blobs,
    )
