"""What PS3.15 says of an audit message, in our own words, and a reader that holds one to it.

`GRAMMAR` states what the RELAX NG schema of A.5.1.1 (edition 2023b) allows; `TABLES` what A.5.3 asks
for of each kind of message, as far as it is mandatory. Up to 2011 what a study consists of stood in
the object itself; since then it stands in a `ParticipantObjectDescription`. Codes are compared with
the context groups of PS3.16 that pydicom carries.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from xml.etree import ElementTree as ET

from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

from dicom_ai_node.domain.audit import Kind

_ANY = r"(?s).*"
_TRUTH = "true|false|1|0"
_WHOLE = r"[+-]?\d+"
_BASE64 = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_MOMENT = (
    r"-?\d{4,}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?"
)
_UP_TO = {limit: "|".join(map(str, range(1, limit + 1))) for limit in (4, 5, 15, 26)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One element: attributes that it must and may have, its children in order, its text."""

    must: Mapping[str, str] = field(default_factory=dict)
    may: Mapping[str, str] = field(default_factory=dict)
    order: str = ""
    text: str = r"\s*"


_CODE = Rule(
    must={"csd-code": _ANY, "codeSystemName": _ANY, "originalText": _ANY},
    may={"displayName": _ANY},
)
_HAS_UID = Rule(must={"UID": _ANY})
_BOOLEAN = Rule(text=rf"\s*(?:{_TRUTH})\s*")
GRAMMAR: Mapping[str, Rule] = {
    "AuditMessage": Rule(
        order="EventIdentification (ActiveParticipant )+AuditSourceIdentification "
        "(ParticipantObjectIdentification )*"
    ),
    "EventIdentification": Rule(
        must={"EventDateTime": _MOMENT, "EventOutcomeIndicator": "0|4|8|12"},
        may={"EventActionCode": "[CRUDE]"},
        order="EventID (EventTypeCode )*(EventOutcomeDescription )?",
    ),
    "EventOutcomeDescription": Rule(text=_ANY),
    "ActiveParticipant": Rule(
        must={"UserID": _ANY, "UserIsRequestor": _TRUTH},
        may={
            "AlternativeUserID": _ANY,
            "UserName": _ANY,
            "NetworkAccessPointID": _ANY,
            "NetworkAccessPointTypeCode": _UP_TO[5],
        },
        order="(RoleIDCode )*(MediaIdentifier )?",
    ),
    "MediaIdentifier": Rule(order="MediaType "),
    "AuditSourceIdentification": Rule(
        must={"AuditSourceID": _ANY},
        may={"AuditEnterpriseSiteID": _ANY},
        order="(AuditSourceTypeCode )*",
    ),
    "AuditSourceTypeCode": Rule(must={"csd-code": _ANY}, may={**_CODE.must, **_CODE.may}),
    "ParticipantObjectIdentification": Rule(
        must={"ParticipantObjectID": _ANY},
        may={
            "ParticipantObjectTypeCode": _UP_TO[4],
            "ParticipantObjectTypeCodeRole": _UP_TO[26],
            "ParticipantObjectDataLifeCycle": _UP_TO[15],
            "ParticipantObjectSensitivity": _ANY,
        },
        order="ParticipantObjectIDTypeCode (ParticipantObjectName |ParticipantObjectQuery )"
        "(ParticipantObjectDetail )*(ParticipantObjectDescription )*",
    ),
    "ParticipantObjectName": Rule(text=_ANY),
    "ParticipantObjectQuery": Rule(text=_BASE64),
    "ParticipantObjectDetail": Rule(must={"type": _ANY, "value": _BASE64}),
    "ParticipantObjectDescription": Rule(
        order="(MPPS )*(Accession )*(SOPClass )*(ParticipantObjectContainsStudy )?"
        "(Encrypted )?(Anonymized )?"
    ),
    "MPPS": _HAS_UID,
    "Accession": Rule(must={"Number": _ANY}),
    "SOPClass": Rule(must={"NumberOfInstances": _WHOLE}, may={"UID": _ANY}, order="(Instance )*"),
    "Instance": _HAS_UID,
    "ParticipantObjectContainsStudy": Rule(order="(StudyIDs )*"),
    "StudyIDs": _HAS_UID,
    "Encrypted": _BOOLEAN,
    "Anonymized": _BOOLEAN,
    **dict.fromkeys(
        ("EventID", "EventTypeCode", "RoleIDCode", "MediaType", "ParticipantObjectIDTypeCode"),
        _CODE,
    ),
}
"""PS3.15 A.5.1.1."""

STUDY, PATIENT, SOP_CLASS, NODE_ID = "110180", "2", "110181", "110182"
_ALERTS = "1101(2[6-9]|3[0-9]|4[0-7])"
_LEAST_ONE, _ONE, _ONE_OR_TWO, _ANY_NUMBER = (1, 999), (1, 1), (1, 2), (0, 999)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What A.5.3 has to say of one kind.

    Attributes
    ----------
    roles
        How many participants there are in each role; the empty one is for those without.
    objects
        How many objects there are of each kind of identifier.
    """

    event: str
    action: str
    acts: str = ""
    roles: Mapping[str, tuple[int, int]]
    objects: Mapping[str, tuple[int, int]] = field(default_factory=dict)


_ONE_PATIENT = {STUDY: _LEAST_ONE, PATIENT: _ONE}
_BETWEEN_TWO = {"110153": _ONE, "110152": _ONE, "": _ANY_NUMBER}
_PATIENTS = {STUDY: _ANY_NUMBER, PATIENT: _LEAST_ONE}
TABLES: Mapping[Kind, Table] = {
    Kind.APPLICATION_ACTIVITY: Table(
        event="110100", action="E", acts="11012[01]",
        roles={"110150": _ONE, "110151": _ANY_NUMBER},
    ),
    Kind.AUDIT_LOG_USED: Table(
        event="110101", action="R", roles={"": _ONE_OR_TWO}, objects={"12": _ONE}
    ),
    Kind.BEGIN_TRANSFERRING: Table(
        event="110102", action="E", roles=_BETWEEN_TWO, objects=_ONE_PATIENT
    ),
    Kind.DATA_EXPORT: Table(
        event="110106", action="R",
        roles={"110152": _ANY_NUMBER, "110153": _ONE_OR_TWO, "110154": _ONE}, objects=_PATIENTS,
    ),
    Kind.DATA_IMPORT: Table(
        event="110107", action="C",
        roles={"110152": _LEAST_ONE, "110153": _ANY_NUMBER, "110155": _ONE}, objects=_PATIENTS,
    ),
    Kind.INSTANCES_ACCESSED: Table(
        event="110103", action="[CRUD]", roles={"": _ONE_OR_TWO}, objects=_ONE_PATIENT
    ),
    Kind.INSTANCES_TRANSFERRED: Table(
        event="110104", action="[CRU]", roles=_BETWEEN_TWO, objects=_ONE_PATIENT
    ),
    Kind.STUDY_DELETED: Table(
        event="110105", action="D", roles={"": _ONE_OR_TWO}, objects=_ONE_PATIENT
    ),
    Kind.QUERY: Table(
        event="110112", action="E", roles=_BETWEEN_TWO,
        objects={SOP_CLASS: (0, 1), "12": (0, 1)},
    ),
    Kind.SECURITY_ALERT: Table(
        event="110113", action="E", acts=_ALERTS, roles={"": _LEAST_ONE, "110153": _ANY_NUMBER},
        objects={NODE_ID: _ANY_NUMBER},
    ),
    Kind.USER_AUTHENTICATION: Table(
        event="110114", action="E", acts="11012[23]", roles={"": _ONE_OR_TWO}
    ),
}  # fmt: skip
"""PS3.15 A.5.3.1 to A.5.3.12."""
_OF_OBJECT = {STUDY: ("2", "3"), PATIENT: ("1", "1"), SOP_CLASS: ("2", "3"), NODE_ID: ("2", "5")}
"""Participant Object Type Code and Role of each kind of identifier, where the tables fix them."""
_GROUPS = {"EventID": 400, "EventTypeCode": 401, "RoleIDCode": 402, "MediaType": 405,
           "ParticipantObjectIDTypeCode": 404}  # fmt: skip
_RFC_3881 = {("2", "Patient Number"), ("12", "URI")}


def objections(text: str, kind: Kind) -> list[str]:
    """Return what PS3.15 has against a message: its grammar first, then its table and codes."""
    root = ET.fromstring(text)
    found = list(_grammar(root))
    more = _MORE.get(kind, lambda _: iter(()))
    return found or [*_table(root, TABLES[kind]), *more(root), *_codes(root)]


def _grammar(element: ET.Element) -> Iterator[str]:
    rule = GRAMMAR.get(element.tag)
    if rule is None:
        yield f"there is no element {element.tag}"
        return
    allowed = {**rule.must, **rule.may}
    yield from (f"{element.tag} has no {name}" for name in rule.must if name not in element.attrib)
    for name, value in element.attrib.items():
        # A token is what is left when white space around it has gone.
        if name not in allowed or re.fullmatch(allowed[name], value.strip()) is None:
            yield f"{element.tag} {name}={value!r}"
    children = "".join(f"{child.tag} " for child in element)
    if re.fullmatch(rule.order, children) is None:
        yield f"{element.tag}: {children}"
    said = (element.text or "") + "".join(child.tail or "" for child in element)
    if re.fullmatch(rule.text, said) is None:
        yield f"{element.tag} says {said!r}"
    for child in element:
        yield from _grammar(child)


def _table(root: ET.Element, table: Table) -> Iterator[str]:
    event = root[0]
    if event[0].get("csd-code") != table.event:
        yield f"the event is {event[0].attrib}"
    if re.fullmatch(table.action, event.get("EventActionCode", "")) is None:
        yield f"the action is {event.get('EventActionCode')}"
    acts = [one.get("csd-code", "") for one in event.findall("EventTypeCode")]
    if re.fullmatch(table.acts, " ".join(acts)) is None:
        yield f"the event types are {acts}"
    roles = [_code(one, "RoleIDCode") for one in root.findall("ActiveParticipant")]
    yield from _counted("participants", roles, table.roles)
    objects = root.findall("ParticipantObjectIdentification")
    kinds = [_code(one, "ParticipantObjectIDTypeCode") for one in objects]
    yield from _counted("objects", kinds, table.objects)
    for one in root.findall("ActiveParticipant"):
        yield from _participant(one)
    for one in objects:
        yield from _object(one)


def _participant(one: ET.Element) -> Iterator[str]:
    if not one.get("UserID", "").strip():
        yield "a participant has no UserID"
    if ("NetworkAccessPointID" in one.attrib) != ("NetworkAccessPointTypeCode" in one.attrib):
        yield "half a network access point"
    is_medium = _code(one, "RoleIDCode") in {"110154", "110155"}
    if is_medium != (one.find("MediaIdentifier") is not None):
        yield "a medium is a participant of its own"


def _object(one: ET.Element) -> Iterator[str]:
    kind = _code(one, "ParticipantObjectIDTypeCode")
    said = (one.get("ParticipantObjectTypeCode"), one.get("ParticipantObjectTypeCodeRole"))
    if said != _OF_OBJECT.get(kind, said):
        yield f"an object {kind} is a {said}"
    if not one.get("ParticipantObjectID", "").strip():
        yield f"an object {kind} has no identifier"


def _one_has_asked(root: ET.Element) -> Iterator[str]:
    asking = [one.get("UserIsRequestor") for one in root.findall("ActiveParticipant")]
    if asking.count("true") != 1 or asking[-1] == "true":
        yield f"one has asked for it, and not the medium: {asking}"


def _is_described(root: ET.Element) -> Iterator[str]:
    asking = [one.get("UserIsRequestor") for one in root.findall("ActiveParticipant")]
    if asking != ["true", *["false"] * (len(asking) - 1)]:
        yield f"who reports and who has done it: {asking}"
    for one in root.iter("ParticipantObjectIdentification"):
        if "@" not in one.get("ParticipantObjectID", ""):
            yield "a node is node_name@domain_name"
        if [it.get("type") for it in one.iter("ParticipantObjectDetail")] != ["Alert Description"]:
            yield "an alert has no description"


def _comes_from_somewhere(root: ET.Element) -> Iterator[str]:
    if "NetworkAccessPointID" not in root.findall("ActiveParticipant")[0].attrib:
        yield "who logs in comes from somewhere"


def _asks(root: ET.Element) -> Iterator[str]:
    asked = root.findall("ParticipantObjectIdentification")
    if [one.find("ParticipantObjectQuery") is None for one in asked] != [False]:
        yield "a query without a query"
    details = [one.get("type") for one in root.iter("ParticipantObjectDetail")]
    is_of_a_class = _code(asked[0], "ParticipantObjectIDTypeCode") == SOP_CLASS
    if is_of_a_class and details != ["TransferSyntax"]:
        yield "a query of a SOP class has a transfer syntax"


def _is_called(root: ET.Element) -> Iterator[str]:
    if root.findtext(".//ParticipantObjectName") != "Security Audit Log":
        yield "the log has a name"


_MORE: Mapping[Kind, Callable[[ET.Element], Iterator[str]]] = {
    Kind.DATA_EXPORT: _one_has_asked,
    Kind.DATA_IMPORT: _one_has_asked,
    Kind.SECURITY_ALERT: _is_described,
    Kind.USER_AUTHENTICATION: _comes_from_somewhere,
    Kind.QUERY: _asks,
    Kind.AUDIT_LOG_USED: _is_called,
}
"""What single fields of the tables say in a sentence."""


def _counted(what: str, found: list[str], wanted: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    for one in {*found, *wanted}:
        least, most = wanted.get(one, (0, 0))
        if not least <= found.count(one) <= most:
            yield f"{found.count(one)} {what} {one or 'without a role'}"


def _codes(root: ET.Element) -> Iterator[str]:
    for element in root.iter():
        group = _GROUPS.get(element.tag)
        said = (element.get("csd-code", ""), element.get("originalText", ""))
        scheme = element.get("codeSystemName")
        if group is not None and said not in (_group(group) if scheme == "DCM" else _RFC_3881):
            yield f"{element.tag}: {said} is not in CID {group}"


@cache
def _group(number: int) -> frozenset[tuple[str, str]]:
    return frozenset(
        (value, meaning)
        for keyword in cid_concepts[number]["DCM"]
        for value, (meaning, *_) in concepts["DCM"][keyword].items()
    )


def _code(element: ET.Element, name: str) -> str:
    return " ".join(str(one.get("csd-code")) for one in element.findall(name))
