"""Whether a destination finds what it was sent: by C-FIND, PS3.4 C.4.1, or QIDO-RS, PS3.18 10.6."""

import json
from collections.abc import Callable, Mapping, Sequence

import httpx
import structlog
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.association import Association

from dicom_ai_node.deliver.convert import PLAIN
from dicom_ai_node.deliver.dimse import DimseSender
from dicom_ai_node.deliver.judge import judge_http
from dicom_ai_node.deliver.reactor import let_reactor_wake
from dicom_ai_node.deliver.web import WebSender
from dicom_ai_node.domain.commitment import Failure
from dicom_ai_node.domain.errors import OutOfResources, PeerRejected, PeerUnavailable
from dicom_ai_node.domain.json_model import text
from dicom_ai_node.domain.proof import Report, Unproven
from dicom_ai_node.domain.uids import SeriesInstanceUID, SOPInstanceUID, StudyInstanceUID

log = structlog.get_logger()

_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
"""Study Root Query/Retrieve Information Model - FIND."""
_SUCCESS = 0x0000
_PENDING = frozenset({0xFF00, 0xFF01})
_NOT_NOW = frozenset({0xA7, *range(0xC0, 0xD0)})
"""Out of resources and unable to process, PS3.4 Table C.4-1: the first byte of a status."""
_FOUND, _NO_CONTENT, _NOT_FOUND = 200, 204, 404
_NO = "the operator of the destination: allow this node to query it"


class FindProver:
    """Asks an application entity by C-FIND; implements `domain.proof.Prover`."""

    def __init__(self, sender: DimseSender, name: str, hear: Callable[[Report], bool]) -> None:
        self._sender = sender
        self._name = name
        self._hear = hear

    def ask(self, transaction_uid: str, unproven: Sequence[Unproven]) -> None:
        """Look for the objects, one series after the other."""
        wanted: dict[SeriesInstanceUID, StudyInstanceUID] = {
            one.series_instance_uid: one.study_instance_uid for one in unproven
        }
        found: set[str] = set()
        with self._sender.associate([build_context(_FIND, list(PLAIN))]) as association:
            for series, study in wanted.items():
                found |= self._found(association, study, series)
        self._hear(_report(transaction_uid, unproven, found))

    def _found(
        self, association: Association, study: StudyInstanceUID, series: SeriesInstanceUID
    ) -> set[str]:
        asked = Dataset()
        asked.QueryRetrieveLevel = "IMAGE"
        asked.StudyInstanceUID, asked.SeriesInstanceUID, asked.SOPInstanceUID = study, series, ""
        found: set[str] = set()
        let_reactor_wake(association)
        try:
            for status, answer in association.send_c_find(asked, _FIND):
                said = status.get("Status")
                if said in _PENDING:
                    found.add(_named(answer))
                elif said is None:
                    raise PeerUnavailable(f"{self._name} broke off before it answered")
                elif said >> 8 in _NOT_NOW:
                    raise OutOfResources(f"{self._name} answered 0x{said:04X} to a C-FIND")
                elif said != _SUCCESS:
                    raise PeerRejected(f"{self._name} answered 0x{said:04X} to a C-FIND; {_NO}")
        except RuntimeError as cause:  # pynetdicom: the association is gone
            raise PeerUnavailable(f"{self._name} broke off before it was asked") from cause
        return found


class QidoProver:
    """Asks a DICOMweb service by QIDO-RS; implements `domain.proof.Prover`."""

    def __init__(
        self, sender: WebSender, url: str, name: str, hear: Callable[[Report], bool]
    ) -> None:
        self._sender = sender
        self._url = url.rstrip("/")
        self._name = name
        self._hear = hear

    def ask(self, transaction_uid: str, unproven: Sequence[Unproven]) -> None:
        """Look for the objects, one after the other."""
        try:
            with self._sender.client() as client:
                found = {one.sop_instance_uid for one in unproven if self._has(client, one)}
        except httpx.HTTPError as cause:
            raise PeerUnavailable(
                f"{self._name} does not answer ({type(cause).__name__})"
            ) from cause
        self._hear(_report(transaction_uid, unproven, found))

    def _has(self, client: httpx.Client, one: Unproven) -> bool:
        where = f"/studies/{one.study_instance_uid}/series/{one.series_instance_uid}/instances"
        asked = {"SOPInstanceUID": one.sop_instance_uid}
        answer = client.get(self._url + where, params=asked)
        if answer.status_code in {_NO_CONTENT, _NOT_FOUND}:
            return False
        if answer.status_code != _FOUND:
            raise judge_http(answer.status_code, self._name)
        try:
            said = json.loads(answer.content)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, list):
            raise PeerRejected(f"{self._name} answers no QIDO-RS at its `url`; {_NO}")
        return any(
            isinstance(each, Mapping) and _uid(each) == one.sop_instance_uid for each in said
        )


def _named(answer: Dataset | None) -> str:
    """Return which object an answer names; none if that cannot be read."""
    try:
        return "" if answer is None else str(answer.get("SOPInstanceUID", ""))
    except Exception:
        # pydicom decodes a value when asked for it, and raises anything. What is not named is sent
        # again.
        log.warning("answer_not_read", exc_info=True)
        return ""


def _uid(said: Mapping[str, object]) -> str:
    try:
        return text(said, "SOPInstanceUID")
    except (AttributeError, TypeError):
        return ""


def _report(
    transaction_uid: str, unproven: Sequence[Unproven], found: set[str] | set[SOPInstanceUID]
) -> Report:
    asked = {one.sop_instance_uid for one in unproven}
    return Report(
        transaction_uid=transaction_uid,
        kept=frozenset(asked & found),
        failed={uid: int(Failure.NOT_HERE) for uid in asked - found},
    )
