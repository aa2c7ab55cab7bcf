"""The part of the ledger that counts, for those who watch the node from outside."""

from sqlalchemy import func, select

from dicom_ai_node.domain.job import DeliveryState, Stage
from dicom_ai_node.domain.numbers import Numbers
from dicom_ai_node.store import tables
from dicom_ai_node.store.engines import Database
from dicom_ai_node.store.ledger_people import counts_of

_AT_WORK = (Stage.READY, Stage.INFERRING, Stage.INFERRED, Stage.ENCODING)
_OPEN = (DeliveryState.DUE.value, DeliveryState.SENDING.value)


class Counting:
    """What metrics read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def numbers(self) -> Numbers:
        """Return the state of the node, all of it as of one moment."""
        jobs, sent, made = tables.jobs, tables.deliveries, tables.results
        by_stage = select(jobs.c.route, jobs.c.stage, func.count()).group_by(
            jobs.c.route, jobs.c.stage
        )
        by_state = select(sent.c.destination, sent.c.state, func.count()).group_by(
            sent.c.destination, sent.c.state
        )
        oldest = (
            select(jobs.c.stage, func.min(jobs.c.created_at))
            .where(jobs.c.stage.in_([stage.value for stage in _AT_WORK]))
            .group_by(jobs.c.stage)
        )
        unsent = (
            select(sent.c.destination, func.min(jobs.c.created_at))
            .join(made, made.c.sop_instance_uid == sent.c.sop_instance_uid)
            .join(jobs, jobs.c.key == made.c.job)
            .where(sent.c.state.in_(_OPEN))
            .group_by(sent.c.destination)
        )
        with self._database.reading() as connection:
            return Numbers(
                counts=counts_of(connection),
                jobs={
                    (route, Stage(stage)): number
                    for route, stage, number in connection.execute(by_stage)
                },
                deliveries={
                    (destination, DeliveryState(state)): number
                    for destination, state, number in connection.execute(by_state)
                },
                waiting_since={Stage(stage): at for stage, at in connection.execute(oldest)},
                undelivered_since={name: at for name, at in connection.execute(unsent)},  # noqa: C416 - rows are no pairs to a type checker
            )
