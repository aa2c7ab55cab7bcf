"""Bytes that nobody would send on purpose."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_ai_node.dimse.commands import command_of
from dicom_ai_node.dimse.wire import Breach
from dicom_ai_node.domain.errors import NotStorable, NotUnderstood
from dicom_ai_node.domain.uids import is_uid
from dicom_ai_node.receive.header import header_of
from dicom_ai_node.receive.negotiation import Unwelcome, _agreement, _user_items
from dicom_ai_node.receive.user_information import user_information
from tests import phantoms
from tests.receive.rawpeer import CT, EXPLICIT, IMPLICIT, command, encoded, item, request, smallest

BIG = "1.2.840.10008.1.2.2"
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _nested() -> Dataset:
    inner, outer = smallest(), phantoms.ct(slices=1, rows=4, columns=4)[0]
    inner.ReferencedImageSequence = [smallest()]
    outer.SharedFunctionalGroupsSequence = [inner]
    return outer


WHOLE = {
    EXPLICIT: encoded(_nested()),
    IMPLICIT: encoded(_nested(), implicit=True),
    BIG: encoded(smallest(), little=False),
}


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Return `whole` with some bytes changed, or cut off, or both."""
    data = bytearray(whole[: draw(st.integers(0, len(whole)))] if draw(st.booleans()) else whole)
    places = st.integers(0, max(len(data) - 1, 0))
    for place in draw(st.lists(places, max_size=6)) if data else ():
        data[place] = draw(st.sampled_from((0, 1, 0x7F, 0xFE, 0xFF, 0x5C, 0x1B)))
    return bytes(data)


@FEW
@given(data=st.data(), syntax=st.sampled_from(sorted(WHOLE)))
def test_a_damaged_data_set_is_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, syntax: str
) -> None:
    """Whatever was damaged, the sender gets a status that says so, and the UIDs are UIDs."""
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(b"head" + data.draw(_damaged(WHOLE[syntax])))
    try:
        header = header_of(path, 4, syntax)
    except (NotUnderstood, NotStorable):
        return
    assert is_uid(header.sop_instance_uid)
    assert is_uid(header.series_instance_uid)
    assert not any("\0" in text or len(text) > 256 for text in header.attributes.values())


ROLE_AND_EXTENSION = item(0x54, b"\0\x19" + CT.encode() + b"\0\1") + item(
    0x56, b"\0\x1b1.2.840.10008.5.1.4.1.2.2.1\1\1"
)


@FEW
@given(items=_damaged(request(user=ROLE_AND_EXTENSION)[74:]))
def test_a_damaged_request_is_answered_or_aborted(items: bytes) -> None:
    """Association requests are read with every length in doubt."""
    try:
        accepted, _ = _agreement(items, answers_queries=True, commits=True)
        user = user_information(_user_items(items))
    except (Breach, Unwelcome):
        return
    assert set(accepted) <= set(range(1, 256, 2))
    classes = {sop_class_uid for sop_class_uid, _ in accepted.values()}
    assert all(kind in (0x54, 0x56) for kind, _ in user.answer(classes))


@FEW
@given(order=st.one_of(_damaged(command()), st.binary(max_size=64)))
def test_a_damaged_command_is_read_or_aborted(order: bytes) -> None:
    """A command set is read with every length in doubt."""
    with suppress(Breach):
        assert 0 <= command_of(order).message_id < 1 << 16
