"""What headers and reports tell of a patient, as far as a model asks for it.

Nothing is guessed: what is not said, cannot be right or is said of somebody else is unknown, and
a note says why. No note quotes a value.
"""

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_ai_node.domain.clinical import CLINICAL_INPUTS, AskedFact, KnownFact
from dicom_ai_node.domain.errors import Rejected
from dicom_ai_node.domain.model import ModelFacts
from dicom_ai_node.domain.ports import Task
from dicom_ai_node.domain.reports import Report, ReportedMeasurement
from dicom_ai_node.infer.content import moment_of
from dicom_ai_node.infer.reports import read_report


@runtime_checkable
class Knowing(Protocol):
    """A task that may be told what is known of the patient beside the images."""

    def knowing(self, known: Sequence[KnownFact]) -> Task:
        """Return the task as it answers for a patient of whom this is known."""


_AGE: Final = re.compile(r"(\d{3})([DWMY])")
_YEARS: Final[Mapping[str, float]] = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
"""Of an Age String, PS3.5 6.2."""
DAY_SECONDS: Final = 86400.0


def known_facts(
    inputs: Mapping[str, Sequence[Path]], facts: ModelFacts, earlier: Sequence[Path] = ()
) -> tuple[tuple[KnownFact, ...], tuple[str, ...]]:
    """Return what is known of all that the model asks for, in its order, and notes.

    Headers are asked of the reference first, then of the other images; reports are the inputs that
    the model calls documents. Of several numbers in reports the one observed last is taken.
    What they do not tell is looked for in `earlier`, reports of other studies of the patient, as
    far back as the model says.
    """
    names = sorted(facts.inputs, key=lambda name: name != facts.reference)
    headers = [_header(inputs[name][0], facts.clinical) for name in names]
    paths = [path for name in facts.documents for path in inputs.get(name, ())]
    reports, notes = _reports(paths, headers[0])
    looks_back = any(asked.earlier_days for asked in facts.clinical)
    before, more = _reports(earlier if looks_back else (), headers[0])
    notes += more
    at = moment_of(headers[0], "Study")
    known = []
    for asked in facts.clinical:
        fact = _from_reports(asked, reports) if asked.reported else _from_headers(asked, headers)
        if fact.value is None and asked.earlier_days and at is not None:
            fact = _from_reports(asked, before, at)
        if fact.value is not None and not asked.least <= fact.value <= asked.most:
            notes.append(f"{asked.name} cannot be right and counts as unknown")
            fact = _nothing(asked)
        known.append(fact)
        if fact.days_before is not None:
            notes.append(f"{asked.name} was observed {fact.days_before:.0f} days before the study")
    if missing := [fact.name for fact in known if fact.value is None]:
        notes.append(f"unknown: {', '.join(missing)}")
    return tuple(known), tuple(notes)


def informed(
    task: Task,
    inputs: Mapping[str, Sequence[Path]],
    facts: ModelFacts,
    earlier: Sequence[Path] = (),
) -> tuple[Task, tuple[str, ...]]:
    """Return the task told all that it asks for and that inputs and reports tell, and notes."""
    if not facts.clinical or not isinstance(task, Knowing):
        return task, ()
    known, notes = known_facts(inputs, facts, earlier)
    return task.knowing(known), notes


def _header(path: Path, asked: Sequence[AskedFact]) -> Dataset:
    wanted = [
        "PatientID",
        "StudyDate",
        "StudyTime",
        *(one.attribute for one in asked if one.attribute),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes odd values
        return dcmread(path, specific_tags=wanted, stop_before_pixels=True)


def _reports(paths: Sequence[Path], header: Dataset) -> tuple[list[Report], list[str]]:
    """Return the reports that can be read and are of the patient of `header`, and notes."""
    reports, notes = [], []
    for path in paths:
        try:
            report = read_report(path)
        except Rejected as no:
            notes.append(f"a report was left out: {no.code.name}")
            continue
        if _patient(_header(path, ())) != _patient(header):
            notes.append("a report was left out: it is of another patient")
            continue
        reports.append(report)
    return reports, notes


def _patient(header: Dataset) -> str:
    return str(header.get("PatientID") or "").strip()


def _nothing(asked: AskedFact) -> KnownFact:
    return KnownFact(name=asked.name, concept=asked.concept, unit=asked.unit)


def _from_headers(asked: AskedFact, headers: Sequence[Dataset]) -> KnownFact:
    texts = (str(header.get(asked.attribute) or "").strip().upper() for header in headers)
    said = next(filter(None, texts), "")
    value = asked.values.get(said) if asked.values else _number(said)
    return KnownFact(
        name=asked.name,
        concept=asked.concept,
        unit=asked.unit,
        value=value,
        said=said if asked.values and value is not None else "",
    )


def _number(text: str) -> float | None:
    """Return a finite number, the years of an age such as 018M, or nothing."""
    if age := _AGE.fullmatch(text):
        return int(age[1]) * _YEARS[age[2]]
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _from_reports(
    asked: AskedFact, reports: Sequence[Report], at: datetime | None = None
) -> KnownFact:
    """Return the number that was observed last; of those without a time the last that is told.

    With `at`, the moment of the study, only what was observed before it and not too long ago.
    """
    found: list[tuple[str, KnownFact]] = []
    for report in reports:
        for item in report.measurements:
            factor = _factor(asked, item)
            seen = item.observed_at or report.studied_at
            days = _days(seen, at)
            if factor is not None and (at is None or _is_recent(days, asked)):
                fact = KnownFact(
                    name=asked.name,
                    concept=asked.concept,
                    unit=asked.unit,
                    value=item.value * factor,
                    report=report.reference,
                    days_before=days,
                )
                found.append(("" if seen is None else seen.isoformat(), fact))
    return max(found, key=lambda one: one[0])[1] if found else _nothing(asked)


def _factor(asked: AskedFact, item: ReportedMeasurement) -> float | None:
    """Return what brings a number to the unit of a fact; `None` if it is something else.

    What a model was told once is no observation: it would grow younger with every report.
    """
    if item.finding is not None and item.finding == CLINICAL_INPUTS:
        return None
    name = (item.concept.scheme_designator, item.concept.value, item.unit.value)
    ways = {(way.concept.scheme_designator, way.concept.value, way.unit): way.factor
            for way in asked.reported}  # fmt: skip
    return ways.get(name)


def _days(seen: datetime | None, at: datetime | None) -> float | None:
    if seen is None or at is None:
        return None
    return (at - seen).total_seconds() / DAY_SECONDS


def _is_recent(days: float | None, asked: AskedFact) -> bool:
    return days is not None and 0 <= days <= asked.earlier_days
