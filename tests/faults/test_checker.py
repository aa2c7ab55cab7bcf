"""The proof is proven: a node that breaks a promise on purpose is found out by the checker."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_ai_node.selftest.judge import objections, processes
from tests.faults import planted
from tests.faults.small_node import Pacs, SmallNode, series, until

pytestmark = [pytest.mark.fault, pytest.mark.timeout(900)]


@pytest.fixture
def pacs() -> Iterator[Pacs]:
    """Return an archive that is up."""
    made = Pacs()
    with made.up():
        yield made


@pytest.fixture
def node(tmp_path: Path, pacs: Pacs) -> Iterator[SmallNode]:
    """Return a node that is not started."""
    made = SmallNode(
        tmp_path / "node", {"pacs": f"{{ae_title: PACS, host: 127.0.0.1, port: {pacs.port}}}"}
    )
    yield made
    made.end()


def found(node: SmallNode, pacs: Pacs) -> str:
    """Stop the node and return what the checker has to say."""
    if node.is_running:
        node.stop()
    return "\n".join(objections(node.evidence({"pacs": pacs})))


def test_an_answer_before_fsync_is_noticed(node: SmallNode, pacs: Pacs, tmp_path: Path) -> None:
    """The power goes a moment after 0x0000: what was never synced is gone."""
    node.start(plant="an answer before fsync", crash="recorded@4", power=True)
    node.send(series(tmp_path, "hasty", slices=6))
    node.died()
    until(lambda: not processes(node.mark), "its workers are gone")
    said = found(node, pacs)
    assert "was answered with success" in said, said
    assert "damaged" in said


def test_a_power_cut_alone_is_forgiven(node: SmallNode, pacs: Pacs, tmp_path: Path) -> None:
    """The same end without the plant: nothing to object to."""
    node.start(crash="recorded@4", power=True)
    node.send(series(tmp_path, "hasty", slices=6))
    node.died()
    until(lambda: not processes(node.mark), "its workers are gone")
    assert not found(node, pacs)


@pytest.mark.parametrize(
    ("plant", "objection"),
    [
        ("a forgotten delivery", "was committed and is not at pacs"),
        ("a double run", "2 jobs of route look at the same"),
        ("a row that was never written", "is not in the ledger"),
        ("a temporary file", "a temporary file is left"),
        (planted.A_SECOND_UID, "which is no result of any job"),
        (planted.AN_ORPHAN, "has outlived the node"),
        (planted.A_NAME, "the patient's name is in node.log"),
    ],
)
def test_a_broken_promise_is_noticed(
    node: SmallNode, pacs: Pacs, tmp_path: Path, plant: str, objection: str
) -> None:
    """A series goes through a node that does one thing wrong."""
    node.start(plant=plant)
    node.send(series(tmp_path, "planted"))
    node.ended(2 if plant == "a double run" else 1)
    said = found(node, pacs)
    assert objection in said, said or "nothing was found"
    if plant == planted.A_NAME:  # the search after all tests must not find it as well
        node.log.unlink()


def test_leaked_descriptors_are_noticed(node: SmallNode, pacs: Pacs) -> None:
    """A hundred that nobody closes."""
    node.start(plant=planted.A_LEAK)
    with contextlib.suppress(AssertionError), node.leaking_nothing():
        until(lambda: node.open_files() > 100, "they are open")
    assert "descriptors are open" in found(node, pacs)


def test_a_job_that_has_not_ended_is_noticed(node: SmallNode, pacs: Pacs, tmp_path: Path) -> None:
    """The destination is away and the row does not say that this is fine."""
    pacs.answer = lambda _: 0xA700
    node.start()
    node.send(series(tmp_path, "waiting"))
    until(pacs.asked, "the object is sent")
    assert "is still delivering" in found(node, pacs)
