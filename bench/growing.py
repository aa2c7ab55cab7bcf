"""Makes a ledger as large as one likes, fast: a study that has gone all its way, again and again.

The first study goes through the product's own doors, so that its rows are what the node writes. SQL
then writes them again with other UIDs and digests, at other times, with nothing else changed. Only
whole headers are left out: they are read one by one when somebody asks for an instance.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from bench import objects
from bench.contenders import Node
from bench.filling import fill
from dicom_ai_node import compose
from dicom_ai_node.config import routes
from dicom_ai_node.domain.job import Job, Result, Stage
from dicom_ai_node.domain.uids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
    derive_uid,
)
from dicom_ai_node.route.plan import plan
from tests import phantoms

SERIES, INSTANCES = 4, 5
"""Of each study: so few that even the smallest ledger fills every page and chart of the console."""
PER_STUDY = SERIES * INSTANCES
MINUTES_APART = 30
"""Between two studies: the smallest ledger holds a whole day, the largest three years of such."""
DESTINATION = "pacs"
SECTIONS = f"""\
    routes:
      - {{name: tissue, when: {{Modality: CT}}, run: segment, model: ct_tissue,
          write: segmentation, to: [{DESTINATION}]}}
    destinations:
      {DESTINATION}: {{ae_title: PACS, host: 127.0.0.1, port: 104}}
    """
"""Of the configuration of a node whose ledger is to grow."""
_TABLES = (
    "series", "instances", "series_patients", "jobs", "job_inputs", "results", "deliveries",
    "own_uids", "events", "held_studies", "held_series", "held_instances",
)  # fmt: skip
_UIDS = ("uid", "study_instance_uid", "series_instance_uid", "sop_instance_uid")
_DIGESTS = ("sha256", "data_set_sha256", "key", "job", "signature", "patient")
_STEPS_AT_ONCE = 10


def grow(node: Node, instances: int) -> None:
    """Fill the ledger and the archive of a node that does not run with so many instances."""
    _first_study(node)
    config = compose.settings(node.config)
    with sqlite3.connect(config.store.folder / "node.db") as connection:
        # What is filled in is measured by nobody, and needs no power cut to survive.
        for pragma in ("foreign_keys = OFF", "synchronous = OFF", "cache_size = -800000"):
            connection.execute(f"PRAGMA {pragma}")
        for name in _TABLES:
            _repeat(connection, name, instances // PER_STUDY - 1)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _first_study(node: Node) -> None:
    files = []
    for number in range(SERIES):
        uid = derive_uid("grown", "series", str(number))
        made = phantoms.ct(INSTANCES, 2, 2, SeriesInstanceUID=uid)
        files += [objects.part10(ds) for ds in made]
    fill(node, files)
    config = compose.settings(node.config)
    ledger, models = compose.ledger(config), compose.models(config)
    now = compose.now()
    for one in ledger.study(StudyInstanceUID(phantoms.STUDY_INSTANCE_UID)).series:
        study = ledger.study(one.study_instance_uid)
        planned = plan(study, one, routes(config), models, now)
        ledger.complete(one, "every association has ended", planned.jobs, planned.notes, now)
    lease = timedelta(minutes=1)
    for job in ledger.claim(Stage.READY, now, lease, SERIES):
        ledger.move(job, Stage.INFERRED, now)
    for job in ledger.claim(Stage.INFERRED, now, lease, SERIES):
        ledger.commit_results(job, [_result(job)], [DESTINATION], now)
        for delivery in ledger.claim_deliveries(DESTINATION, now, lease):
            ledger.delivered(delivery, now)
    compose.archive(config).catch_up()
    ledger.database.close()


def index(folder: Path) -> None:
    """Say that the archive has looked at everything: what has arrived here has no bytes."""
    with sqlite3.connect(folder / "node.db") as connection:
        connection.execute("UPDATE instances SET is_indexed = 1 WHERE is_indexed = 0")


def _result(job: Job) -> Result:
    return Result(
        job=job.key,
        kind="segmentation",
        sop_instance_uid=SOPInstanceUID(derive_uid(job.key, "seg")),
        sop_class_uid=SOPClassUID("1.2.840.10008.5.1.4.1.1.66.4"),
        series_instance_uid=SeriesInstanceUID(derive_uid(job.key, "series")),
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        sha256=job.inputs[0].sha256,
    )


def _repeat(connection: sqlite3.Connection, name: str, times: int) -> None:
    columns = list(connection.execute(f"PRAGMA table_info({name})"))
    values = ", ".join(_again(*column[1:3], is_key=bool(column[5])) for column in columns)
    connection.execute(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?),"  # noqa: S608
        f" old AS MATERIALIZED (SELECT * FROM {name})"
        f" INSERT INTO {name} SELECT {values} FROM n CROSS JOIN old WHERE n.i <= ?",
        (times, times),
    )


def _again(name: str, kind: str, *, is_key: bool) -> str:
    """Return what stands in a column of the study that is written for the i-th time."""
    if name in _UIDS:
        return f"{name} || '.' || i"
    if name in _DIGESTS:
        # Spread out, as digests are: neighbours in time are none in the index.
        return f"printf('%08x', (i * 2654435761) & 4294967295) || substr({name}, 9)"
    if name in {"patient_id", "accession_number"}:
        return f"{name} || i"
    if kind == "DATETIME":
        return f"strftime('%Y-%m-%d %H:%M:%f', {name}, '-' || (i * {MINUTES_APART}) || ' minutes')"
    return "NULL" if is_key and name == "number" else name


class Steps:
    """How many steps the machine of SQLite has made, in thousands: the same however busy ours is.

    In tens: what a statement has left over counts when it is made the next time.
    """

    def __init__(self) -> None:
        self._calls = 0

    @property
    def thousands(self) -> float:
        """How many until now."""
        return self._calls * _STEPS_AT_ONCE / 1000

    def count(self) -> None:
        """Note that some more have been made."""
        self._calls += 1


@contextmanager
def counted() -> Iterator[Steps]:
    """Count the steps of all statements of this process meanwhile."""
    steps = Steps()

    def begin(connection: Any, *_: object) -> None:  # noqa: ANN401 - the driver's own
        connection.set_progress_handler(steps.count, _STEPS_AT_ONCE)

    def end(connection: Any, *_: object) -> None:  # noqa: ANN401
        if connection is not None:
            connection.set_progress_handler(None, 0)

    event.listen(Pool, "checkout", begin)
    event.listen(Pool, "checkin", end)
    try:
        yield steps
    finally:
        event.remove(Pool, "checkout", begin)
        event.remove(Pool, "checkin", end)


def size_gb(folder: Path) -> float:
    """Return how large a ledger is."""
    return sum(path.stat().st_size for path in folder.glob("node.db*")) / 1e9
