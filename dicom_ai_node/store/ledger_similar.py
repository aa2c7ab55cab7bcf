"""The sixth part of the ledger: where each series lies among others, and what is near it.

The rows are the truth. An index is built of them for each question and thrown away, so that none
can remember what the ledger has forgotten; where PostgreSQL has pgvector it looks by itself. The
search is exact, and finds the same in every database.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, insert, or_, select

from dicom_ai_node.domain.job import Job
from dicom_ai_node.domain.similar import Neighbour, Prior
from dicom_ai_node.domain.uids import SeriesInstanceUID, Sha256, StudyInstanceUID
from dicom_ai_node.store import pgvector
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_jobs import holds
from dicom_ai_node.store.tables import embeddings as table
from dicom_ai_node.store.tables import instances, jobs
from dicom_ai_node.store.tables import series as all_series

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
            "vector": vector,
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
        return self._database.has_any(_placed(model, _is(uid)))

    def similar(
        self, uid: StudyInstanceUID | SeriesInstanceUID, model: Sha256, count: int
    ) -> Sequence[Neighbour]:
        """Return the studies most like a study, or like one series of it, best first."""
        with self._database.reading() as connection:
            if pgvector.is_there(connection):
                return _told(connection, pgvector.nearest(connection, model, _is(uid), count))
            asked = connection.execute(_placed(model, _is(uid))).all()
            own = {row.study_instance_uid for row in asked}
            elsewhere = all_series.c.study_instance_uid.not_in(own)
            others = connection.execute(_placed(model, elsewhere)).all()
            return _told(connection, _nearest(asked, others, count))

    def priors(self, series: SeriesInstanceUID, model: Sha256, count: int) -> Sequence[Prior]:
        """Return the earlier studies of the same patient most like a series, best first."""
        with self._database.reading() as connection:
            own = connection.execute(_whose(model, _is(series))).first()
            if own is None or not own.patient:
                return []
            same = and_(
                table.c.patient == own.patient,
                all_series.c.study_instance_uid != own.study_instance_uid,
            )
            others = connection.execute(_whose(model, same)).all()
            earlier = [row for row in others if _is_earlier(row, own)]
            nearest = _nearest([own], earlier, count)
            return [_stand_in(connection, uid, score) for uid, score in nearest.items()]


def _is(uid: str) -> ColumnElement[bool]:
    return or_(all_series.c.study_instance_uid == uid, all_series.c.series_instance_uid == uid)


def _placed(model: str, which: ColumnElement[bool]) -> Select[Any]:
    return (
        select(all_series.c.study_instance_uid, all_series.c.series_instance_uid, table.c.vector)
        .join(all_series, all_series.c.series_instance_uid == table.c.series_instance_uid)
        .where(table.c.model_digest == model, which)
        .order_by(all_series.c.series_instance_uid)
    )


def _whose(model: str, which: ColumnElement[bool]) -> Select[Any]:
    """Return a query like `_placed`, with all that tells patients apart and which came first."""
    return _placed(model, which).add_columns(
        table.c.patient, all_series.c.attributes, all_series.c.first_received
    )


def _is_earlier(row: Row[Any], than: Row[Any]) -> bool:
    one, other = (each.attributes.get("StudyDate", "") for each in (row, than))
    if one and other and one != other:
        return bool(one < other)
    return bool(row.first_received < than.first_received)


def _stand_in(connection: Connection, uid: str, score: float) -> Prior:
    """Return a series with the instance that stands for it."""
    query = (
        select(instances.c.study_instance_uid, instances.c.sha256)
        .where(instances.c.series_instance_uid == uid, instances.c.is_ours.is_(False))
        .order_by(instances.c.number)
    )
    found = connection.execute(query).all()
    middle = found[len(found) // 2]
    return Prior(
        study_instance_uid=middle.study_instance_uid,
        series_instance_uid=SeriesInstanceUID(uid),
        score=score,
        sha256=middle.sha256,
    )


def _vectors(rows: Sequence[Row[Any]]) -> NDArray[np.float32]:
    return np.stack([row.vector for row in rows])


def _nearest(
    asked: Sequence[Row[Any]], others: Sequence[Row[Any]], count: int
) -> Mapping[str, float]:
    """Return the nearest series of each of the nearest studies with its score, best first."""
    from faiss import IndexFlatIP  # noqa: PLC0415 - only who asks carries it, not every receiver

    if not asked or not others or count < 1:
        return {}
    questions = _vectors(asked)
    index = IndexFlatIP(questions.shape[1])
    index.add(_vectors(others))
    looked_at = min(len(others), count * _MORE)
    while True:
        scores, places = index.search(questions, looked_at)
        best = _by_study(others, scores, places)
        if len(best) >= count or looked_at == len(others):
            return dict(islice(best.items(), count))
        looked_at = min(len(others), looked_at * _MORE)


def _by_study(
    others: Sequence[Row[Any]], scores: NDArray[np.float32], places: NDArray[np.int64]
) -> dict[str, float]:
    """Return one series of every study with its score, the best; of equals the first by UID."""
    pairs = sorted(
        zip(scores.ravel().tolist(), places.ravel().tolist(), strict=True),
        key=lambda pair: (-pair[0], pair[1]),
    )
    best: dict[str, tuple[str, float]] = {}
    for score, place in pairs:
        row = others[place]
        best.setdefault(row.study_instance_uid, (row.series_instance_uid, score))
    return dict(best.values())


def _told(connection: Connection, nearest: Mapping[str, float]) -> Sequence[Neighbour]:
    query = select(all_series).where(all_series.c.series_instance_uid.in_(nearest))
    rows = {row.series_instance_uid: row for row in connection.execute(query)}
    return [
        Neighbour(
            study_instance_uid=rows[uid].study_instance_uid,
            series_instance_uid=rows[uid].series_instance_uid,
            score=score,
            modality=rows[uid].attributes.get("Modality", ""),
            study_date=rows[uid].attributes.get("StudyDate", ""),
            received_at=rows[uid].first_received,
        )
        for uid, score in nearest.items()
    ]
