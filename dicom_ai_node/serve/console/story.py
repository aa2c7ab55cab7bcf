"""The story of a study, put together: its series, what each went through, what came of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from dicom_ai_node.domain.archive import Header
from dicom_ai_node.domain.job import Delivery, Event, Job, JobInput, Result
from dicom_ai_node.domain.overview import Happened, SeriesSeen
from dicom_ai_node.domain.ports import Ledger
from dicom_ai_node.domain.rule import SIMILAR
from dicom_ai_node.serve.console.desk import RouteSays
from dicom_ai_node.serve.console.patients import SERIES, uid_in

ANSWERS = ("takes it and waits", "takes it", "does not take it")
"""What a route says to a series, as the notes of routing say it; the longest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStory:
    """One series: what its headers say, how it arrived, and what every route said to it."""

    uid: str
    header: Header
    seen: SeriesSeen | None
    line: tuple[Event, ...] = ()
    says: tuple[RouteSays, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStory:
    """One job: what it went through, what it made, and where that went."""

    job: Job
    line: tuple[Event, ...]
    results: tuple[Result, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def series(self) -> Mapping[str, Sequence[Result]]:
        """What it made, by series."""
        found: dict[str, list[Result]] = {}
        for one in self.results:
            found.setdefault(one.series_instance_uid, []).append(one)
        return found

    @property
    def source(self) -> JobInput | None:
        """The image that stands for what its result is about: the middle one of its first input."""
        first = [one for one in self.job.inputs if one.name == self.job.inputs[0].name]
        return first[len(first) // 2] if first else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Several events of one kind at one time are one step of a time line."""

    at: datetime
    what: str
    details: tuple[str, ...]
    fields: tuple[Mapping[str, str], ...] = field(default_factory=tuple)
    count: int = 1


def told_by_routes(line: Iterable[Event]) -> tuple[RouteSays, ...]:
    """Return what the routes said to a series when it was last complete."""
    notes = [event for event in line if event.what == "routing"]
    if not notes:
        return ()
    newest = max(event.at for event in notes)
    return tuple(_said(event.detail) for event in notes if event.at == newest)


def _said(note: str) -> RouteSays:
    for answer in ANSWERS:
        route, is_there, reasons = note.partition(f" {answer}: ")
        if is_there:
            return RouteSays(route=route, answer=answer, reasons=tuple(reasons.split("; ")))
    return RouteSays(route="", answer="", reasons=(note,))


def steps(line: Iterable[Event]) -> list[Step]:
    """Return a time line for people: notes of routing left out, equal events told once."""
    found: list[Step] = []
    for event in line:
        if event.what == "routing":
            continue
        last = found[-1] if found else None
        if last and last.what == event.what and event.what.startswith("delivery_"):
            found[-1] = Step(
                at=event.at,
                what=event.what,
                details=tuple(dict.fromkeys([*last.details, *_texts(event)])),
                fields=(*last.fields, event.fields),
                count=last.count + 1,
            )
        else:
            found.append(
                Step(at=event.at, what=event.what, details=_texts(event), fields=(event.fields,))
            )
    return found


def _texts(event: Event) -> tuple[str, ...]:
    texts = [event.detail] if event.detail else []
    if where := event.fields.get("destination"):
        texts.append(where)
    if who := event.fields.get("sender"):
        texts.append(who)
    return tuple(texts)


def series_stories(
    headers: Sequence[Header], seen: Sequence[SeriesSeen], happened: Sequence[Happened]
) -> list[SeriesStory]:
    """Return the stories of what was received, each with its header if the archive has one."""
    by_uid = {uid_in(header, SERIES): header for header in headers}
    lines: dict[str, list[Event]] = {}
    for one in happened:
        if one.series_instance_uid is not None:
            lines.setdefault(one.series_instance_uid, []).append(one.event)
    return [
        SeriesStory(
            uid=one.series_instance_uid,
            header=by_uid.get(one.series_instance_uid, {}),
            seen=one,
            line=tuple(lines.get(one.series_instance_uid, ())),
            says=told_by_routes(lines.get(one.series_instance_uid, ())),
        )
        for one in seen
    ]


def job_stories(
    ledger: Ledger, jobs: Sequence[Job], happened: Sequence[Happened]
) -> list[JobStory]:
    """Return the stories of jobs; what only places an image among others has none to tell."""
    lines: dict[str, list[Event]] = {}
    for one in happened:
        if one.job is not None:
            lines.setdefault(one.job, []).append(one.event)
    return [
        JobStory(
            job=job,
            line=tuple(lines.get(job.key, ())),
            results=tuple(ledger.results(job.key)),
            deliveries=tuple(ledger.deliveries(job.key)),
        )
        for job in jobs
        if job.route != SIMILAR or job.who is not None
    ]
