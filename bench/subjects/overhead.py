"""What the node itself adds to a job: waiting for its turn, handing over, and idle work.

The whole tree, a small series at a time, so that hardly anything is computed or sent: from its last
byte to the moment at which a worker has it, less the time of quiet that is configured, and from the
end of the model to the success of the PACS. Both are read from the time line of the ledger. For the
published designs of others, which look for work every second or start a container for each job,
there are no numbers of ours.
"""

import statistics
import time
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise

from bench.processes import on_processor_seconds
from bench.results import Kind, Row
from bench.session import TROUBLE, Session
from bench.units import MS, PART
from bench.wards import QUIET_SECONDS, Ward, opened, patient, small_ct
from dicom_ai_node.domain.job import Job

OURS = "dicom_ai_node"
_LEGS = ("job_inferred", "job_encoding", "job_delivering", "delivery_begun", "job_delivered")
_CALM_SECONDS = 10
"""Then what was done last is over, and the node asks its ledger as seldom as it does at night."""
_PHASE_SECONDS = 0.137
"""Between two series, so that they do not arrive in step with what looks for them."""


def run(session: Session) -> None:
    """Measure a number of series one after the other, then nothing at all."""
    count, idle_seconds = session.choose(1, 6, 15), session.choose(1, 10, 20)
    try:
        with opened(session.folder) as ward:
            starts, ends, legs = [], [], []
            for number in range(count):
                session.tell(f"overhead: series {number + 1} of {count}")
                ward.send(patient(session.folder / "series", number, small_ct))
                job = max(ward.ended(number + 1), key=lambda job: job.created_at)
                moments = _moments(ward, job)
                starts.append(_ms(_due(ward, job), moments["job_inferring"]) - 1000 * QUIET_SECONDS)
                ends.append(_ms(moments["job_inferred"], moments["job_delivered"]))
                legs.append(moments)
                time.sleep(number % 5 * _PHASE_SECONDS)
            _tell_legs(session, legs)
            if session.size != "tiny":
                time.sleep(_CALM_SECONDS)
            part = _idle(ward, idle_seconds)
    except TROUBLE as trouble:
        session.fails(OURS, Kind.OURS, trouble)
        return
    for work, unit, values in (
        ("the last byte to the worker's start, without the quiet time", MS, starts),
        ("the model's end to the PACS's success", MS, ends),
        (f"idle for {idle_seconds} s", PART, [part]),
    ):
        session.rows.append(Row("overhead", work, unit, OURS, Kind.OURS, tuple(values)))


def _moments(ward: Ward, job: Job) -> Mapping[str, datetime]:
    """Return when each thing happened to a job; of several alike the last."""
    return {event.what: event.at for event in ward.ledger.time_line(job.key)}


def _due(ward: Ward, job: Job) -> datetime:
    """Return when the last instance of the series had arrived."""
    return ward.ledger.study(job.study_instance_uid).series[0].last_received


def _ms(before: datetime, after: datetime) -> float:
    return 1000 * (after - before).total_seconds()


def _tell_legs(session: Session, legs: list[Mapping[str, datetime]]) -> None:
    """Say where the time between the model's end and the PACS's success has gone."""
    there = [name for name in _LEGS if all(name in moments for moments in legs)]
    told = [
        f"{name} to {after} {statistics.median(_ms(one[name], one[after]) for one in legs):.0f} ms"
        for name, after in pairwise(there)
    ]
    session.note(f"overhead, medians: {', '.join(told)}")


def _idle(ward: Ward, seconds: float) -> float:
    """Return how much of one processor the tree needs while nobody wants anything."""
    before, began = on_processor_seconds(ward.pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (on_processor_seconds(ward.pid) - before) / (time.monotonic() - began)
