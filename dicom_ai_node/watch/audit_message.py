"""Audit messages as XML, after the DICOM audit message schema of PS3.15 A.5.1.

Sections are numbered as in the edition of 2023b, whose schema is the one that is meant.
"""

import base64
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC
from ipaddress import ip_address
from types import MappingProxyType
from typing import NamedTuple
from xml.etree import ElementTree as ET

from dicom_ai_node.domain.audit import (
    Act,
    Asked,
    Happening,
    Kind,
    Message,
    Part,
    Participant,
    StudyTold,
)


class Coded(NamedTuple):
    """A code of PS3.16, as audit messages spell it."""

    value: str
    meaning: str
    scheme: str = "DCM"


EVENTS: Mapping[Kind, Coded] = MappingProxyType({
    Kind.APPLICATION_ACTIVITY: Coded("110100", "Application Activity"),
    Kind.AUDIT_LOG_USED: Coded("110101", "Audit Log Used"),
    Kind.BEGIN_TRANSFERRING: Coded("110102", "Begin Transferring DICOM Instances"),
    Kind.DATA_EXPORT: Coded("110106", "Export"),
    Kind.DATA_IMPORT: Coded("110107", "Import"),
    Kind.INSTANCES_ACCESSED: Coded("110103", "DICOM Instances Accessed"),
    Kind.INSTANCES_TRANSFERRED: Coded("110104", "DICOM Instances Transferred"),
    Kind.STUDY_DELETED: Coded("110105", "DICOM Study Deleted"),
    Kind.QUERY: Coded("110112", "Query"),
    Kind.SECURITY_ALERT: Coded("110113", "Security Alert"),
    Kind.USER_AUTHENTICATION: Coded("110114", "User Authentication"),
})  # fmt: skip
"""PS3.16 CID 400."""
ACTS: Mapping[Act, Coded] = MappingProxyType({
    Act.START: Coded("110120", "Application Start"),
    Act.STOP: Coded("110121", "Application Stop"),
    Act.LOGIN: Coded("110122", "Login"),
    Act.LOGOUT: Coded("110123", "Logout"),
    Act.NODE_AUTHENTICATION: Coded("110126", "Node Authentication"),
    Act.SOFTWARE_CONFIGURATION: Coded("110131", "Software Configuration"),
    Act.RESTRICTED_FUNCTION: Coded("110132", "Use of Restricted Function"),
    Act.SECURITY_ROLES: Coded("110136", "Security Roles Changed"),
    Act.USER_SECURITY: Coded("110137", "User Security Attributes Changed"),
})  # fmt: skip
"""PS3.16 CID 401."""
PARTS: Mapping[Part, Coded] = MappingProxyType({
    Part.APPLICATION: Coded("110150", "Application"),
    Part.LAUNCHER: Coded("110151", "Application Launcher"),
    Part.DESTINATION: Coded("110152", "Destination Role ID"),
    Part.SOURCE: Coded("110153", "Source Role ID"),
    Part.DESTINATION_MEDIA: Coded("110154", "Destination Media"),
    Part.SOURCE_MEDIA: Coded("110155", "Source Media"),
})  # fmt: skip
"""PS3.16 CID 402."""
_STUDY = Coded("110180", "Study Instance UID")
_SOP_CLASS = Coded("110181", "SOP Class UID")
_NODE_ID = Coded("110182", "Node ID")
_MEDIA_URI = Coded("110037", "URI")
"""PS3.16 CID 405: the medium is whatever lies where its URI says."""
_PATIENT = Coded("2", "Patient Number", "RFC-3881")
_URI = Coded("12", "URI", "RFC-3881")
_PERSON_OBJECT, _SYSTEM_OBJECT = "1", "2"
_IS_PATIENT, _IS_REPORT, _IS_MASTER_FILE, _IS_SECURITY_RESOURCE = "1", "3", "5", "13"
UNKNOWN = "<none>"
"""What stands for a patient or a study of which nothing is known, as other archives write it."""
_OF_PATIENTS = frozenset({
    Kind.BEGIN_TRANSFERRING, Kind.DATA_EXPORT, Kind.DATA_IMPORT, Kind.INSTANCES_ACCESSED,
    Kind.INSTANCES_TRANSFERRED, Kind.STUDY_DELETED,
})  # fmt: skip
"""Kinds that name at least one patient, whoever that is."""
_NO_NAME = ("ParticipantObjectName", "")
"""The schema asks for a name; the only ones that could stand there are those of patients."""
LOG_URI = "urn:dicom-ai-node:audit"

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who tells: the node as it stands in every message."""

    ae_title: str
    host: str
    process: str = ""

    @classmethod
    def here(cls, ae_title: str, host: str) -> "Source":
        """Return this process as the source."""
        return cls(ae_title=ae_title, host=host, process=str(os.getpid()))


def message(happening: Happening, source: Source) -> Message:
    """Return what is said about something that has happened, as it is kept and sent."""
    root = ET.Element("AuditMessage")
    _event(root, happening)
    for one in happening.participants:
        _participant(root, _placed(one, happening.kind, source), source)
    ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=source.ae_title)
    _objects(root, happening, source)
    for element in root.iter():
        for name, value in element.items():
            element.set(name, _NOT_IN_XML.sub("\ufffd", value))
    return Message(
        at=happening.at,
        kind=happening.kind,
        outcome=happening.outcome,
        who=" ".join(dict.fromkeys(_names(happening, source))),
        text=ET.tostring(root, encoding="unicode"),
    )


def _names(happening: Happening, source: Source) -> Iterator[str]:
    for one in happening.participants:
        for said in (one.name or source.ae_title, one.address):
            if said:
                yield _NOT_IN_XML.sub("\ufffd", said)


def _event(root: ET.Element, happening: Happening) -> None:
    event = ET.SubElement(
        root,
        "EventIdentification",
        EventActionCode=happening.action,
        EventDateTime=happening.at.astimezone(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator=str(int(happening.outcome)),
    )
    _coded(event, "EventID", EVENTS[happening.kind])
    if happening.act is not None:
        _coded(event, "EventTypeCode", ACTS[happening.act])
    if happening.remark:
        remark = _NOT_IN_XML.sub("\ufffd", happening.remark)
        ET.SubElement(event, "EventOutcomeDescription").text = remark


def _placed(one: Participant, kind: Kind, source: Source) -> Participant:
    """Return a participant with an address: who logs in has one, A.5.3.12, if need be ours."""
    is_without = kind is Kind.USER_AUTHENTICATION and bool(one.name) and not one.address
    return replace(one, address=source.host) if is_without else one


def _participant(root: ET.Element, one: Participant, source: Source) -> None:
    name, ae_title, address = one.name, one.ae_title, one.address
    is_here = not name and not ae_title and not address
    if is_here:
        name, ae_title, address = source.process, source.ae_title, source.host
    elif one.has_account and name:
        name = f"{name}@{source.host}"  # A.5.2.1
    element = ET.SubElement(root, "ActiveParticipant", UserID=name or ae_title or address)
    if ae_title:
        element.set("AlternativeUserID", f"AETITLES={ae_title}")
    element.set("UserIsRequestor", "true" if one.is_requestor else "false")
    if address:
        element.set("NetworkAccessPointID", address)
        element.set("NetworkAccessPointTypeCode", "2" if _is_ip(address) else "1")
    if one.part is not Part.NONE:
        _coded(element, "RoleIDCode", PARTS[one.part])
    if one.part in {Part.DESTINATION_MEDIA, Part.SOURCE_MEDIA}:
        medium = ET.SubElement(element, "MediaIdentifier")
        _coded(medium, "MediaType", _MEDIA_URI)


def _objects(root: ET.Element, happening: Happening, source: Source) -> None:
    for study in happening.studies or _nothing_known(happening.kind):
        _study(root, study)
    if happening.kind in _OF_PATIENTS:
        patients = dict.fromkeys(study.patient_id for study in happening.studies) or {"": None}
        for patient in patients:
            _object(root, patient.strip() or UNKNOWN, _PATIENT, _PERSON_OBJECT, _IS_PATIENT)
    if happening.asked is not None:
        _query(root, happening.asked)
    if happening.kind is Kind.AUDIT_LOG_USED:
        named = ("ParticipantObjectName", "Security Audit Log")
        _object(root, LOG_URI, _URI, _SYSTEM_OBJECT, _IS_SECURITY_RESOURCE, named)
    if happening.alert:
        node = f"{source.ae_title}@{source.host}"
        subject = _object(root, node, _NODE_ID, _SYSTEM_OBJECT, _IS_MASTER_FILE)
        _detail(subject, "Alert Description", happening.alert)


def _nothing_known(kind: Kind) -> tuple[StudyTold, ...]:
    """Return what stands for the study of which something was seen, but not which study it is."""
    is_of_a_study = kind in _OF_PATIENTS - {Kind.DATA_EXPORT, Kind.DATA_IMPORT}
    return (StudyTold(study_instance_uid=UNKNOWN),) if is_of_a_study else ()


def _study(root: ET.Element, study: StudyTold) -> None:
    told = _object(root, study.study_instance_uid, _STUDY, _SYSTEM_OBJECT, _IS_REPORT)
    if study.sop_classes:
        described = ET.SubElement(told, "ParticipantObjectDescription")
        for uid, count in study.sop_classes.items():
            ET.SubElement(described, "SOPClass", UID=uid, NumberOfInstances=str(count))


def _query(root: ET.Element, asked: Asked) -> None:
    code = _SOP_CLASS if asked.sop_class_uid else _URI
    name = asked.sop_class_uid or asked.address
    said = ("ParticipantObjectQuery", base64.b64encode(asked.query).decode())
    told = _object(root, name, code, _SYSTEM_OBJECT, _IS_REPORT, said)
    if asked.transfer_syntax_uid:
        _detail(told, "TransferSyntax", asked.transfer_syntax_uid)


def _object(
    root: ET.Element, name: str, code: Coded, kind: str, role: str,
    said: tuple[str, str] = _NO_NAME,
) -> ET.Element:  # fmt: skip
    """Add an object with its name or the query for it, an element and its text, and return it."""
    element = ET.SubElement(
        root,
        "ParticipantObjectIdentification",
        ParticipantObjectID=name,
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    _coded(element, "ParticipantObjectIDTypeCode", code)
    element_name, text = said
    ET.SubElement(element, element_name).text = text
    return element


def _detail(parent: ET.Element, name: str, value: str) -> None:
    encoded = base64.b64encode(value.encode(errors="replace")).decode()
    ET.SubElement(parent, "ParticipantObjectDetail", type=name, value=encoded)


def _coded(parent: ET.Element, name: str, code: Coded) -> None:
    ET.SubElement(
        parent,
        name,
        {
            "csd-code": code.value,
            "codeSystemName": code.scheme,
            "originalText": code.meaning,
        },
    )


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True
