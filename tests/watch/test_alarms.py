"""Whoever is turned away is in the audit trail, but cannot fill it."""

from dicom_ai_node.domain.audit import NEWS_EVERY, Happening, Kind
from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.watch.alarms import Alarms
from tests.store.made import NOON, SECOND


class Notebook:
    """Keeps what it is told; a full one cannot."""

    def __init__(self) -> None:
        self.happenings: list[Happening] = []
        self.is_full = False

    def note(self, happening: Happening) -> None:
        if self.is_full:
            raise OutOfResources("full")
        self.happenings.append(happening)


def test_the_same_is_told_again_after_a_while() -> None:
    """Another reason, or another address, at once."""
    clock = [NOON]
    book = Notebook()
    alarms = Alarms(book, lambda: clock[-1])
    for _ in range(100):
        alarms("192.0.2.9", "the calling AE title is not known")
    alarms("192.0.2.9", "another")
    alarms("192.0.2.10", "another")
    assert len(book.happenings) == 3
    clock.append(NOON + NEWS_EVERY + SECOND)
    alarms("192.0.2.9", "another")
    assert len(book.happenings) == 4
    first = book.happenings[0]
    assert (first.kind, first.participants[1].address) == (Kind.SECURITY_ALERT, "192.0.2.9")


def test_nobody_is_let_in_or_kept_out_because_the_ledger_is_busy() -> None:
    """The alarm is lost to the trail, not to the log."""
    book = Notebook()
    book.is_full = True
    Alarms(book, lambda: NOON)("192.0.2.9", "no")
    assert book.happenings == []
