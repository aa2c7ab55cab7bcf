"""What one association tells the audit trail: what was asked for, and what goes to whom."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dicom_ai_node.dimse.commands import Status
from dicom_ai_node.domain.archive import Held
from dicom_ai_node.domain.audit import (
    Asked,
    Happening,
    Kind,
    Outcome,
    Part,
    Participant,
    StudyTold,
)
from dicom_ai_node.domain.happenings import queried, transfer
from dicom_ai_node.domain.uids import AETitle


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Tells `tell` of the enquiries of one peer."""

    tell: Callable[[Happening], None]
    ae_title: AETitle
    address: str

    def asked(self, sop_class_uid: str, transfer_syntax_uid: str, identifier: bytes) -> None:
        """Tell of a C-FIND, PS3.15 A.5.3.10."""
        asked = Asked(
            sop_class_uid=sop_class_uid,
            transfer_syntax_uid=transfer_syntax_uid,
            query=identifier,
        )
        self.tell(queried(self._peer, asked, datetime.now(UTC)))

    def leaves(self, held: Sequence[Held], to: AETitle) -> None:
        """Tell that objects begin to go to somebody, PS3.15 A.5.3.3."""
        self._tell(Kind.BEGIN_TRANSFERRING, held, to, Outcome.SUCCESS)

    def left(self, held: Sequence[Held], to: AETitle, status: int) -> None:
        """Tell that objects have gone to somebody, PS3.15 A.5.3.7; `status` is the last one."""
        self._tell(Kind.INSTANCES_TRANSFERRED, held, to, _OUTCOMES.get(status, _FAILURE))

    @property
    def _peer(self) -> Participant:
        name, address = self.ae_title, self.address
        return Participant(name=name, ae_title=name, address=address, is_requestor=True)

    def _tell(self, kind: Kind, held: Sequence[Held], to: AETitle, how: Outcome) -> None:
        node = Participant(part=Part.SOURCE)
        asker: tuple[Participant, ...]
        if to == self.ae_title:
            taker, asker = replace(self._peer, part=Part.DESTINATION), ()
        else:
            taker = Participant(name=to, ae_title=to, part=Part.DESTINATION)
            asker = (self._peer,)
        # A message is about one study, for it is about one patient.
        for study in dict.fromkeys(one.study_instance_uid for one in held):
            kinds = Counter(
                str(one.sop_class_uid) for one in held if one.study_instance_uid == study
            )
            told = StudyTold(study_instance_uid=study, sop_classes=kinds)
            goes = transfer(kind, node, taker, told, datetime.now(UTC))
            self.tell(replace(goes, outcome=how, participants=(*goes.participants, *asker)))


_FAILURE = Outcome.SERIOUS_FAILURE
_OUTCOMES = {
    int(Status.SUCCESS): Outcome.SUCCESS,
    int(Status.SOME_FAILED): Outcome.MINOR_FAILURE,
    int(Status.CANCEL): Outcome.MINOR_FAILURE,
}
