"""A real job with a real model says how far it is, all the way to those who look."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.job import HELD, Job, Stage
from dicom_ai_node.domain.json_model import items, text
from dicom_ai_node.domain.progress import Phase
from dicom_ai_node.domain.workitem_of_job import workitem_uid
from dicom_ai_node.pipeline import Work
from dicom_ai_node.samples.volumes import ct_head
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.overview import SqlOverview
from tests.serve.console.node import ConsoleNode

PATIENCE_SECONDS = 240
ORDER = list(Phase)


@pytest.fixture
def node(tmp_path: Path) -> ConsoleNode:
    """Return a node whose job waits for a worker."""
    return ConsoleNode(tmp_path)


@pytest.fixture
def desk(node: ConsoleNode) -> Iterator[Work]:
    """Return the desk of its workers, which are real processes."""
    made = compose.work(node.config)
    yield made
    made.inference.close()
    made.encoding.close()


def _job(node: ConsoleNode) -> Job:
    slices = list(ct_head())
    for one in slices[:-1]:
        node.put(one)
    return node.routed(slices[-1])


def _told_of(node: ConsoleNode, job: Job) -> tuple[str, str]:
    """Return what the page, the API and the workitem say, which is one thing."""
    told = node.ask(f"/api/jobs/{job.name}").json()
    piece = node.ask(f"/jobs/{job.name}/progress").text
    workitem = compose.worklist(node.config).workitem(workitem_uid(job.key, 0))
    (so_far,) = items(workitem, "ProcedureStepProgressInformationSequence")
    assert told["doing"] == Phase.RUNNING
    percent = round(100 * told["progress"])
    assert f'value="{percent}"' in piece
    assert f"running the model <b>{percent} %</b>" in piece
    assert text(so_far, "ProcedureStepProgressDescription") == "inferring: running"
    assert 10 <= float(text(so_far, "ProcedureStepProgress")) <= 50
    return told["doing"], piece


def test_a_job_says_how_far_it_is_until_its_objects_are_made(node: ConsoleNode, desk: Work) -> None:
    """Phase after phase, never backwards within a leg, and of nobody when it is over."""
    job, tidings = _job(node), compose.tidings(node.config, desk)
    overview = SqlOverview(open_database(node.config.store.database_url))
    seen: dict[Stage, list[tuple[Phase, float]]] = {stage: [] for stage in HELD}
    was_told, deadline = False, time.monotonic() + PATIENCE_SECONDS
    pulses = set()
    while (now := node.ledger.job(job.key)) is not None and now.stage is not Stage.DELIVERING:
        assert time.monotonic() < deadline, f"the job is still {now.stage}: {now.note}"
        assert now.stage not in {Stage.PARKED, Stage.REJECTED}, now.note
        desk.infer()
        desk.encode()
        tidings.tell()
        for one in overview.at_work():
            if one.job.doing is not None:
                seen[one.job.stage].append((one.job.doing, one.job.progress))
                pulses.add(overview.pulse().at_work)
            # Nobody collects in between: what is told stands still while it is compared.
            if one.job.doing is Phase.RUNNING and not was_told:
                was_told = bool(_told_of(node, job))
        desk.collect(desk.inference, 0.02)
        desk.collect(desk.encoding, 0.02)
    assert was_told
    for told in seen.values():
        assert [part for _, part in told] == sorted(part for _, part in told)
        places = [ORDER.index(phase) for phase, _ in told]
        assert places == sorted(places)
    assert {Phase.READING, Phase.RUNNING} <= {phase for phase, _ in seen[Stage.INFERRING]}
    assert len(pulses) >= len(set(seen[Stage.INFERRING]))
    ended = node.ledger.job(job.key)
    assert ended is not None
    assert (ended.doing, ended.progress) == (None, 1.0)
    assert "progress" not in node.ask(f"/jobs/{job.name}/progress").text.replace("/progress", "")
