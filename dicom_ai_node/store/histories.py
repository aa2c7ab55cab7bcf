"""From a job to what was reported of the same patient at other studies."""

from typing import Final

from dicom_ai_node.domain.errors import TryAgain
from dicom_ai_node.domain.history import History
from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.orders import NOTHING_BEFORE, Before
from dicom_ai_node.domain.ports import Blobs
from dicom_ai_node.store.patients import Patients

MOST_ASKED: Final = 2000
"""Series that are asked at once whose they are; a node that has more learns the rest next time."""
MOST_REPORTS: Final = 200
"""Reports that one job is given to compare with, the latest."""
MOST_INPUTS: Final = 3
"""Earlier studies whose images it is given, the latest."""


class Histories:
    """Finds the earlier reports of a patient; the same number by the same issuer is the same."""

    def __init__(self, ledger: History, blobs: Blobs, patients: Patients) -> None:
        self._ledger = ledger
        self._blobs = blobs
        self._patients = patients

    def before(self, job: Job) -> Before:
        """Return what is here of other studies of the patient of `job`; nothing without a number.

        Raises
        ------
        TryAgain
            If an earlier study of the patient is at work on the same route: when a whole history
            is sent at once, the last study shall find the others done.
        """
        patient = self._patients.of(self._blobs.path(job.inputs[0].sha256))
        if not patient:
            return NOTHING_BEFORE
        unknown = self._ledger.of_unknown_patient(MOST_ASKED)
        if unknown:
            self._ledger.note_patients(
                {uid: self._patients.of(self._blobs.path(sha)) for uid, sha in unknown.items()}
            )
        if self._ledger.awaits_earlier(job, patient):
            raise TryAgain("an earlier study of the same patient is still at work")
        study = job.study_instance_uid
        return Before(
            reports=tuple(self._ledger.reports_of(patient, study, MOST_REPORTS)),
            inputs=tuple(self._ledger.inputs_of(patient, job, MOST_INPUTS)),
        )
