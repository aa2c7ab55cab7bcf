"""The node commits to what lies whole on its disk, and says why not for the rest."""

import pytest

from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.commitment import MOST, Asked, answered, asked_for
from dicom_ai_node.domain.errors import Refused
from dicom_ai_node.domain.json_model import data_set, items, values
from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    Sha256,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)

CT = SOPClassUID("1.2.840.10008.5.1.4.1.1.2")


def asked(uid: str, sop_class: str = CT) -> Asked:
    """Return a request for one instance."""
    return Asked(SOPClassUID(sop_class), SOPInstanceUID(uid))


def held(uid: str) -> Held:
    """Return an instance that is here."""
    return Held(
        study_instance_uid=StudyInstanceUID("1.2"),
        series_instance_uid=SeriesInstanceUID("1.2.1"),
        sop_instance_uid=SOPInstanceUID(uid),
        sop_class_uid=CT,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        sha256=Sha256("ab"),
        size_bytes=10,
    )


def request(*pairs: tuple[str, str]) -> dict[str, object]:
    """Return a request for instances."""
    named = [
        data_set(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=uid)
        for sop_class, uid in pairs
    ]
    return data_set(ReferencedSOPSequence=named)


def test_each_instance_has_its_answer() -> None:
    """Kept, unknown, of another class, or no longer whole; PS3.3 C.14.1.1."""
    told = answered(
        [asked("1.1"), asked("1.2"), asked("1.3", "1.2.3"), asked("1.4"), asked("1.1")],
        [held("1.1"), held("1.3"), held("1.4")],
        lambda one: one.sop_instance_uid != "1.4",
    )
    kept = [values(one, "ReferencedSOPInstanceUID") for one in items(told, "ReferencedSOPSequence")]
    assert kept == [["1.1"]]
    failed = {
        values(one, "ReferencedSOPInstanceUID")[0]: values(one, "FailureReason")[0]
        for one in items(told, "FailedSOPSequence")
    }
    assert failed == {"1.2": 0x0112, "1.3": 0x0119, "1.4": 0x0110}


def test_a_sequence_without_items_is_left_out() -> None:
    """Type 1C: required if there is at least one."""
    assert list(answered([asked("1.1")], [held("1.1")], lambda one: True)) == ["00081199"]
    assert list(answered([asked("1.1")], [], lambda one: True)) == ["00081198"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        pytest.param({}, "ReferencedSOPSequence", id="nothing"),
        pytest.param(request((CT, "")), "ReferencedSOPInstanceUID", id="no UID"),
        pytest.param(request(("hello", "1.2")), "ReferencedSOPClassUID", id="no class"),
        pytest.param(request(*[(CT, "1.2")] * (MOST + 1)), str(MOST), id="too many"),
    ],
)
def test_a_request_that_names_nothing_is_refused(said: dict[str, object], sentence: str) -> None:
    """With what it should say."""
    assert asked_for(request((CT, "1.2"))) == (asked("1.2"),)  # type: ignore[arg-type]
    with pytest.raises(Refused, match=sentence):
        asked_for(said)  # type: ignore[arg-type]
