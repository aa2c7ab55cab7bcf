"""What a person sets going in the console: retry, cancel, take in again, discard, explain."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from dicom_ai_node import compose
from dicom_ai_node.domain.job import Stage
from dicom_ai_node.domain.study import Received
from tests.serve.console.node import EVIL, ConsoleNode, ct

ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}


def _part_10(node: ConsoleNode, study: str = "aside", **changes: object) -> bytes:
    spooled = node.blobs.spool()
    ct(study, **changes).save_as(spooled, enforce_file_format=True)
    content = spooled.read_bytes()
    spooled.unlink()
    return content


def _told(answer: httpx.Response) -> str:
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].rpartition("told=")[2]


def test_a_parked_job_goes_back_to_work(node: ConsoleNode) -> None:
    """And the page says so."""
    job = node.routed(ct())
    node.parked(job)
    answer = node.ask(f"/jobs/{job.name}/retry", "POST")
    assert _told(answer) == "job_retried"
    found = node.ledger.job(job.key)
    assert found is not None
    assert found.stage is Stage.READY
    assert "The job is back at work." in node.ask(answer.headers["location"]).text


def test_a_job_that_is_done_cannot_be_retried(node: ConsoleNode) -> None:
    """The page says why, in the status of the error."""
    job = node.routed(ct())
    node.encoded(job)
    node.sent()
    answer = node.ask(f"/jobs/{job.name}/retry", "POST")
    assert answer.status_code >= 400
    assert "a job can be retried where it has stopped or waits" in answer.text


def test_a_job_is_cancelled(node: ConsoleNode) -> None:
    """If nothing of it has been sent."""
    job = node.routed(ct())
    assert _told(node.ask(f"/jobs/{job.name}/cancel", "POST")) == "job_cancelled"
    found = node.ledger.job(job.key)
    assert found is not None
    assert found.stage is Stage.CANCELLED


def test_everything_that_a_destination_has_refused_is_sent_again(node: ConsoleNode) -> None:
    """With one button."""
    for name in ("one", "two"):
        node.encoded(node.routed(ct(name)))
        node.sent("no")
    assert {one.stage for one in node.ledger.jobs([Stage.PARKED])} == {Stage.PARKED}
    assert _told(node.ask("/destinations/pacs/retry", "POST")) == "parked_retried"
    assert node.ledger.jobs([Stage.PARKED]) == []
    assert len(node.ledger.jobs([Stage.DELIVERING])) == 2
    assert node.ask("/destinations/none/retry", "POST").status_code == 404


def test_what_a_destination_does_not_show_is_asked_again(tmp_path: Path) -> None:
    """With one button, and not sent again."""
    node = ConsoleNode(tmp_path, proof="commitment")
    node.encoded(node.routed(ct()))
    node.sent()
    node.doubted("it takes none")
    assert _told(node.ask("/destinations/pacs/retry", "POST")) == "parked_retried"
    assert node.ledger.counts()["deliveries.done"] == 1
    hour = timedelta(hours=1)
    assert len(node.ledger.claim_unproven("pacs", "1.8", compose.now(), hour, 0 * hour)) == 1


def test_what_was_put_aside_is_looked_at_and_saved(node: ConsoleNode) -> None:
    """As far as its header can be read; the bytes are a download, never a page."""
    content = _part_10(node, PatientName=EVIL)
    number = node.aside(content[:1000])
    text = node.ask(f"/quarantine/{number}").text
    assert "PatientName" in text
    assert EVIL not in text
    assert "sender" in text
    saved = node.ask(f"/quarantine/{number}/file")
    assert saved.content == content[:1000]
    assert saved.headers["content-type"] == "application/octet-stream"
    assert saved.headers["content-disposition"].startswith("attachment")
    nothing = node.aside(b"\x00\xff" * 500)
    assert node.ask(f"/quarantine/{nothing}").status_code == 200


def test_an_instance_that_is_right_is_taken_in_again(node: ConsoleNode) -> None:
    """It is in its series then, and the entry is closed."""
    number = node.aside(_part_10(node))
    assert _told(node.ask(f"/quarantine/{number}/retry", "POST")) == "taken_in"
    assert node.ledger.quarantined() == []
    assert ct("aside").StudyInstanceUID in node.ask("/studies").text
    # The same bytes once more are a duplicate, not a conflict.
    again = node.aside(_part_10(node))
    assert _told(node.ask(f"/quarantine/{again}/retry", "POST")) == "taken_in"
    assert node.ledger.counts()["instances"] == 1


def test_bytes_that_are_still_wrong_stay_aside(node: ConsoleNode) -> None:
    """And a conflict is one again, under a new number."""
    number = node.aside(b"no DICOM at all")
    assert _told(node.ask(f"/quarantine/{number}/retry", "POST")) == "still_refused"
    assert [one.number for one in node.ledger.quarantined()] == [number]
    node.put(ct("aside"))
    other = node.aside(_part_10(node, PatientComments="another one"), reason=Received.CONFLICT)
    assert _told(node.ask(f"/quarantine/{other}/retry", "POST")) == "still_conflict"
    numbers = {one.number for one in node.ledger.quarantined()}
    assert len(numbers) == 2
    assert other not in numbers


def test_an_entry_is_discarded(node: ConsoleNode) -> None:
    """Then it is not there any more."""
    number = node.aside(b"no DICOM at all")
    assert _told(node.ask(f"/quarantine/{number}/discard", "POST")) == "discarded"
    assert node.ask(f"/quarantine/{number}").status_code == 404
    assert node.ask(f"/quarantine/{number}/retry", "POST").status_code == 404


def test_a_file_is_explained_and_nothing_of_it_stays(node: ConsoleNode) -> None:
    """Whatever its name says is text; no spooled file is left, nothing is in the ledger."""
    answer = node.ask("/routes/explain", "POST", _part_10(node, SeriesDescription=EVIL))
    assert answer.status_code == 200
    for told in ("tissue", "takes it", "chest", "Modality is CT, wanted CR or DX"):
        assert told in answer.text, told
    assert EVIL not in answer.text
    assert node.ledger.counts()["instances"] == 0
    assert list((node.config.store.folder / "spool").iterdir()) == []


def test_what_is_no_dicom_is_not_explained(node: ConsoleNode) -> None:
    """The answer is a sentence, and nothing stays either."""
    answer = node.ask("/routes/explain", "POST", b"hello")
    assert answer.status_code == 400
    assert "no DICM after a preamble" in answer.text
    assert node.ask("/routes/explain", "POST").status_code == 400
    assert list((node.config.store.folder / "spool").iterdir()) == []


def test_a_file_that_is_too_large_is_not_read_to_its_end(
    node: ConsoleNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is broken off where it is too much, and removed."""
    monkeypatch.setattr("dicom_ai_node.serve.console.routing.LARGEST_BYTES", 1000)
    answer = node.ask("/routes/explain", "POST", bytes(5000))
    assert answer.status_code == 413
    assert "too large" in answer.text
    assert list((node.config.store.folder / "spool").iterdir()) == []


def test_a_form_of_another_site_does_nothing(node: ConsoleNode) -> None:
    """Even without a login, on the reader's own machine."""
    job = node.routed(ct())
    node.parked(job)
    number = node.aside(b"no DICOM at all")
    for path in (
        f"/jobs/{job.name}/retry", f"/jobs/{job.name}/cancel", f"/quarantine/{number}/discard",
        f"/quarantine/{number}/retry", "/destinations/pacs/retry", "/routes/explain",
        "/preferences?theme=dark",
    ):  # fmt: skip
        assert node.ask(path, "POST", headers=ELSEWHERE).status_code == 403, path
    found = node.ledger.job(job.key)
    assert found is not None
    assert found.stage is Stage.PARKED


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        pytest.param("http://127.0.0.1/jobs?stage=parked", "/jobs?stage=parked", id="where it was"),
        pytest.param("", "/", id="nowhere known"),
        pytest.param("http://evil.example//evil.example/x", "/", id="never elsewhere"),
    ],
)
def test_a_choice_is_remembered(node: ConsoleNode, referer: str, back: str) -> None:
    """Language and theme, by a cookie; the way back stays on this node."""
    answer = node.ask("/preferences?language=zh", "POST", headers={"Referer": referer})
    assert (answer.status_code, answer.headers["location"]) == (303, back)
    assert answer.headers["set-cookie"].startswith("language=zh;")
    wrong = node.ask("/preferences?theme=pink", "POST")
    assert "set-cookie" not in wrong.headers
    assert 'data-theme="dark"' in node.ask("/help", headers={"Cookie": "theme=dark"}).text
