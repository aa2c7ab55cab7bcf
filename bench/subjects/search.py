"""QIDO-RS among many studies of 100 instances, beside Orthanc with its DICOMweb plugin.

All hold the same and are asked by the same client, each question several times a round; the
fastest counts. The node is measured on SQLite and, where Debian's PostgreSQL is, on that.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx

from bench import contenders
from bench.contenders import Node
from bench.filling import fill, post
from bench.objects import part10
from bench.results import Kind
from bench.session import Contender, Field, Session
from bench.units import MS, Unit
from tests import phantoms
from tests.store.postgres import postgresql

SERIES, INSTANCES = ("CT", "MR", "CT", "SR"), 25
_TIMES = 5


def run(session: Session) -> None:
    """Measure each question."""
    studies = session.choose(2, 50, 60)
    counts: dict[str, int] = {}
    with ExitStack() as stack:
        field, at = Field(session, stack), session.folder
        field.enter("dicom_ai_node", Kind.OURS, partial(_node, at / "ours", studies))
        field.enter("dicom_ai_node on PostgreSQL", Kind.PEER, partial(_on_postgresql, at, studies))
        field.enter("Orthanc", Kind.PEER, partial(_orthanc, at / "orthanc", studies))
        for what, path in questions(studies).items():
            work = f"{what}, of {100 * studies} instances"
            session.measure(work, field.contenders, partial(_timed, path, counts))
            if len(set(counts.values())) > 1:
                found = ", ".join(f"{name} {count}" for name, count in counts.items())
                session.note(f"{work}: not everybody found as much: {found}")
            counts.clear()


def questions(studies: int) -> Mapping[str, str]:
    """Return what is asked, by what it is."""
    one = studies // 2
    return {
        "the latest 100 studies": "/studies?limit=100",
        "up to 1000 studies": "/studies?limit=1000",
        "the studies of a patient": f"/studies?PatientID=P{one}",
        "names with a wildcard": "/studies?PatientName=SMITH1*&limit=100",
        "studies of a month": "/studies?StudyDate=20200301-20200331",
        "100 studies with MR": "/studies?ModalitiesInStudy=MR&limit=100",
        "the series of a study": f"/studies/1.2.{one}/series",
        "the instances of a study": f"/studies/1.2.{one}/instances",
        "the instances of a series": f"/studies/1.2.{one}/series/1.2.{one}.1/instances",
        "up to 1000 series with CT": "/series?Modality=CT&limit=1000",
    }


def instances(studies: int) -> Iterator[bytes]:
    """Yield small CT images as files: 100 to a study."""
    (made,) = phantoms.ct(slices=1, rows=2, columns=2)
    for study in range(studies):
        made.StudyInstanceUID = f"1.2.{study}"
        made.PatientID, made.PatientName = f"P{study}", f"SMITH{study}^JOHN"
        made.StudyDate = f"2020{1 + study % 12:02}{1 + study % 28:02}"
        for number, modality in enumerate(SERIES):
            made.SeriesInstanceUID = f"1.2.{study}.{number}"
            made.Modality, made.SeriesNumber = modality, number
            for place in range(INSTANCES):
                made.SOPInstanceUID = f"1.2.{study}.{number}.{place}"
                made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
                made.InstanceNumber = place
                yield part10(made)


@contextmanager
def _node(folder: Path, studies: int, database_url: str = "") -> Iterator[tuple[int, int]]:
    node = Node.at(folder, database_url)
    fill(node, instances(studies))
    with node.web() as running:
        yield running


@contextmanager
def _on_postgresql(folder: Path, studies: int) -> Iterator[tuple[int, int]]:
    with postgresql() as server:
        server.execute("CREATE DATABASE ledger")
        url = server.url("ledger").replace("postgresql:", "postgresql+psycopg:")
        with _node(folder / "on-postgresql", studies, url) as running:
            yield running


@contextmanager
def _orthanc(folder: Path, studies: int) -> Iterator[tuple[int, int]]:
    with contenders.orthanc_web(folder) as (port, pid):
        post(port, instances(studies))
        yield port, pid


def _timed(path: str, counts: dict[str, int], contender: Contender) -> Mapping[Unit, float]:
    seconds = []
    base = f"http://127.0.0.1:{contender.port}/dicom-web"
    with httpx.Client(base_url=base, timeout=600, trust_env=False) as client:
        for _ in range(_TIMES):
            began = time.perf_counter()
            answer = client.get(path, headers={"Accept": "application/dicom+json"})
            seconds.append(time.perf_counter() - began)
            answer.raise_for_status()
    counts[contender.name] = len(answer.json())
    return {MS: 1000 * min(seconds)}
