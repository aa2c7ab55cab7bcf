"""Which studies are of one patient: what is kept of that, and what may be asked about it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, StudyInstanceUID


class History(Protocol):
    """The part of the ledger that knows which series are of one patient, but not of whom.

    It forgets with the ledger. Raises `OutOfResources` if the database cannot answer now.
    """

    def of_unknown_patient(self, limit: int) -> Mapping[SeriesInstanceUID, Sha256]:
        """Return series of which nobody has asked yet whose they are, each with one blob."""

    def note_patients(self, patients: Mapping[SeriesInstanceUID, str]) -> None:
        """Keep whose series are, as a keyed hash; empty if a series does not say."""

    def awaits_earlier(self, job: Job, patient: str) -> bool:
        """Return whether an earlier study of the patient is still arriving or at work.

        What counts is work on the route of `job`: its results are worth waiting for.
        """

    def reports_of(self, patient: str, but: StudyInstanceUID, limit: int) -> Sequence[Sha256]:
        """Return structured reports of all studies of a patient but one, the latest first.

        They are those that this node has made, unless they were superseded, and those that it
        has received. A study that has series of somebody else too is left out.
        """

    def inputs_of(
        self, patient: str, but: Job, limit: int
    ) -> Sequence[Mapping[str, tuple[Sha256, ...]]]:
        """Return what the route of a job was given of other studies of the patient, by input.

        The latest job of each study, the latest first.
        """
