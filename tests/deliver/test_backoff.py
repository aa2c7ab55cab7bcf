"""How long the node waits before it tries a destination again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.deliver.backoff import FIRST_SECONDS, LONGEST_SECONDS, next_try

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


def pause(attempts: int, jitter: float, after_seconds: float | None = None) -> float:
    """Return the pause in seconds."""
    return (next_try(attempts, NOW, jitter, after_seconds) - NOW).total_seconds()


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_a_pause_lasts_from_ten_seconds_to_ten_minutes(attempts: int, jitter: float) -> None:
    """However often it failed: nothing is given up, and nothing waits for ever."""
    assert FIRST_SECONDS <= pause(attempts, jitter) <= LONGEST_SECONDS


def test_pauses_grow_until_they_are_ten_minutes() -> None:
    """10 s, 20 s, 40 s ... at the least; twice that at the most."""
    assert [pause(n, 0.0) for n in range(1, 8)] == [10, 20, 40, 80, 160, 300, 300]
    assert [pause(n, 1.0) for n in range(1, 8)] == [20, 40, 80, 160, 320, 600, 600]


def test_many_nodes_do_not_come_back_at_once() -> None:
    """The jitter spreads them over half of the bound, also after days."""
    assert pause(1000, 1.0) - pause(1000, 0.0) == 300


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        pytest.param(120.0, 120.0, id="a destination that names a time gets it"),
        pytest.param(1.0, 10.0, id="a short time does not hurry us"),
        pytest.param(1e9, 600.0, id="a long time does not silence us"),
    ],
)
def test_retry_after_is_heard(asked: float, seconds: float) -> None:
    """`Retry-After` of a DICOMweb service, between our own bounds."""
    assert pause(1, 0.0, asked) == seconds
