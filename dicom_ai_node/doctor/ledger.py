"""The ledger, and the objects that it names."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dicom_ai_node.doctor.finding import Finding, fault, ok, warning
from dicom_ai_node.domain.errors import ConfigError, NeedsAttention, NodeError, TryAgain
from dicom_ai_node.domain.uids import Sha256

SAMPLE = 50
"""How many objects are read unless all of them shall be."""
_AHEAD = timedelta(minutes=5)
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a ledger says of itself, without being changed.

    Attributes
    ----------
    schema, known
        Its revision, empty if there is no ledger, and the one that this version makes of it.
    is_known
        Whether this version can use it, or migrate it.
    damage
        What the database says of damage, empty if it finds none.
    newest
        When the newest event was, by the clock of the node.
    digests
        What it names.
    """

    schema: str
    known: str
    is_known: bool
    damage: str
    newest: datetime | None
    digests: Sequence[Sha256]


def ledger(look: Callable[[], Seen], now: Callable[[], datetime]) -> Iterator[Finding]:
    """Look whether the ledger opens, whether this version knows it, whether it is whole."""
    try:
        seen = look()
    except (ConfigError, NeedsAttention) as wrong:
        mend = "stop the node and restore the last backup: dicom-ai-node restore"
        yield fault("ledger", str(wrong), mend)
        return
    except TryAgain as hitch:
        yield fault("ledger", str(hitch), "start the database; look at its log and store.database")
        return
    if not seen.schema:
        yield warning("ledger", "there is none yet", "it is made by the first start")
        return
    yield from _schema(seen)
    if seen.damage:
        yield fault(
            "ledger",
            f"the database is damaged: {seen.damage}",
            "stop the node, look at the disk, restore the last backup: dicom-ai-node restore",
        )
    elif seen.newest is not None and seen.newest > now() + _AHEAD:
        yield warning(
            "clock",
            f"the ledger has something of {seen.newest:%Y-%m-%d %H:%M} UTC, which is still to come",
            "set the clock; what waits until then waits as long",
        )


def _schema(seen: Seen) -> Iterator[Finding]:
    if not seen.is_known:
        yield fault(
            "ledger",
            f"has schema {seen.schema}, this version knows {seen.known}",
            "install the version of the node again that has run last, or a newer one",
        )
    elif seen.schema != seen.known:
        yield warning(
            "ledger",
            f"has schema {seen.schema}; the next start makes {seen.known} of it",
            "make a backup before: dicom-ai-node backup",
        )
    else:
        yield ok("ledger", f"schema {seen.schema}, names {len(seen.digests)} objects")


def objects(
    digests: Callable[[], Sequence[Sha256]],
    verify: Callable[[Sha256], None],
    *,
    all_of_them: bool = False,
) -> Iterator[Finding]:
    """Read objects that the ledger names, some or all, and compare them with their names."""
    named = sorted(digests())
    some = named if all_of_them else random.sample(named, min(SAMPLE, len(named)))
    bad = [str(why) for one in some if (why := _wrong(verify, one)) is not None]
    if bad:
        more = f" and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
        yield fault(
            "objects",
            f"{'; '.join(bad[:_MOST_NAMED])}{more}",
            "look at the disk, then have the senders send these studies again: that heals them",
        )
    else:
        yield ok("objects", f"{len(some)} of {len(named)} were read and are what they were")


def _wrong(verify: Callable[[Sha256], None], digest: Sha256) -> NodeError | None:
    try:
        verify(digest)
    except NodeError as why:
        return why
    return None
