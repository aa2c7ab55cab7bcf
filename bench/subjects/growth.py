"""What the ledger takes for one step of the way while it grows: 1,000 to 1,000,000 instances.

The node is compared with itself. What is done is what the processes of the node do, on ledgers of
SQLite that differ in nothing but their size; beside the time stands how many steps the database
has made, which no other program on the machine can change.
"""

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx

from bench.contenders import AE_TITLE, SENDER, Node
from bench.growing import SECTIONS, counted, grow, index, size_gb
from bench.results import Kind
from bench.session import Contender, Session
from bench.units import KSTEPS, MS, Unit
from dicom_ai_node import compose
from dicom_ai_node.compose.console import console_desk
from dicom_ai_node.config import routes
from dicom_ai_node.domain.job import Job, Stage
from dicom_ai_node.domain.study import Arrival, Series
from dicom_ai_node.domain.uids import (
    AETitle,
    SeriesInstanceUID,
    Sha256,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_ai_node.receive.header import instance_of
from dicom_ai_node.route.plan import plan
from dicom_ai_node.serve.application import application
from dicom_ai_node.serve.console import console_routers
from dicom_ai_node.serve.console.desk import Remembered
from dicom_ai_node.serve.doors import OpenDoor
from tests import phantoms

TIMES = 5
"""How often each round does the same; the median counts."""
SLICES = 20
_LEASE = timedelta(minutes=10)
_PAGES = ("/", "/studies", "/jobs")


def run(session: Session) -> None:
    """Measure each step."""
    sizes = session.choose((1000, 2000), (1000, 100_000), (1000, 100_000, 1_000_000))
    everybody, ledgers = [], {}
    for size in sizes:
        is_largest = size == sizes[-1]
        name = f"itself at {size:,}"
        kind = Kind.OURS if is_largest else Kind.PEER
        if not session.wants(name, kind):
            continue
        node = Node.at(session.folder / str(size), sections=SECTIONS)
        grow(node, size)
        ledger = Grown(node)
        contender = Contender("dicom_ai_node" if is_largest else name, kind)
        session.note(f"{contender.name}: {size:,} instances, {size_gb(ledger.folder):.3g} GB")
        everybody.append(contender)
        ledgers[contender] = ledger
    works: Mapping[str, Callable[[Grown], Callable[[], object]]] = {
        "an arrival": Grown.arrival,
        f"completion of a series of {SLICES}": Grown.completion,
        "claim of a job": Grown.claim,
        **{f"console page {path}": partial(Grown.page, path=path) for path in _PAGES},
    }
    for work, prepare in works.items():
        session.measure(work, everybody, partial(_timed, ledgers, prepare))


def _timed(
    ledgers: Mapping[Contender, "Grown"],
    prepare: Callable[["Grown"], Callable[[], object]],
    contender: Contender,
) -> Mapping[Unit, float]:
    """Do it several times and once more to count; what has to be there before is not timed."""
    milliseconds = []
    for _ in range(TIMES):
        work = prepare(ledgers[contender])
        began = time.perf_counter()
        work()
        milliseconds.append(1000 * (time.perf_counter() - began))
    work = prepare(ledgers[contender])
    with counted() as steps:
        work()
    return {MS: statistics.median(milliseconds), KSTEPS: steps.thousands}


class Grown:
    """A node whose ledger has grown, and what its processes do with it."""

    def __init__(self, node: Node) -> None:
        self._config = compose.settings(node.config)
        self._ledger = compose.ledger(self._config)
        self._models, self._routes = compose.models(self._config), routes(self._config)
        self._template = _instance(node.folder)
        self._count = 0
        self._claimed: list[Job] = []
        before = _all_remembered()
        self._console = application(OpenDoor(), list(console_routers(console_desk(self._config))))
        self._remembered = [one for one in _all_remembered() if one not in before]
        self._shown: set[str] = set()

    @property
    def folder(self) -> Path:
        """Where the ledger lies."""
        return self._config.store.folder

    def _arrivals(self, count: int) -> list[Arrival]:
        """Return instances of a series that has never been here."""
        self._count += 1
        uid = f"1.2.99.{self._count}"
        return [
            replace(
                self._template,
                instance=replace(
                    self._template.instance,
                    study_instance_uid=StudyInstanceUID(uid),
                    series_instance_uid=SeriesInstanceUID(f"{uid}.1"),
                    sop_instance_uid=SOPInstanceUID(f"{uid}.1.{number}"),
                    sha256=Sha256(f"{self._count:032x}{number:032x}"),
                ),
            )
            for number in range(count)
        ]

    def arrival(self) -> Callable[[], object]:
        """Return what enters one instance."""
        arrivals = self._arrivals(1)
        later = timedelta(days=1)
        return lambda: self._ledger.record(arrivals, compose.now(), later)

    def _due(self) -> None:
        """Let a series be due, and no other."""
        now = compose.now()
        self._ledger.record(self._arrivals(SLICES), now, timedelta())

    def completion(self) -> Callable[[], object]:
        """Return what finds the series that is due, plans its jobs and closes it."""
        self._due()
        return self._complete

    def _complete(self) -> None:
        for series in self._ledger.due_series(compose.now()):
            self._close(series)

    def _close(self, series: Series) -> None:
        study, now = self._ledger.study(series.study_instance_uid), compose.now()
        planned = plan(study, series, self._routes, self._models, now)
        if not planned.jobs:
            raise RuntimeError("the series has no route")
        self._ledger.complete(series, "silence", planned.jobs, planned.notes, now)

    def claim(self) -> Callable[[], object]:
        """Return what hands out the one job that waits."""
        for job in self._ledger.claim(Stage.READY, compose.now(), _LEASE, 1000):
            self._ledger.move(job, Stage.DELIVERED, compose.now())
        self._due()
        self._complete()
        return lambda: self._claimed.extend(self._ledger.claim(Stage.READY, compose.now(), _LEASE))

    def page(self, path: str) -> Callable[[], object]:
        """Return what shows a page whose numbers nobody has asked for lately."""
        index(self.folder)
        if path not in self._shown:
            self._shown.add(path)
            asyncio.run(self._ask(path))  # its template is compiled once
        for one in self._remembered:
            one.forget()
        return lambda: asyncio.run(self._ask(path))

    async def _ask(self, path: str) -> None:
        transport = httpx.ASGITransport(app=self._console)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            answer = await client.get(path, headers={"Accept": "text/html"})
            answer.raise_for_status()


def _all_remembered() -> list[Remembered[object]]:
    """Return every answer that pages of this process keep for some seconds."""
    # By its type: asking odd objects of libraries for their class makes them warn.
    return [one for one in gc.get_objects() if type(one) is Remembered]


def _instance(folder: Path) -> Arrival:
    """Return a small CT image as it arrives."""
    (made,) = phantoms.ct(1, 2, 2)
    (path,) = phantoms.write([made], folder / "one")
    return Arrival(
        instance=instance_of(path),
        calling_ae_title=AETitle(SENDER),
        called_ae_title=AETitle(AE_TITLE),
        address="127.0.0.1",
    )
