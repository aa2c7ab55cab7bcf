"""What happens is told as it happens, from one look at the ledger a second."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from dicom_ai_node.domain.errors import OutOfResources
from dicom_ai_node.domain.overview import Pulse
from dicom_ai_node.serve.console import live as module
from dicom_ai_node.serve.console.live import Live, changed, heard_last
from dicom_ai_node.web import WebServer
from tests.serve.console.node import ConsoleNode, ct


@pytest.fixture
def address(node: ConsoleNode) -> Iterator[str]:
    """Open the window and return where it is."""
    server = WebServer(node.config)
    server.start()
    yield f"http://127.0.0.1:{node.port}"
    server.close()


def _news(lines: Iterator[str]) -> tuple[str, list[str]]:
    """Return the number and the topics of the next event."""
    number = ""
    for line in lines:
        if line.startswith("id: "):
            number = line.removeprefix("id: ")
        if line.startswith("data: "):
            return number, json.loads(line.removeprefix("data: "))
    raise AssertionError("the line was cut")


def test_a_series_that_arrives_is_told(node: ConsoleNode, address: str) -> None:
    """Over a real socket; who comes back hears at once what was missed."""
    with httpx.stream("GET", f"{address}/events", timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        first, topics = _news(lines)
        assert topics == []
        node.put(ct())
        second, topics = _news(lines)
        assert topics in (["studies", "jobs"], ["studies"])
        assert second != first
    number = node.aside(b"odd")
    assert number
    back = {"Last-Event-ID": second}
    with httpx.stream("GET", f"{address}/events", timeout=20, headers=back) as answer:
        assert "quarantine" in _news(answer.iter_lines())[1]
    with httpx.stream("GET", f"{address}/events?last={first}", timeout=20) as answer:
        assert "studies" in _news(answer.iter_lines())[1]


def test_the_ledger_is_asked_once_for_all_and_only_while_somebody_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred open pages cost what one does; none cost nothing."""
    monkeypatch.setattr(module, "PULSE_SECONDS", 0.02)
    asked = 0

    def pulse() -> Pulse:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise OutOfResources("the ledger cannot answer now")
        return Pulse(arrived=asked)

    async def listen() -> None:
        live = Live(pulse)
        many = [live.news(None) for _ in range(10)]
        for one in many:
            assert (await anext(one)).startswith("retry:")
        told = [await anext(one) for one in many]
        assert all("event: news" in each for each in told)
        assert live.listeners == 10
        before = asked
        await asyncio.sleep(0.2)
        assert 1 <= asked - before <= 20  # not ten times as often
        for one in many:
            await one.aclose()
        assert live.listeners == 0
        await asyncio.sleep(0.05)
        after = asked
        await asyncio.sleep(0.1)
        assert asked == after

    asyncio.run(listen())


def test_a_line_without_news_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment now and then; nothing is told twice."""
    monkeypatch.setattr(module, "PULSE_SECONDS", 0.01)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.05)

    async def listen() -> list[str]:
        line = Live(Pulse).news(None)
        said = [await anext(line) for _ in range(4)]
        await line.aclose()
        return said

    said = asyncio.run(listen())
    assert [text[:5] for text in said[2:]] == [": sti", ": sti"]


def test_too_many_listeners_are_told_to_wait(
    node: ConsoleNode, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node answers others still."""
    monkeypatch.setattr(module, "MOST_LISTENERS", 0)
    assert httpx.get(f"{address}/events", timeout=60).status_code == 503
    assert httpx.get(f"{address}/health/live", timeout=60).status_code == 200


def test_what_is_old_follows_from_what_has_grown() -> None:
    """Each number stands for parts of pages."""
    before = Pulse(arrived=1, moved=1, put_aside=1)
    assert changed(None, before) == []
    assert changed(before, Pulse(arrived=1, moved=1, put_aside=2)) == ["quarantine"]
    assert changed(before, Pulse(arrived=2, moved=2, put_aside=1)) == ["studies", "jobs"]
    assert changed(before, replace(before, at_work=7)) == ["work"]


@pytest.mark.parametrize("said", ["", "1.2.3", "1.2.3.x", "1.2.3.4.5", "-1.2.3.4"])
def test_a_number_that_we_have_not_given_counts_as_none(said: str) -> None:
    """Whoever makes one up begins anew."""
    assert heard_last(said) is None
    assert heard_last("1.2.3.4") == Pulse(arrived=1, moved=2, put_aside=3, at_work=4)


def test_nothing_is_written_where_a_page_only_looks(node: ConsoleNode, tmp_path: Path) -> None:
    """Reading pages leaves the ledger as it is."""
    before = node.ledger.counts()
    node.ask("/")
    assert node.ledger.counts() == before
    assert tmp_path.exists()
