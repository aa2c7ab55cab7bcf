"""Every kind of audit message is as PS3.15 A.5.1 says, and has what A.5.3 wants of it."""

import base64
from dataclasses import replace
from datetime import datetime
from xml.etree import ElementTree as ET

import pytest

from dicom_ai_node.domain.audit import (
    THE_NODE,
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
    exported,
    imported,
    log_used,
    login,
    queried,
    transfer,
)
from dicom_ai_node.watch.audit_message import Source, message
from tests.store.made import NOON
from tests.watch.audit_schema import TABLES, objections

SOURCE = Source(ae_title="AI_NODE", host="ai.example", process="42")
ANN = Actor(name="ann", address="192.0.2.7")
CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY = StudyTold(study_instance_uid="1.2.3", sop_classes={CT: 100}, patient_id="P1")
SENDER = Participant(
    name="CT1", ae_title="CT1", address="192.0.2.1", part=Part.SOURCE, is_requestor=True
)
OTHER = StudyTold(study_instance_uid="1.2.4", sop_classes={CT: 1, "1.2": 2}, patient_id="P2")
MEDIA = "file:///mnt/safe/node.tar"
TAKER = Participant(name="PACS", ae_title="PACS", address="192.0.2.3", part=Part.DESTINATION)
LIST = Asked(address="/dicom-web/studies", query=b"PatientID=B-2")
HERE = Participant(part=Part.DESTINATION)
FIND = Asked(sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1", transfer_syntax_uid="1.2", query=b"\x08")
EVERY = [
    pytest.param(application(Act.START, ANN, NOON), "110100", id="start"),
    pytest.param(application(Act.STOP, ANN, NOON), "110100", id="stop"),
    pytest.param(log_used(ANN, NOON), "110101", id="audit log used"),
    pytest.param(transfer(Kind.BEGIN_TRANSFERRING, SENDER, HERE, STUDY, NOON), "110102", id="begin"),
    pytest.param(exported(ANN, MEDIA, [STUDY], NOON), "110106", id="export"),
    pytest.param(imported(ANN, MEDIA, [STUDY], NOON), "110107", id="import"),
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

HOSTILE = "A\x01<&\"'\ufffe]]>\n\u202e\U0001f9e0 \ud800"
NOBODY = Actor(address="192.0.2.7")
VARIANTS = [
    pytest.param(accessed(ANN, [], NOON), id="a file of an unknown study is looked at"),
    pytest.param(accessed(NOBODY, [StudyTold(study_instance_uid="1.2")], NOON), id="by nobody known"),
    pytest.param(accessed(ANN, [replace(STUDY, patient_id="  ")], NOON), id="a patient of blanks"),
    pytest.param(deleted(THE_NODE, STUDY, NOON), id="retention"),
    pytest.param(exported(ANN, MEDIA, [], NOON), id="a node without studies leaves"),
    pytest.param(exported(ANN, MEDIA, [STUDY, OTHER], NOON), id="several patients leave"),
    pytest.param(exported(ANN, MEDIA, [STUDY], NOON, "no room"), id="a backup that failed"),
    pytest.param(imported(ANN, MEDIA, [], NOON), id="a node without studies comes"),
    pytest.param(imported(ANN, MEDIA, [STUDY, OTHER], NOON), id="several patients come"),
    pytest.param(queried(ANN.participant(), LIST, NOON), id="a list in the browser"),
    pytest.param(queried(NOBODY.participant(), LIST, NOON), id="a list for nobody known"),
    pytest.param(login(Act.LOGIN, Actor(name="ann"), NOON), id="a login from no address"),
    pytest.param(login(Act.LOGIN, Actor(address="192.0.2.7"), NOON), id="a login without a name"),
    pytest.param(alarm(Act.NODE_AUTHENTICATION, Participant(name="unknown"), "no", NOON), id="by somebody"),
    pytest.param(
        transfer(Kind.INSTANCES_TRANSFERRED, SENDER, HERE, StudyTold(study_instance_uid="1.2"), NOON),
        id="of an unknown patient",
    ),
    pytest.param(
        replace(
            transfer(Kind.BEGIN_TRANSFERRING, Participant(part=Part.SOURCE), TAKER, STUDY, NOON),
            participants=(Participant(part=Part.SOURCE), TAKER, replace(SENDER, part=Part.NONE)),
        ),
        id="moved on somebody's behalf",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("happening", "code"), EVERY)
def test_a_message_is_as_the_standard_says(happening: Happening, code: str) -> None:
    """Its grammar, PS3.15 A.5.1, and its table, A.5.3.

    Also where a name or a remark is whatever a stranger has made of it.
    """
    assert TABLES[happening.kind].event == code
    assert objections(message(happening, SOURCE).text, happening.kind) == []
    odd = replace(
        happening,
        participants=tuple(_made_odd(one) for one in happening.participants),
        studies=tuple(replace(one, patient_id=HOSTILE) for one in happening.studies),
        alert=HOSTILE if happening.alert else "",
        remark=HOSTILE,
    )
    assert objections(message(odd, SOURCE).text, happening.kind) == []


@pytest.mark.parametrize("happening", VARIANTS)
def test_what_is_not_known_is_left_out_as_the_standard_says(happening: Happening) -> None:
    """An optional part that is missing leaves no mandatory one out."""
    assert objections(message(happening, SOURCE).text, happening.kind) == []


def test_every_kind_is_held_to_its_table() -> None:
    """A kind that somebody adds needs a table, and a message in the tests."""
    assert {one.values[0].kind for one in EVERY} == set(Kind) == set(TABLES)  # type: ignore[union-attr]


def _made_odd(one: Participant) -> Participant:
    return replace(one, name=HOSTILE) if one.name else one


SENT = message(transfer(Kind.INSTANCES_TRANSFERRED, SENDER, HERE, STUDY, NOON), SOURCE).text
LEFT = message(exported(ANN, MEDIA, [STUDY], NOON), SOURCE).text
WARNED = message(alarm(Act.NODE_AUTHENTICATION, SENDER, "refused", NOON), SOURCE).text
ASKED = message(queried(SENDER, FIND, NOON), SOURCE).text


@pytest.mark.parametrize(
    ("text", "kind", "was", "becomes", "objection"),
    [
        pytest.param(SENT, Kind.INSTANCES_TRANSFERRED, *each, id=each[-1])
        for each in (
            (' UserIsRequestor="true"', ' UserIsRequestor="perhaps"', "UserIsRequestor='perhaps'"),
            (' UserIsRequestor="true"', "", "ActiveParticipant has no UserIsRequestor"),
            (' AuditSourceID="AI_NODE"', "", "AuditSourceIdentification has no AuditSourceID"),
            (' NumberOfInstances="100"', "", "SOPClass has no NumberOfInstances"),
            ('"100"', '"many"', "NumberOfInstances='many'"),
            ("<ParticipantObjectName />", "", "ParticipantObjectIdentification: "),
            ("<ParticipantObjectDescription>", "<SOPClass NumberOfInstances='1'>", "SOPClass: SOPClass"),
            ("T12:00:00.000+00:00", " 12:00", "EventDateTime="),
            (' originalText="Study Instance UID"', "", "has no originalText"),
            ('csd-code="110180"', 'code="110180"', "has no csd-code"),
            ("</AuditMessage>", "P1</AuditMessage>", "AuditMessage says 'P1'"),
            ("Source Role ID", "Source", "RoleIDCode: ('110153', 'Source') is not in CID 402"),
            ('csd-code="110153"', 'csd-code="110150"', "1 participants 110150"),
            ('csd-code="110152"', 'csd-code="110153"', "0 participants 110152"),
            ('EventActionCode="R"', 'EventActionCode="D"', "the action is D"),
            ('ObjectID="P1"', 'ObjectID=" "', "an object 2 has no identifier"),
            ('ObjectTypeCodeRole="1"', 'ObjectTypeCodeRole="3"', "an object 2 is a ('1', '3')"),
            ('UserID="CT1"', 'UserID=""', "a participant has no UserID"),
        )
    ]
    + [
        pytest.param(LEFT, Kind.DATA_EXPORT, *each, id=each[-1])
        for each in (
            ('UserIsRequestor="true"', 'UserIsRequestor="false"', "one has asked for it"),
            ("<MediaIdentifier>", "<MediaIdentifier><MediaType />", "MediaIdentifier: "),
            ('csd-code="110154"', 'csd-code="110152"', "a medium is a participant of its own"),
            ("110106", "110107", "the event is"),
        )
    ]
    + [
        pytest.param(WARNED, Kind.SECURITY_ALERT, "AI_NODE@", "", "node_name@domain_name", id="node"),
        pytest.param(WARNED, Kind.SECURITY_ALERT, "Alert Desc", "Desc", "no description", id="alert"),
        pytest.param(WARNED, Kind.SECURITY_ALERT, "110126", "110120", "event types", id="alert type"),
        pytest.param(ASKED, Kind.QUERY, "ObjectQuery", "ObjectName", "without a query", id="query"),
        pytest.param(ASKED, Kind.QUERY, "TransferSyntax", "x", "has a transfer syntax", id="syntax"),
    ],
)  # fmt: skip
def test_the_check_can_fail(text: str, kind: Kind, was: str, becomes: str, objection: str) -> None:
    """A standard that lets everything pass would prove nothing."""
    assert was in text
    broken = text.replace(was, becomes)
    if broken.count("<SOPClass NumberOfInstances='1'>"):
        broken = broken.replace("</ParticipantObjectDescription>", "</SOPClass>")
    assert any(objection in one for one in objections(broken, kind)), objections(broken, kind)


def test_what_leaves_says_who_has_taken_it_and_where_to() -> None:
    """A.5.3.4: the account of the machine, the node, and the medium by its URI."""
    root = ET.fromstring(LEFT)
    people = root.findall("ActiveParticipant")
    assert [one.get("UserID") for one in people] == ["ann@ai.example", "42", MEDIA]
    assert [one.find("RoleIDCode").get("csd-code") for one in people] == [  # type: ignore[union-attr]
        "110153", "110153", "110154",
    ]  # fmt: skip
    failed = message(exported(ANN, MEDIA, [STUDY], NOON, "no room"), SOURCE)
    assert failed.outcome is Outcome.SERIOUS_FAILURE
    assert ET.fromstring(failed.text).findtext(".//EventOutcomeDescription") == "no room"


def test_a_transfer_has_one_source_one_destination_a_study_and_a_patient() -> None:
    """A.5.3.7; the node stands in it with its process, its AE title and its machine."""
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
