"""What the archive answers to C-FIND, and what it gives to C-MOVE and C-GET; PS3.4 Annex C."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count

from pydicom.dataset import Dataset

from dicom_ai_node.domain.archive import Archive, Header, Held, Key, Level, Query
from dicom_ai_node.domain.errors import NotAnswerable
from dicom_ai_node.domain.levels import COMPUTED, INSTANCE, SERIES, STUDY
from dicom_ai_node.domain.query_retrieve import Asked, Match, Root
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_ai_node.serve.character_sets import fitting
from dicom_ai_node.serve.identifier import (
    UNIQUE,
    At,
    Identifier,
    answer,
    encoded,
    identifier_of,
    texts,
    value_of,
)

PAGE = 100
"""Headers that are in memory at once; between two pages nothing is held in the database."""

MOST_FAILURES = 900
"""UIDs that fit into one element with a length of two bytes."""

_LEVELS = {At.STUDY: Level.STUDY, At.SERIES: Level.SERIES, At.IMAGE: Level.IMAGE}
_TOLD = STUDY | SERIES | INSTANCE | COMPUTED.keys() | {"00080005", "00080052", "00080054"}
"""What is told of an instance without a look at its whole header."""

_PATIENT_ID = "00100020"
_PATIENT_GROUP = "0010"
_COUNTED = {
    "00201200": "",  # Number of Patient Related Studies
    "00201202": "NumberOfStudyRelatedSeries",
    "00201204": "NumberOfStudyRelatedInstances",
}
"""What is computed for a patient, and from what of each study."""


class QueryRetrieve:
    """Answers questions about what `archive` holds, in the name of `ae_title`."""

    def __init__(self, archive: Archive, ae_title: AETitle) -> None:
        self._archive = archive
        self._ae_title = ae_title

    def find(self, asked: Asked) -> Iterator[Match]:
        """Yield the answers to a C-FIND.

        Raises
        ------
        NotUnderstood, NotAnswerable
            As `identifier_of`, and if a level above is not named by one unique key although no
            relational queries were agreed upon.
        OutOfResources
            If the database cannot answer now.
        """
        question = identifier_of(asked)
        if not asked.is_relational:
            _check_hierarchy(question)
        found = self._patients(question) if question.at is At.PATIENT else self._found(question)
        for header in found:
            yield self._match(question, header)

    def named(self, asked: Asked) -> Sequence[Held]:
        """Return what a C-MOVE or C-GET asks for: by unique keys, one value above its level.

        Raises
        ------
        NotUnderstood, NotAnswerable
            As `find`, and if the level itself has no unique key.
        OutOfResources
            If the database cannot answer now.
        """
        question = identifier_of(asked)
        if question.at not in question.lists:
            raise NotAnswerable(f"{UNIQUE[question.at]} is missing")
        if not asked.is_relational:
            _check_hierarchy(question)
        patients = question.lists.get(At.PATIENT, ())
        if any(set("*?\\") & set(patient) for patient in patients):
            raise NotAnswerable("PatientID of a retrieval has no wildcards")
        return [held for study in self._studies(question) for held in self._of(question, study)]

    def failed(self, sop_instance_uids: Sequence[SOPInstanceUID], syntax: str) -> bytes:
        """Return the encoded list of the instances that could not be sent, PS3.4 C.4.2.1.4.2."""
        dataset = Dataset()
        dataset.FailedSOPInstanceUIDList = list(sop_instance_uids[:MOST_FAILURES])
        return encoded(dataset, syntax)

    def _found(self, question: Identifier) -> Iterator[Header]:
        query = _query(question, _LEVELS[question.at], question.keys)
        for page in self._pages(query):
            yield from self._whole(page) if _needs_whole(question) else page

    def _pages(self, query: Query) -> Iterator[Sequence[Header]]:
        for offset in count(0, PAGE):
            page = self._archive.search(replace(query, limit=PAGE, offset=offset))
            yield page
            if len(page) < PAGE:
                return

    def _each(self, query: Query) -> Iterator[Header]:
        for page in self._pages(query):
            yield from page

    def _whole(self, page: Sequence[Header]) -> Iterator[Header]:
        """Yield the headers of instances with all that their files say."""
        uids = [SOPInstanceUID(value_of(header, "SOPInstanceUID")) for header in page]
        held = self._archive.instances(uids)
        wholes = zip(held, self._archive.headers(held), strict=True)
        whole = {one.sop_instance_uid: json.loads(said) for one, said in wholes}
        for uid, header in zip(uids, page, strict=True):
            yield {**whole.get(uid, {}), **header}

    def _patients(self, question: Identifier) -> Iterator[Header]:
        """Yield one header per patient, from that of the first study that is found of him."""
        seen: set[str] = set()
        keys = tuple(key for key in question.keys if key.path[0].startswith(_PATIENT_GROUP))
        for study in self._each(_query(question, Level.STUDY, keys)):
            patient = value_of(study, "PatientID")
            if patient in seen:
                continue
            seen.add(patient)
            header = {tag: it for tag, it in study.items() if tag.startswith(_PATIENT_GROUP)}
            if any(int(tag, 16) in question.dataset for tag in _COUNTED):
                header |= self._counted(patient)
            yield header

    def _counted(self, patient: str) -> Header:
        """Return how many studies, series and instances there are of a patient."""
        query = Query(level=Level.STUDY, keys=(Key(path=(_PATIENT_ID,), value=patient),))
        sums = dict.fromkeys(_COUNTED, 0)
        for study in self._each(query):
            if value_of(study, "PatientID") == patient:
                for tag, keyword in _COUNTED.items():
                    sums[tag] += int(value_of(study, keyword) or 0) if keyword else 1
        return {tag: {"vr": "IS", "Value": [number]} for tag, number in sums.items()}

    def _match(self, question: Identifier, header: Header) -> Match:
        dataset = answer(question.dataset, header)
        dataset.QueryRetrieveLevel = question.at.name
        dataset.RetrieveAETitle = self._ae_title
        dataset.InstanceAvailability = "ONLINE"
        setattr(dataset, UNIQUE[question.at], value_of(header, UNIQUE[question.at]))
        tags = [f"{tag:08X}" for tag in question.dataset.keys()]  # noqa: SIM118 - see `answer`
        said = {tag: header[tag] for tag in tags if tag in header}
        dataset.SpecificCharacterSet = fitting(question.character_sets, texts(said))
        return Match(
            identifier=encoded(dataset, question.asked.transfer_syntax_uid),
            is_complete=question.is_complete,
        )

    def _studies(self, question: Identifier) -> Sequence[StudyInstanceUID]:
        """Return the studies in which to look: those that are named, and of the right patient."""
        patients = question.lists.get(At.PATIENT, ())
        named = question.lists.get(At.STUDY, ())
        if question.asked.root is Root.STUDY and named:
            return [StudyInstanceUID(uid) for uid in named]
        level, keys = Level.STUDY, {_PATIENT_ID: patients, "0020000D": named}
        if not patients and not named:
            # Relational: the series or the instances say where they belong.
            level = _LEVELS[question.at]
            keys = {"0020000E": question.lists.get(At.SERIES, ())}
            keys["00080018"] = question.lists.get(At.IMAGE, ())
        query = Query(
            level=level,
            keys=tuple(
                Key(path=(tag,), value="\\".join(values)) for tag, values in keys.items() if values
            ),
        )
        found = (
            header
            for header in self._each(query)
            if not patients or value_of(header, "PatientID") in patients
        )
        return list(
            dict.fromkeys(
                StudyInstanceUID(value_of(header, "StudyInstanceUID")) for header in found
            )
        )

    def _of(self, question: Identifier, study: StudyInstanceUID) -> Iterator[Held]:
        """Yield what is asked for of one study, by series and number."""
        series = question.lists.get(At.SERIES, ()) if question.at >= At.SERIES else ()
        instances = question.lists.get(At.IMAGE, ()) if question.at >= At.IMAGE else ()
        for uid in series or (None,):
            one = None if uid is None else SeriesInstanceUID(uid)
            for held in self._archive.held(study, one):
                if not instances or held.sop_instance_uid in instances:
                    yield held


def _query(question: Identifier, level: Level, keys: tuple[Key, ...]) -> Query:
    return Query(
        level=level,
        keys=keys,
        is_fuzzy=question.asked.is_fuzzy,
        joins_date_and_time=question.asked.joins_date_and_time,
    )


def _needs_whole(question: Identifier) -> bool:
    """Return whether instances are asked for more than is told of each."""
    tags = {f"{tag:08X}" for tag in question.dataset.keys()}  # noqa: SIM118 - see `answer`
    return question.at is At.IMAGE and not tags <= _TOLD


def _check_hierarchy(question: Identifier) -> None:
    """Check that each level above is named by one unique key, PS3.4 C.4.1.3.1.1."""
    top = At.PATIENT if question.asked.root is Root.PATIENT else At.STUDY
    for at in At:
        if top <= at < question.at:
            values = question.lists.get(at, ())
            if len(values) != 1 or set("*?") & set(values[0]):
                raise NotAnswerable(f"{UNIQUE[at]} must be one, or agree on relational queries")
