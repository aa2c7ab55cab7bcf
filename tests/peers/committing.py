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


@dataclass(kw_only=True)
class Committer:
    """What is asked, and how that is answered; it may change its mind.

    Attributes
    ----------
    status
        Of the answer to a request, and to a C-FIND.
    failed
        Failure Reason by SOP Instance UID, or for all of them under `*`.
    where
        Its reports go: `here`, on the association of the request; `there`, on one of its own to
        `tell_port`; `nowhere`.
    transaction
        What its reports name instead of the Transaction UID of the request.
    finds
        What a C-FIND finds.
    """

    port: int = 0
    status: int = 0x0000
    failed: dict[str, int] = field(default_factory=dict)
    where: str = "here"
    transaction: str = ""
    finds: Sequence[str] | None = None
    tell_port: int = 0
    tell_as: str = "PACS"
    requests: list[tuple[str, tuple[Asked, ...]]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)

    @property
    def handlers(self) -> list[evt.EventHandlerType]:
        """What an AE has to call."""
        return [(evt.EVT_N_ACTION, self._requested), (evt.EVT_C_FIND, self._find)]

    def tell(self, asked: tuple[str, tuple[Asked, ...]]) -> None:
        """Report on an association of its own."""
        caller = AE(self.tell_as)
        caller.add_requested_context(MODEL)
        role = build_role(MODEL, scu_role=False, scp_role=True)
        association = caller.associate(
            "127.0.0.1", self.tell_port, ae_title="AI_NODE", ext_neg=[role]
        )
        if not association.is_established:
            self.answers.append(-2)
            return
        self._report(asked, association.send_n_event_report)
        association.release()

    def _requested(self, event: evt.Event) -> tuple[int, None]:
        asked = read_request(event.action_information)
        self.requests.append(asked)
        if self.status == 0x0000 and self.where == "there":
            self._begin(self.tell, asked)
        if self.status == 0x0000 and self.where == "here":
            self._begin(self._report, asked, event.assoc.send_n_event_report)
        return self.status, None

    def _begin(self, report: Callable[..., None], *what: object) -> None:
        self.threads.append(Thread(target=report, args=what, daemon=True))
        self.threads[-1].start()

    def _report(
        self, asked: tuple[str, tuple[Asked, ...]], send: Callable[..., tuple[Dataset, object]]
    ) -> None:
        kind, information = self._said(self.transaction or asked[0], asked[1])
        answer, _ = send(information, kind, MODEL, INSTANCE)
        self.answers.append(answer.get("Status", -1))

    def _said(self, transaction: str, asked: Sequence[Asked]) -> tuple[int, Dataset]:
        made, kept, lost = Dataset(), [], []
        made.TransactionUID = transaction
        for one in asked:
            item = Dataset()
            item.ReferencedSOPClassUID = one.sop_class_uid
            item.ReferencedSOPInstanceUID = one.sop_instance_uid
            reason = self.failed.get(one.sop_instance_uid, self.failed.get("*"))
            if reason is not None:
                item.FailureReason = reason
            (kept if reason is None else lost).append(item)
        if kept:
            made.ReferencedSOPSequence = kept
        if lost:
            made.FailedSOPSequence = lost
        return 2 if lost else 1, made

    def _find(self, _event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        for uid in self.finds or ():
            found = Dataset()
            found.QueryRetrieveLevel = "IMAGE"
            found.SOPInstanceUID = uid
            yield 0xFF00, found
        if self.status:
            yield self.status, None


@contextmanager
def listening(committer: Committer) -> Iterator[Committer]:
    """Let it listen as `PACS`, for queries if it finds anything, else for commitment."""
    ae = AE("PACS")
    ae.add_supported_context(
        MODEL if committer.finds is None else StudyRootQueryRetrieveInformationModelFind
    )
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=committer.handlers)
    committer.port = server.server_address[1]
    try:
        yield committer
    finally:
        for thread in committer.threads:
            thread.join(20)
        server.shutdown()
        server.server_close()
        ae.shutdown()
