"""Where a job goes when an attempt at it did not end well: pure decisions, all in one place."""

from dataclasses import dataclass
from datetime import datetime

from dicom_ai_node.domain.errors import ModelUnusable, NodeError, Rejected, TryAgain
from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.limits import Limits
from dicom_ai_node.domain.reject import Who


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where to, why, who has to act, and when it is due again if it goes back."""

    to: Stage
    note: str
    who: Who
    due_at: datetime | None = None


def claimed_from(job: Job) -> Stage:
    """Return the stage in which the job was before a worker took it."""
    return Stage.READY if job.stage is Stage.INFERRING else Stage.INFERRED


def after_error(
    job: Job, error: NodeError, limits: Limits, now: datetime, *, is_reported: bool = False
) -> Move:
    """Return the move after the task or an encoder has raised `error`.

    `is_reported`: the worker has left findings that say why the model declined its inputs.
    """
    note, who = str(error), error.who
    match error:
        case Rejected() if job.stage is Stage.INFERRING and is_reported:
            return Move(to=Stage.INFERRED, note=note, who=who)
        case Rejected() if job.stage is Stage.INFERRING:
            return Move(to=Stage.REJECTED, note=note, who=who)
        case TryAgain():
            due = now + limits.wait(job.attempts)
            return Move(to=claimed_from(job), note=note, who=who, due_at=due)
        case ModelUnusable():
            # The series is fine and nothing is lost: it waits until the operator has mended the
            # model folder.
            due = now + limits.longest_retry
            return Move(to=claimed_from(job), note=note, who=who, due_at=due)
        case _:
            return Move(to=Stage.PARKED, note=note, who=who)


def after_loss(job: Job, how: str, limits: Limits, now: datetime) -> Move:
    """Return the move after the worker has died or was ended; `how` says which."""
    if job.attempts >= limits.lost_attempts:
        note = f"{how}, and that {job.attempts} times"
        return Move(to=Stage.QUARANTINED, note=note, who=Who.PERSON)
    due = now + limits.wait(job.attempts)
    return Move(to=claimed_from(job), note=how, who=Who.NOBODY_YET, due_at=due)
