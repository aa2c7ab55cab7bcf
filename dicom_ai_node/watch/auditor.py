"""The auditor: seals what was noted into the chain, and brings the chain to the repository."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby

import structlog

from dicom_ai_node.domain.audit import (
    Act,
    Action,
    AuditRecord,
    Happening,
    Kind,
    Noted,
    Outcome,
    Part,
    Participant,
    Passage,
    StudyTold,
    Trail,
    Verdict,
    Way,
)
from dicom_ai_node.domain.errors import NodeError
from dicom_ai_node.domain.happenings import alarm, transfer
from dicom_ai_node.watch.audit_message import Source, message
from dicom_ai_node.watch.syslog import NotTrusted, Syslog

log = structlog.get_logger()

AT_ONCE = 2000
QUIET = timedelta(seconds=5)
"""A transfer is over when nothing has come or gone for so long."""
LONGEST = timedelta(minutes=5)
"""One that goes on for longer is told of in parts."""
FOR_EVER = timedelta(days=36500)


@dataclass(slots=True)
class _Pause:
    attempts: int = 0
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditor:
    """The desk that keeps the trail.

    Attributes
    ----------
    patient
        Returns the Patient ID of a study, empty if nobody knows.
    peers
        Where destinations are, by name.
    way
        To the repository; `None` without one.
    """

    trail: Trail
    source: Source
    patient: Callable[[str], str]
    peers: Mapping[str, Participant]
    way: Syslog | None
    keep: timedelta | None
    now: Callable[[], datetime]
    next_try: Callable[[int, datetime], datetime]
    _pause: _Pause = field(default_factory=_Pause)

    def seal(self) -> int:
        """Seal what is whole; return how many records that made."""
        return self._seal(QUIET)

    def seal_all(self) -> int:
        """Seal everything, also transfers that may go on: the node is about to stop."""
        return self._seal(-FOR_EVER)

    def send(self) -> int:
        """Send what the repository does not have, in order; return how much it has now."""
        now = self.now()
        if self.way is None or (self._pause.until is not None and now < self._pause.until):
            return 0
        records = self.trail.unsent()
        if not records:
            return 0
        error = self.way.send(records)
        if error is None:
            self._pause.attempts, self._pause.until = 0, None
            self.trail.sent([one.number for one in records], self.now())
            log.info("audit_sent", count=len(records))
            return len(records)
        self._trouble(error, records)
        return 0

    def expire(self) -> int:
        """Remove what is old and, where there is a repository, is there."""
        if self.keep is None:
            return 0
        return self.trail.expire(self.now() - self.keep, only_sent=self.way is not None)

    def verify(self) -> Verdict:
        """Look at the chain; of one that is broken tell once in the trail, and in the log."""
        found = self.trail.verify()
        said = "" if found.broken is None else f"{found.broken}: {found.why}"
        if self.trail.settle("broken", said) != said and said:
            why = f"the audit trail was tampered with: record {said}"
            self.trail.note(
                alarm(
                    Act.RESTRICTED_FUNCTION,
                    Participant(name="unknown"),
                    why,
                    self.now(),
                    Outcome.MAJOR_FAILURE,
                )
            )
            log.error("audit_broken", count=found.broken)
        return found

    def _trouble(self, error: NodeError, records: Sequence[AuditRecord]) -> None:
        now = self.now()
        if isinstance(error, NotTrusted) and not self._pause.attempts:
            repository = Participant(name="audit repository")
            self.trail.note(alarm(Act.NODE_AUTHENTICATION, repository, str(error), now))
        self._pause.attempts += 1
        self._pause.until = self.next_try(self._pause.attempts, now)
        # What exactly is the matter is in our own words: it names no patient and no address.
        log.warning("audit_not_sent", count=len(records), reason=str(error))

    def _seal(self, quiet: timedelta) -> int:
        notes = self.trail.noted(AT_ONCE)
        if len(notes) == AT_ONCE:
            quiet = -FOR_EVER
        whole = list(self._whole(notes, quiet))
        if not whole:
            return 0
        whole.sort(key=lambda one: one[1][0])
        messages = [message(happening, self.source) for happening, _ in whole]
        numbers = [number for _, made_of in whole for number in made_of]
        return self.trail.seal(messages, numbers)

    def _whole(
        self, notes: Sequence[Noted], quiet: timedelta
    ) -> Iterator[tuple[Happening, list[int]]]:
        """Yield what has happened, each with the notes that it was made of."""
        passages: list[tuple[Passage, int]] = []
        for note in notes:
            if isinstance(note.what, Passage):
                passages.append((note.what, note.number))
            else:
                yield self._with_patients(note.what), [note.number]
        now = self.now()
        passages.sort(key=lambda one: _transfer(one[0]))  # stable: the numbers still rise
        for _, found in groupby(passages, key=lambda one: _transfer(one[0])):
            group = list(found)
            first, last = group[0][0].at, group[-1][0].at
            is_over = group[0][0].way is Way.BEGIN or last <= now - quiet or first <= now - LONGEST
            if is_over:
                happening = self._transferred([passage for passage, _ in group])
                yield self._with_patients(happening), [number for _, number in group]

    def _transferred(self, passages: Sequence[Passage]) -> Happening:
        one = passages[0]
        counts: dict[str, int] = {}
        for passage in passages:
            counts[passage.sop_class_uid] = counts.get(passage.sop_class_uid, 0) + passage.count
        study = StudyTold(study_instance_uid=one.study_instance_uid, sop_classes=counts)
        if one.way is Way.IN:
            sender = Participant(
                name=one.peer, ae_title=one.peer, address=one.address,
                part=Part.SOURCE, is_requestor=True,
            )  # fmt: skip
            node = Participant(part=Part.DESTINATION)
            told = transfer(Kind.INSTANCES_TRANSFERRED, sender, node, study, passages[-1].at)
            is_new = not all(passage.is_known for passage in passages)
            return replace(told, action=Action.CREATE) if is_new else told
        kind = Kind.BEGIN_TRANSFERRING if one.way is Way.BEGIN else Kind.INSTANCES_TRANSFERRED
        node = Participant(part=Part.SOURCE, is_requestor=True)
        peer = self.peers.get(one.peer, Participant(name=one.peer))
        to = replace(peer, part=Part.DESTINATION)
        told = transfer(kind, node, to, study, passages[-1].at)
        return replace(told, outcome=max(passage.outcome for passage in passages))

    def _with_patients(self, happening: Happening) -> Happening:
        studies = tuple(
            one if one.patient_id else replace(one, patient_id=self._patient_of(one))
            for one in happening.studies
        )
        return replace(happening, studies=studies)

    def _patient_of(self, study: StudyTold) -> str:
        try:
            return self.patient(study.study_instance_uid)
        except NodeError:
            return ""


def _transfer(one: Passage) -> tuple[str, str, str, str, int]:
    return one.way, one.peer, one.address, one.study_instance_uid, one.outcome
