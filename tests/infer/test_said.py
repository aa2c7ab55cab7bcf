"""What a worker says, and what becomes of nonsense."""

import pytest

from dicom_ai_node.domain.devices import GpuSeen
from dicom_ai_node.domain.errors import Rejected, TaskFailed
from dicom_ai_node.domain.progress import Phase, Progress
from dicom_ai_node.domain.reject import RejectCode
from dicom_ai_node.infer.said import Said, packed, unpacked


@pytest.mark.parametrize(
    "said",
    [
        Said(what="ready", unusable={"liver": "Dice 0.1"}),
        Said(what="progress", progress=Progress(Phase.READING, 0.125)),
        Said(what="done", gpu=GpuSeen(uuid="GPU-1", used_bytes=1, bytes=2)),
    ],
    ids=lambda said: said.what,
)
def test_what_is_said_is_heard(said: Said) -> None:
    """Nothing is lost on the way."""
    assert unpacked(packed(said)) == said


def test_an_error_travels() -> None:
    """With its code, by which somebody has to act."""
    error = unpacked(packed(Said(what="done", error=Rejected(RejectCode.GEO_4D, "2")))).error
    assert isinstance(error, Rejected)
    assert (error.code, error.detail) == (RejectCode.GEO_4D, "2")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b'{"what": "progress"}', id="no error"),
        pytest.param(
            b'{"what": "progress", "error": null, "progress": ["ZZCANARY", 0.5]}',
            id="a phase that there is not",
        ),
        pytest.param(
            b'{"what": "progress", "error": null, "progress": ["reading", NaN]}', id="no number"
        ),
        pytest.param(b'{"what": "done", "error": null, "gpu": 3}', id="no GPU"),
        pytest.param(b'{"what": "done", "error": null, "unusable": 3}', id="no models"),
        pytest.param(b"[" * 100_000, id="deep"),
    ],
)
def test_nonsense_ends_the_attempt(message: bytes) -> None:
    """Whatever has become of the worker, the dispatcher goes on, and repeats nothing of it."""
    said = unpacked(message)
    assert said.what == "done"
    assert isinstance(said.error, TaskFailed)
    assert "ZZCANARY" not in str(said.error)


def test_progress_stays_between_nothing_and_all() -> None:
    """A worker that counts beyond the end is at the end."""
    message = b'{"what": "progress", "error": null, "progress": ["running", 7]}'
    assert unpacked(message).progress == Progress(Phase.RUNNING, 1.0)
