"""What many requests tell is written down in its order, many at a time, whatever the ledger does."""

import threading
from dataclasses import replace

import pytest

from dicom_ai_node.domain.audit import THE_NODE, Happening
from dicom_ai_node.domain.happenings import log_used
from dicom_ai_node.watch import notebook as notebook_module
from dicom_ai_node.watch.notebook import Notebook
from tests.store.made import NOON, SECOND
from tests.watch.book import Book

SOMETHING = log_used(THE_NODE, NOON)


def happenings(count: int) -> list[Happening]:
    """Return so many, a second apart."""
    return [replace(SOMETHING, at=NOON + number * SECOND) for number in range(count)]


def test_everything_is_written_in_order_and_together() -> None:
    """Many in one transaction: each costs a sync of the disk."""
    book = Book()
    notebook = Notebook(book)
    everything = happenings(1000)
    for one in everything:
        notebook.note(one)
    notebook.start()
    notebook.close()
    assert book.happenings == everything
    assert book.writes == 2


def test_a_ledger_that_is_busy_gets_it_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost, nothing comes twice."""
    monkeypatch.setattr(notebook_module, "PAUSE_SECONDS", 0.01)
    book, tried = Book(), threading.Event()

    class Busy(Book):
        def note(self, *some: Happening) -> None:
            try:
                super().note(*some)
            finally:
                tried.set()

    book = Busy()
    book.is_full = True
    notebook = Notebook(book)
    notebook.start()
    notebook.note(*happenings(3))
    assert tried.wait(30)
    assert book.happenings == []
    book.is_full = False
    notebook.close()
    assert book.happenings == happenings(3)


def test_one_that_cannot_be_written_takes_no_other_with_it() -> None:
    """A bug of ours: the log says so, and the trail goes on."""
    everything = happenings(40)

    class Choosy(Book):
        def note(self, *some: Happening) -> None:
            if everything[7] in some:
                raise ValueError("not this one")
            super().note(*some)

    notebook = Notebook(book := Choosy())
    notebook.note(*everything)
    notebook.start()
    notebook.close()
    assert book.happenings == everything[:7] + everything[8:]


def test_the_end_of_the_node_does_not_wait_for_the_ledger() -> None:
    """What cannot be written then is lost, and the log says how much."""
    book = Book()
    book.is_full = True
    notebook = Notebook(book)
    notebook.note(*happenings(3))
    notebook.start()
    notebook.close()
    assert not notebook.is_alive()
    assert book.happenings == []


def test_a_flood_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more than can wait only the log says so; and of what is remembered the oldest goes."""
    monkeypatch.setattr(notebook_module, "MOST_WAITING", 10)
    monkeypatch.setattr(notebook_module, "MOST_REMEMBERED", 10)
    notebook = Notebook(book := Book())
    for one in happenings(100):
        notebook.note(one)
    assert all(notebook.is_news(number) for number in range(100))
    assert notebook.is_news(0)
    assert not notebook.is_news(99)
    notebook.start()
    notebook.close()
    assert book.happenings == happenings(10)
