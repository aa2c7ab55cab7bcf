"""The sixth part of the ledger: where each series lies among others, and what is near it.

The rows are the truth. An index is built of them for each question and thrown away, so that none
can remember what the ledger has forgotten. The search is exact, and the same in every database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, or_, select

from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.similar import Neighbour
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, StudyInstanceUID
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_jobs import holds
from dicom_ai_node.store.tables import embeddings as table
from dicom_ai_node.store.tables import jobs, series

_STORED = np.dtype("<f4")
_MORE = 4
"""Many series near the question may be of one study: then so many times more are looked at."""


class LooksAlike:
    """What is kept of images to find similar ones, and the search."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def place(self, job: Job, vector: NDArray[np.float32], patient: str, now: datetime) -> bool:
        """Keep where the one input series of an INFERRING job lies among others."""
        uid = job.inputs[0].series_instance_uid
        same = and_(table.c.series_instance_uid == uid, table.c.model_digest == job.model_digest)
        row = {
            "series_instance_uid": uid,
            "model_digest": job.model_digest,
            "patient": patient,
            "placed_at": now,
            "vector": vector.astype(_STORED).tobytes(),
        }

        def work(connection: Connection) -> bool:
            held = select(jobs.c.key).where(holds(job)).with_for_update(key_share=True)
            if connection.execute(held).first() is None:
                return False
            connection.execute(delete(table).where(same))
            connection.execute(insert(table).values(row))
            return True

        return self._database.transact(work)

    def is_placed(self, uid: StudyInstanceUID | SeriesInstanceUID, model: Sha256) -> bool:
        """Return whether a series of this study, or this series, has been placed by `model`."""
        with self._database.reading() as connection:
            return bool(_placed(connection, model, _is(uid)))

    def similar(
        self, uid: StudyInstanceUID | SeriesInstanceUID, model: Sha256, count: int
    ) -> Sequence[Neighbour]:
        """Return the studies most like a study, or like one series of it, best first."""
        with self._database.reading() as connection:
            asked = _placed(connection, model, _is(uid))
            own = {one.row.study_instance_uid for one in asked}
            others = _placed(connection, model, series.c.study_instance_uid.not_in(own))
        return _nearest(asked, others, count)


@dataclass(frozen=True, slots=True)
class _Placed:
    row: Row[Any]
    vector: NDArray[np.float32]


def _is(uid: str) -> ColumnElement[bool]:
    return or_(series.c.study_instance_uid == uid, series.c.series_instance_uid == uid)


def _placed(connection: Connection, model: str, which: ColumnElement[bool]) -> list[_Placed]:
    query = (
        select(
            table.c.vector,
            table.c.patient,
            series.c.study_instance_uid,
            series.c.series_instance_uid,
            series.c.attributes,
            series.c.first_received,
        )
        .join(series, series.c.series_instance_uid == table.c.series_instance_uid)
        .where(table.c.model_digest == model, which)
        .order_by(series.c.series_instance_uid)
    )
    rows: Sequence[Any] = connection.execute(query).all()
    return [_Placed(row, np.frombuffer(row.vector, _STORED)) for row in rows]


def _nearest(
    asked: Sequence[_Placed], others: Sequence[_Placed], count: int
) -> Sequence[Neighbour]:
    """Return the nearest studies; each is as near as the nearest pair of series."""
    from faiss import IndexFlatIP  # noqa: PLC0415 - only who asks carries it, not every receiver

    if not asked or not others or count < 1:
        return []
    index = IndexFlatIP(len(asked[0].vector))
    index.add(np.stack([one.vector for one in others]))
    questions = np.stack([one.vector for one in asked])
    looked_at = min(len(others), count * _MORE)
    while True:
        scores, places = index.search(questions, looked_at)
        found = _by_study(others, scores, places)
        if len(found) >= count or looked_at == len(others):
            return found[:count]
        looked_at = min(len(others), looked_at * _MORE)


def _by_study(
    others: Sequence[_Placed], scores: NDArray[np.float32], places: NDArray[np.int64]
) -> list[Neighbour]:
    """Return every study once, with its best series; of equals the first by UID."""
    pairs = sorted(
        zip(scores.ravel().tolist(), places.ravel().tolist(), strict=True),
        key=lambda pair: (-pair[0], pair[1]),
    )
    best: dict[str, Neighbour] = {}
    for score, place in pairs:
        row = others[place].row
        best.setdefault(row.study_instance_uid, _neighbour(row, score))
    return list(best.values())


def _neighbour(row: Row[Any], score: float) -> Neighbour:
    return Neighbour(
        study_instance_uid=row.study_instance_uid,
        series_instance_uid=row.series_instance_uid,
        score=score,
        modality=row.attributes.get("Modality", ""),
        study_date=row.attributes.get("StudyDate", ""),
        received_at=row.first_received,
    )
