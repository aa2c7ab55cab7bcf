"""From the findings of a job to its place among what looks alike, where they hold one."""

from datetime import datetime
from pathlib import Path

from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.ports import Blobs
from dicom_ai_node.domain.similar import Similar
from dicom_ai_node.store.findings import embedding_of
from dicom_ai_node.store.patients import Patients


class Places:
    """Enters in the ledger what a job has found out about where its image lies."""

    def __init__(self, similar: Similar, blobs: Blobs, patients: Patients) -> None:
        self._similar = similar
        self._blobs = blobs
        self._patients = patients

    def enter(self, job: Job, findings: Path, now: datetime) -> None:
        """Keep the embedding in the folder `findings`, if there is one."""
        embedding = embedding_of(findings)
        if embedding is not None:
            patient = self._patients.of(self._blobs.path(job.inputs[0].sha256))
            self._similar.place(job, embedding.vector, patient, now)
