"""What a DICOMweb service says about each instance."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_ai_node.deliver.answer import read_answer
from dicom_ai_node.domain.errors import NodeError, OutOfResources, PeerRejected
from tests.peers.stow import response


def test_each_instance_has_its_own_fate() -> None:
    """One request, four outcomes."""
    body = response(
        stored=["1.1"], failed=[("1.2", 0xA700), ("1.3", 0xC122)], warned=[("1.4", 0xB000)]
    )
    entries = read_answer(body, "pacs")
    assert entries["1.1"] == ""
    assert isinstance(entries["1.2"], OutOfResources)
    assert isinstance(entries["1.3"], PeerRejected)
    assert "B000" in str(entries["1.4"])
    assert isinstance(entries["1.4"], str)


@pytest.mark.parametrize("reason", [0x0000, 0xB000, 0x0110])
def test_what_is_listed_as_failed_has_failed(reason: int) -> None:
    """Whatever reason a service writes there."""
    assert isinstance(read_answer(response(failed=[("1.1", reason)]), "pacs")["1.1"], PeerRejected)


def test_failed_without_a_reason_has_failed() -> None:
    """FailureReason is Type 1, and services forget it."""
    body = {"00081198": {"Value": [{"00081155": {"Value": ["1.1"]}}]}}
    assert isinstance(read_answer(json.dumps(body).encode(), "pacs")["1.1"], PeerRejected)


def test_failed_because_it_was_there_already_is_a_success() -> None:
    """0x0111, duplicate SOP instance: our UIDs stand for their bytes."""
    assert isinstance(read_answer(response(failed=[("1.1", 0x0111)]), "pacs")["1.1"], str)


def test_failure_counts_more_than_success() -> None:
    """An instance in both lists is sent again rather than lost."""
    body = response(stored=["1.1"], failed=[("1.1", 0xA700)])
    assert isinstance(read_answer(body, "pacs")["1.1"], OutOfResources)


def test_reasons_may_be_text() -> None:
    """Some services write US values as strings."""
    body = {
        "00081198": {"Value": [{"00081155": {"Value": ["1.1"]}, "00081197": {"Value": ["42752"]}}]}
    }
    assert isinstance(read_answer(json.dumps([body]).encode(), "pacs")["1.1"], OutOfResources)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<html>Please log in</html>", id="a page"),
        pytest.param(b"\xff\xfe\x00", id="no text"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b'{"HttpError": "Bad request"}', id="JSON that is no DICOM"),
        pytest.param(b'{"00081199": {"Value": [null, 7, {"00081155": null}]}}', id="odd shapes"),
    ],
)
def test_an_answer_that_names_no_instance_proves_nothing(body: bytes) -> None:
    """The node does not take a friendly page for an archived result."""
    assert read_answer(body, "pacs") == {}


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["00081199", "00081198", "00081155", "00081197", "00081196", "Value"]),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(_JSON)
def test_no_shape_of_answer_takes_the_node_down(answer: object) -> None:
    """Whoever answers is not trusted."""
    for entry in read_answer(json.dumps(answer).encode(), "pacs").values():
        assert isinstance(entry, str | NodeError)
