"""What an answer of the destination means, and who has to act."""

import pytest

from dicom_ai_node.deliver.judge import (
    HTTP_STATUSES,
    REJECTIONS,
    STATUSES,
    judge,
    judge_contexts,
    judge_http,
    judge_rejection,
)
from dicom_ai_node.domain.errors import NodeError, OutOfResources, PeerRejected, PeerUnavailable


@pytest.mark.parametrize("status", [0x0001, 0x0107, 0x0111, 0x0116, 0xB000, 0xB006, 0xB007])
def test_a_warning_is_a_success_with_a_note(status: int) -> None:
    """PS3.4 B.2.3: the instance was stored; the note says that its copy may differ."""
    note = judge(status, "PACS")
    assert isinstance(note, str)
    assert f"{status:04X}" in note


def test_success_needs_no_words() -> None:
    """0x0000 leaves an empty note."""
    assert judge(0x0000, "PACS") == ""


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(None, PeerUnavailable, id="silence is not success"),
        pytest.param(0xA700, OutOfResources, id="full today, perhaps not tomorrow"),
        pytest.param(0xA7FF, OutOfResources, id="full in a private way"),
        pytest.param(0x0213, OutOfResources, id="out of resources as PS3.7 says it"),
        pytest.param(0x0110, PeerRejected, id="processing failure"),
        pytest.param(0x0122, PeerRejected, id="no such SOP class"),
        pytest.param(0x0124, PeerRejected, id="not authorized"),
        pytest.param(0xA900, PeerRejected, id="does not match its SOP class"),
        pytest.param(0xC000, PeerRejected, id="cannot understand"),
        pytest.param(0xC123, PeerRejected, id="cannot understand, in a private way"),
        pytest.param(0xFE00, PeerRejected, id="a status that C-STORE does not have"),
    ],
)
def test_failures_say_who_has_to_act(status: int | None, error: type[NodeError]) -> None:
    """TryAgain repeats by itself, NeedsAttention parks; the message names status and peer."""
    entry = judge(status, "PACS")
    assert type(entry) is error
    assert "PACS" in str(entry)
    assert status is None or f"{status:04X}" in str(entry)


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        pytest.param(
            (1, 1, 3), PeerRejected, "operator of the destination", id="it does not know us"
        ),
        pytest.param((1, 1, 7), PeerRejected, "operator of this node", id="it has another name"),
        pytest.param((1, 1, 1), PeerRejected, "a person", id="no reason given"),
        pytest.param((2, 3, 1), PeerUnavailable, "at the moment", id="congested"),
        pytest.param((2, 3, 2), PeerUnavailable, "at the moment", id="too many associations"),
    ],
)
def test_a_rejected_association_says_whether_waiting_helps(
    answer: tuple[int, int, int], error: type[NodeError], words: str
) -> None:
    """PS3.8 Table 9-21: transient heals by itself, permanent needs someone."""
    entry = judge_rejection(*answer, "PACS")
    assert type(entry) is error
    assert words in str(entry)


def test_a_sop_class_that_nobody_takes_is_named() -> None:
    """The operator reads which class to allow."""
    assert "Segmentation Storage" in str(judge_contexts(["Segmentation Storage"], "PACS"))


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(200, PeerUnavailable, id="a page that is not DICOM says nothing"),
        pytest.param(302, PeerRejected, id="redirects are not followed"),
        pytest.param(400, PeerRejected, id="bad request"),
        pytest.param(401, PeerRejected, id="token expired"),
        pytest.param(403, PeerRejected, id="not allowed"),
        pytest.param(404, PeerRejected, id="wrong address"),
        pytest.param(408, PeerUnavailable, id="too slow"),
        pytest.param(413, PeerRejected, id="too large even alone"),
        pytest.param(429, PeerUnavailable, id="too many requests"),
        pytest.param(500, PeerUnavailable, id="server error"),
        pytest.param(503, PeerUnavailable, id="busy"),
        pytest.param(507, OutOfResources, id="full"),
    ],
)
def test_http_says_who_has_to_act(status: int, error: type[NodeError]) -> None:
    """For answers that list no instance."""
    entry = judge_http(status, "pacs.example.org", 7.0)
    assert type(entry) is error
    assert str(status) in str(entry)
    assert status != 503 or entry.after_seconds == 7.0  # type: ignore[attr-defined]


def test_every_line_of_the_manual_says_what_to_do() -> None:
    """The tables are printed in the manual: no failure without its advice."""
    for verdict in [*STATUSES, *HTTP_STATUSES]:
        assert verdict.first <= verdict.last
        assert verdict.meaning
        assert verdict.error is None or ":" in verdict.advice
    assert all(":" in rejection.advice for rejection in REJECTIONS)
