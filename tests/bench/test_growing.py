"""A ledger that was made large is one that the node might have written, and goes on with."""

from datetime import timedelta
from pathlib import Path

import pytest

from bench.contenders import Node
from bench.growing import PER_STUDY, SECTIONS, SERIES, counted, grow
from dicom_ai_node import compose
from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.store.engines import open_database
from dicom_ai_node.store.overview import SqlOverview

STUDIES = 5


def test_a_study_is_there_again_and_again(tmp_path: Path) -> None:
    """With series, jobs, their inputs and results, none of them twice, none of them open."""
    node = Node.at(tmp_path / "node", sections=SECTIONS)
    grow(node, STUDIES * PER_STUDY)
    config = compose.settings(node.config)
    ledger = compose.ledger(config)
    counts = ledger.counts()
    assert counts["instances"] == STUDIES * PER_STUDY
    assert counts["series.open"] == 0
    assert counts["jobs.delivered"] == STUDIES * SERIES
    assert not ledger.due_series(compose.now() + timedelta(days=2))
    jobs = ledger.jobs((), 1000)
    assert {job.stage for job in jobs} == {Stage.DELIVERED}
    last = ledger.job(jobs[0].key)
    assert last is not None
    assert len(last.inputs) == PER_STUDY // SERIES
    there = {
        (one.sop_instance_uid, one.sha256)
        for series in ledger.study(last.study_instance_uid).series
        for one in series.instances
    }
    assert {(one.sop_instance_uid, one.sha256) for one in last.inputs} < there
    (delivery,) = ledger.deliveries(last.key)
    assert delivery.state is DeliveryState.DONE
    overview = SqlOverview(open_database(config.store.database_url))
    assert len(overview.studies(100)) == STUDIES


def test_steps_are_the_same_each_time_and_grow_with_the_work(tmp_path: Path) -> None:
    """However busy the machine is, to ten for each of a few statements; outside nothing counts."""
    node = Node.at(tmp_path / "node", sections=SECTIONS)
    grow(node, STUDIES * PER_STUDY)
    overview = SqlOverview(open_database(compose.settings(node.config).store.database_url))
    found = []
    for limit in (1, 1, 100):
        with counted() as steps:
            overview.studies(limit)
        overview.studies(100)
        found.append(steps.thousands)
    assert 0 < found[0] < found[2] / 2
    assert found[0] == pytest.approx(found[1], abs=0.06)
