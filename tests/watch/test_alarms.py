"""Whoever is turned away is in the audit trail, but cannot fill it."""

from dicom_ai_node.domain.audit import Kind
from dicom_ai_node.watch.alarms import Alarms
from dicom_ai_node.watch.news import NEWS_EVERY
from tests.store.made import NOON, SECOND
from tests.watch.book import Book


def test_the_same_is_told_again_after_a_while() -> None:
    """Another reason, or another address, at once."""
    clock = [NOON]
    book = Book()
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
    book = Book()
    book.is_full = True
    Alarms(book, lambda: NOON)("192.0.2.9", "no")
    assert book.happenings == []
