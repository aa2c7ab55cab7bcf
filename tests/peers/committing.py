"""A PACS that takes requests for storage commitment, and says what it is told to."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
)

from dicom_ai_node.domain.commitment import Asked
from dicom_ai_node.domain.commitment_messages import read_request

MODEL, INSTANCE = StorageCommitmentPushModel, StorageCommitmentPushModelInstance


def said(transaction: str, asked: Sequence[Asked], failed: dict[str, int]) -> tuple[int, Dataset]:
    """Return the report in which some of what was asked for has failed."""
    made = Dataset()
    made.TransactionUID = transaction
    kept, lost = [], []
    for one in asked:
        item = Dataset()
        item.ReferencedSOPClassUID = one.sop_class_uid
        item.ReferencedSOPInstanceUID = one.sop_instance_uid
        reason = failed.get(one.sop_instance_uid, failed.get("*"))
        if reason is not None:
            item.FailureReason = reason
        (kept if reason is None else lost).append(item)
    if kept:
        made.ReferencedSOPSequence = kept
    if lost:
        made.FailedSOPSequence = lost
    return 2 if lost else 1, made


@dataclass
class Committer:
    """What was asked, and how it was answered."""

    port: int = 0
    requests: list[tuple[str, tuple[Asked, ...]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@contextmanager
def committer(
    *,
    status: int = 0x0000,
    failed: dict[str, int] | None = None,
    where: str = "here",
    transaction: str = "",
    finds: Sequence[str] | None = None,
    port: int = 0,
    tell_port: int = 0,
    tell_as: str = "PACS",
) -> Iterator[Committer]:
    """Listen as `PACS`.

    `where` its reports go: `here` on the association of the request, `there` on one of its own to
    `tell_port`, `nowhere`. `transaction` is named in them instead of that of the request. `finds`
    are the SOP Instance UIDs that a C-FIND finds; without it none is taken.
    """
    ae, seen = AE("PACS"), Committer()
    if finds is None:
        ae.add_supported_context(MODEL)
    else:
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)

    def report(asked: tuple[str, tuple[Asked, ...]], send: Callable[..., object]) -> None:
        kind, information = said(transaction or asked[0], asked[1], failed or {})
        answer, _ = send(information, kind, MODEL, INSTANCE)  # type: ignore[misc]
        seen.answers.append(answer.get("Status", -1))

    def requested(event: evt.Event) -> tuple[int, None]:
        asked = read_request(event.action_information)
        seen.requests.append(asked)
        if status == 0x0000 and where == "there":
            Thread(target=elsewhere, args=(asked,), daemon=True).start()
        if status == 0x0000 and where == "here":
            Thread(
                target=report, args=(asked, event.assoc.send_n_event_report), daemon=True
            ).start()
        return status, None

    def elsewhere(asked: tuple[str, tuple[Asked, ...]]) -> None:
        caller = AE(tell_as)
        caller.add_requested_context(MODEL)
        role = build_role(MODEL, scu_role=False, scp_role=True)
        association = caller.associate("127.0.0.1", tell_port, ae_title="AI_NODE", ext_neg=[role])
        if not association.is_established:
            seen.answers.append(-2)
            return
        report(asked, association.send_n_event_report)
        association.release()

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for uid in finds or ():
            found = Dataset()
            found.QueryRetrieveLevel = "IMAGE"
            found.SOPInstanceUID = uid
            yield 0xFF00, found
        if status:
            yield status, None

    server = ae.start_server(
        ("127.0.0.1", port),
        block=False,
        evt_handlers=[(evt.EVT_N_ACTION, requested), (evt.EVT_C_FIND, find)],
    )
    seen.port = server.server_address[1]
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        ae.shutdown()
