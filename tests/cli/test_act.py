"""retry and send: what people set going, and what they hear when it cannot go."""

from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage

from dicom_ai_node.domain.job import DeliveryState, Stage
from tests.cli.conftest import Past, Run
from tests.peers.archive import archive
from tests.receive.rawpeer import EXPLICIT

TAKES = [(str(CTImageStorage), [EXPLICIT])]


@pytest.mark.parametrize(
    ("what", "stage"),
    [
        pytest.param("parked", Stage.DELIVERING, id="what an archive refused is sent again"),
        pytest.param("rejected", Stage.READY, id="what a model refused starts afresh"),
        pytest.param("waiting", Stage.READY, id="what waits is due at once"),
    ],
)
def test_a_person_can_set_a_job_going(run: Run, past: Past, what: str, stage: Stage) -> None:
    """Exit 0, a line, and the reason why it stopped is gone."""
    ended = run("retry", past.jobs[what], "--config", past.config)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out == f"{past.jobs[what]} is back at work\n"
    job = past.ledger.job(past.jobs[what])
    assert job is not None
    assert (job.stage, job.note, job.who, job.due_at) == (stage, "", None, None)
    states = {one.state for one in past.ledger.deliveries(job.key)}
    assert states <= {DeliveryState.DUE}


@pytest.mark.parametrize("what", ["delivered", "ready"])
def test_a_job_that_has_not_stopped_is_left_alone(run: Run, past: Past, what: str) -> None:
    """Exit 1, and the sentence says in which stage it is."""
    before = past.ledger.job(past.jobs[what])
    ended = run("retry", past.jobs[what], "--config", past.config)
    assert (ended.status, ended.out) == (1, "")
    assert f"{past.jobs[what]} is {what}: a job can be retried where it has stopped" in ended.err
    assert past.ledger.job(past.jobs[what]) == before


def test_one_wrong_name_retries_nothing(run: Run, past: Past) -> None:
    """Several jobs are set going together, or none is."""
    names = past.jobs["parked"], past.jobs["rejected"]
    assert run("retry", *names, "nobody", "--config", past.config).status == 1
    assert len(past.ledger.jobs([Stage.PARKED, Stage.REJECTED])) == 2
    assert run("retry", *names, "--config", past.config).out.count("is back at work") == 2


def test_files_are_sent_to_whom_one_says(run: Run, config: Path, images: Path) -> None:
    """To any archive by host, port and AE title; what is no DICOM file stays at home."""
    (images / "readme.txt").write_text("no image")
    with archive(TAKES) as pacs:
        to = f"127.0.0.1:{pacs.port}/PACS"
        ended = run("send", images, "--config", config, "--to", to, "--json")
        assert (ended.status, ended.json) == (0, {"sent": 4, "refused": 0})
        assert len(pacs.uids) == 4


def test_a_refusal_is_exit_1_with_what_was_answered(run: Run, config: Path, images: Path) -> None:
    """How many went, how many did not, and why the first did not."""
    with archive(TAKES, lambda number: 0xC000 if number == 1 else 0) as pacs:
        ended = run("send", images, "--config", config, "--to", f"127.0.0.1:{pacs.port}/PACS")
    assert ended.status == 1
    assert ended.out.split() == ["sent", "3", "refused", "1"]
    assert "PACS answered 0xC000" in ended.err


def test_a_node_that_does_not_run_does_not_answer(run: Run, config: Path, images: Path) -> None:
    """Exit 1 and who it was that did not answer."""
    ended = run("send", images, "--config", config)
    assert ended.status == 1
    assert "AI_NODE does not answer" in ended.err


@pytest.mark.parametrize("to", ["PACS", "host/PACS", "host:port/PACS", "host:104/" + "A" * 17])
def test_an_address_of_another_form_is_refused(
    run: Run, config: Path, images: Path, to: str
) -> None:
    """The form is named."""
    ended = run("send", images, "--config", config, "--to", to)
    assert ended.status == 78
    assert "is not of the form HOST:PORT/AE_TITLE" in ended.err


def test_there_must_be_something_to_send(run: Run, config: Path, tmp_path: Path) -> None:
    """An empty folder is said to be one."""
    (tmp_path / "empty").mkdir()
    ended = run("send", tmp_path / "empty", "--config", config)
    assert ended.status == 1
    assert ended.err.startswith("no DICOM files in ")
