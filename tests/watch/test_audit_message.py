"""Every kind of audit message has the structure of PS3.15 A.5.1, and what A.5.3 wants of it."""

import base64
import re
from collections.abc import Mapping
from datetime import datetime
from xml.etree import ElementTree as ET

import pytest

from dicom_ai_node.domain.audit import (
    Act,
    Actor,
    Asked,
    Happening,
    Kind,
    Outcome,
    Part,
    Participant,
    StudyTold,
)
from dicom_ai_node.domain.happenings import (
    accessed,
    alarm,
    application,
    changed,
    deleted,
    log_used,
    login,
    queried,
    transfer,
)
from dicom_ai_node.watch.audit_message import Source, message
from tests.store.made import NOON

SOURCE = Source(ae_title="AI_NODE", host="ai.example", process="42")
ANN = Actor(name="ann", address="192.0.2.7")
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = StudyTold(study_instance_uid="1.2.3", sop_classes={CT: 100}, patient_id="P1")
SENDER = Participant(
    name="CT1", ae_title="CT1", address="192.0.2.1", part=Part.SOURCE, is_requestor=True
)
HERE = Participant(part=Part.DESTINATION)
FIND = Asked(sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1", transfer_syntax_uid="1.2", query=b"\x08")
EVERY = [
    pytest.param(application(Act.START, ANN, NOON), "110100", id="start"),
    pytest.param(application(Act.STOP, ANN, NOON), "110100", id="stop"),
    pytest.param(log_used(ANN, NOON), "110101", id="audit log used"),
    pytest.param(transfer(Kind.BEGIN_TRANSFERRING, SENDER, HERE, STUDY, NOON), "110102", id="begin"),
    pytest.param(accessed(ANN, [STUDY], NOON), "110103", id="accessed"),
    pytest.param(deleted(ANN, STUDY, NOON, is_whole=False), "110103", id="partly deleted"),
    pytest.param(transfer(Kind.INSTANCES_TRANSFERRED, SENDER, HERE, STUDY, NOON), "110104", id="transferred"),
    pytest.param(deleted(ANN, STUDY, NOON), "110105", id="study deleted"),
    pytest.param(queried(SENDER, FIND, NOON), "110112", id="query"),
    pytest.param(alarm(Act.NODE_AUTHENTICATION, SENDER, "refused", NOON), "110113", id="alert"),
    pytest.param(changed(Act.SOFTWARE_CONFIGURATION, ANN, "changed", NOON), "110113", id="configuration"),
    pytest.param(login(Act.LOGIN, ANN, NOON), "110114", id="login"),
    pytest.param(login(Act.LOGIN, ANN, NOON, Outcome.MINOR_FAILURE), "110114", id="wrong login"),
    pytest.param(login(Act.LOGOUT, ANN, NOON), "110114", id="logout"),
]  # fmt: skip

_CODE = {"csd-code": r"\S+", "codeSystemName": r"\S+", "originalText": r".+"}
_TRUTH = "true|false"
RULES: Mapping[str, tuple[Mapping[str, str], Mapping[str, str], str]] = {
    "AuditMessage": (
        {}, {},
        (
            "(EventIdentification )(ActiveParticipant )+(AuditSourceIdentification )"
            "(ParticipantObjectIdentification )*"
        ),
    ),
    "EventIdentification": (
        {"EventDateTime": r"\d{4}-\d\d-\d\dT.+", "EventOutcomeIndicator": "0|4|8|12"},
        {"EventActionCode": "[CRUDE]"},
        "EventID (EventTypeCode )*(EventOutcomeDescription )?",
    ),
    "ActiveParticipant": (
        {"UserID": ".+", "UserIsRequestor": _TRUTH},
        {"AlternativeUserID": "AETITLES=.+", "UserName": ".+", "NetworkAccessPointID": r"\S+",
         "NetworkAccessPointTypeCode": "[1-5]"},
        "(RoleIDCode )*(MediaIdentifier )?",
    ),
    "AuditSourceIdentification": (
        {"AuditSourceID": r"\S+"}, {"AuditEnterpriseSiteID": r"\S+"}, "(AuditSourceTypeCode )*",
    ),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID": ".+"},
        {"ParticipantObjectTypeCode": "[1-4]", "ParticipantObjectTypeCodeRole": "1?[0-9]|2[0-6]",
         "ParticipantObjectDataLifeCycle": "[0-9]+", "ParticipantObjectSensitivity": ".+"},
        (
            "ParticipantObjectIDTypeCode (ParticipantObjectName |ParticipantObjectQuery )?"
            "(ParticipantObjectDetail )*(ParticipantObjectDescription )*(MPPS )*(Accession )*"
            "(SOPClass )*(ParticipantObjectContainsStudy )?(Encrypted )?(Anonymized )?"
        ),
    ),
    "ParticipantObjectDetail": ({"type": ".+", "value": "[A-Za-z0-9+/=]+"}, {}, ""),
    "ParticipantObjectName": ({}, {}, ""),
    "ParticipantObjectQuery": ({}, {}, ""),
    "SOPClass": ({"NumberOfInstances": "[0-9]+"}, {"UID": "[0-9.]+"}, "(Instance )*"),
    **dict.fromkeys(
        ("EventID", "EventTypeCode", "RoleIDCode", "ParticipantObjectIDTypeCode"),
        (_CODE, {"displayName": ".+"}, ""),
    ),
}  # fmt: skip
"""Of each element: attributes that it must have, that it may have, and its children in order."""


def objections(element: ET.Element) -> list[str]:
    """Return what the schema has against an element."""
    must, may, order = RULES[element.tag]
    found = [f"{element.tag} has no {name}" for name in must if name not in element.attrib]
    for name, value in element.attrib.items():
        allowed = {**must, **may}.get(name)
        if allowed is None or re.fullmatch(allowed, value) is None:
            found.append(f"{element.tag} {name}={value!r}")
    children = "".join(f"{child.tag} " for child in element)
    if re.fullmatch(order, children) is None:
        found.append(f"{element.tag}: {children}")
    return found + [one for child in element for one in objections(child)]


@pytest.mark.parametrize(("happening", "code"), EVERY)
def test_a_message_is_as_the_schema_says(happening: Happening, code: str) -> None:
    """Element by element, attribute by attribute."""
    root = ET.fromstring(message(happening, SOURCE).text)
    assert objections(root) == []
    event = root.find("EventIdentification/EventID")
    assert event is not None
    assert event.get("csd-code") == code


def test_the_checks_can_fail() -> None:
    """A schema that lets everything pass would prove nothing."""
    root = ET.fromstring(message(log_used(ANN, NOON), SOURCE).text)
    root.append(root[0])
    root[1].set("UserIsRequestor", "perhaps")
    del root[2].attrib["AuditSourceID"]
    assert len(objections(root)) == 3


def test_a_transfer_has_one_source_one_destination_a_study_and_a_patient() -> None:
    """A.5.3.5; the node stands in it with its process, its AE title and its machine."""
    told = message(transfer(Kind.INSTANCES_TRANSFERRED, SENDER, HERE, STUDY, NOON), SOURCE)
    root = ET.fromstring(told.text)
    source, destination = root.findall("ActiveParticipant")
    assert source.attrib == {
        "UserID": "CT1", "AlternativeUserID": "AETITLES=CT1", "UserIsRequestor": "true",
        "NetworkAccessPointID": "192.0.2.1", "NetworkAccessPointTypeCode": "2",
    }  # fmt: skip
    assert destination.attrib == {
        "UserID": "42", "AlternativeUserID": "AETITLES=AI_NODE", "UserIsRequestor": "false",
        "NetworkAccessPointID": "ai.example", "NetworkAccessPointTypeCode": "1",
    }  # fmt: skip
    roles = [one.get("csd-code") for one in root.iterfind("ActiveParticipant/RoleIDCode")]
    assert roles == ["110153", "110152"]
    study, patient = root.findall("ParticipantObjectIdentification")
    assert study.get("ParticipantObjectID") == "1.2.3"
    assert [one.attrib for one in study.iter("SOPClass")] == [
        {"UID": CT, "NumberOfInstances": "100"}
    ]
    assert patient.get("ParticipantObjectID") == "P1"
    assert (patient.get("ParticipantObjectTypeCode"), patient[0].get("csd-code")) == ("1", "2")
    assert told.who == "CT1 192.0.2.1 AI_NODE"


def test_a_query_is_told_as_it_came() -> None:
    """Its bytes, its SOP class and its transfer syntax, A.5.3.10."""
    root = ET.fromstring(message(queried(SENDER, FIND, NOON), SOURCE).text)
    (told,) = root.findall("ParticipantObjectIdentification")
    assert base64.b64decode(told.findtext("ParticipantObjectQuery", "")) == b"\x08"
    (detail,) = told.iter("ParticipantObjectDetail")
    assert detail.get("type") == "TransferSyntax"
    assert base64.b64decode(detail.get("value", "")) == b"1.2"


def test_what_xml_cannot_hold_does_not_break_it() -> None:
    """A stranger chooses his AE title; a Patient ID may hold anything."""
    odd = Participant(name="A\x01<&\"'\ufffe", ae_title="\x1b]", part=Part.SOURCE)
    study = StudyTold(study_instance_uid="1.2", patient_id="\ud800\x00\n<x>")
    told = message(transfer(Kind.INSTANCES_TRANSFERRED, odd, HERE, study, NOON), SOURCE)
    root = ET.fromstring(told.text.encode())
    assert root[1].get("UserID") == "A\ufffd<&\"'\ufffd"
    assert root[-1].get("ParticipantObjectID") == "\ufffd\ufffd\n<x>"


def test_time_is_utc_and_has_its_zone() -> None:
    """So that repositories of several places can be read together."""
    root = ET.fromstring(message(log_used(ANN, NOON), SOURCE).text)
    at = datetime.fromisoformat(root[0].get("EventDateTime", ""))
    assert at == NOON
