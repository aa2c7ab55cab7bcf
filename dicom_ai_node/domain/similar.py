"""Which images look alike: what is kept of each series, and what may be asked about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, StudyInstanceUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A study that looks like the one that was asked about, by its most similar series.

    Attributes
    ----------
    score
        Cosine of the angle between the two vectors, -1..1; 1 is the same image.
    study_date
        Study Date (0008,0020) as the series says it, or empty.
    received_at
        When the first instance of the series came.
    """

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    score: float
    modality: str
    study_date: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """An earlier study of the same patient that looks alike, by its most similar series.

    Attributes
    ----------
    score
        As of a `Neighbour`.
    sha256
        Blob of the instance that stands for the series: the middle one, as they came.
    """

    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    score: float
    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAlike:
    """The header of an image of an earlier study of the same patient, and how alike it looks."""

    header: Dataset
    score: float


class Similar(Protocol):
    """The part of the ledger that knows which images look alike.

    It forgets with the ledger: where a series is no more, nothing looks like it. Raises
    `OutOfResources` if the database cannot answer now.
    """

    def place(self, job: Job, vector: NDArray[np.float32], patient: str, now: datetime) -> bool:
        """Keep where the one input series of an INFERRING job lies among others.

        Parameters
        ----------
        vector
            (length,) of length 1, so that scalar products are cosines.
        patient
            A keyed hash that is equal for two series of one patient; empty if nobody can tell.

        Returns
        -------
        bool
            False, and nothing is kept, if the fence of the job is stale.
        """

    def is_placed(self, uid: StudyInstanceUID | SeriesInstanceUID, model: Sha256) -> bool:
        """Return whether a series of this study, or this series, has been placed by `model`."""

    def similar(
        self,
        uid: StudyInstanceUID | SeriesInstanceUID,
        model: Sha256,
        count: int,
    ) -> Sequence[Neighbour]:
        """Return the studies most like a study, or like one series of it, best first.

        Only what the same model has placed is compared, and a study is never like itself.
        """

    def priors(self, series: SeriesInstanceUID, model: Sha256, count: int) -> Sequence[Prior]:
        """Return the earlier studies of the same patient most like a series, best first.

        Earlier by Study Date; where a date is unknown or the same, by when the series came. Of
        a series that does not say whose it is there are none.
        """
