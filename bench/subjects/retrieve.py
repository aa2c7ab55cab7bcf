"""WADO-RS, beside Orthanc with its DICOMweb plugin: instances, frames, metadata, pictures.

Both hold the same CT series of 512 by 512 pixels, and are asked by the same client.
"""

import http.client
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from pydicom import Dataset

from bench import contenders, objects
from bench.contenders import Node
from bench.filling import fill, post
from bench.results import Kind
from bench.session import Contender, Field, Session, with_cpu
from bench.units import ANSWERS_PER_S, MB_PER_S, Unit

OCTETS = 'multipart/related; type="application/octet-stream"'
DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
JSON, JPEG = "application/dicom+json", "image/jpeg"
_FEW = {"the whole series": 5, "metadata of the series": 10}
_CONNECTIONS = {"instances": (1, 4), "frames": (1, 4)}

Ask = tuple[str, str]
"""A path and what is accepted."""


def run(session: Session) -> None:
    """Measure each kind of answer."""
    made = objects.ct_images(session.choose(4, 50, 100))
    files = [objects.part10(ds) for ds in made]
    with ExitStack() as stack:
        field = Field(session, stack)
        field.enter("dicom_ai_node", Kind.OURS, partial(_node, session.folder / "ours", files))
        field.enter("Orthanc", Kind.PEER, partial(_orthanc, session.folder / "orthanc", files))
        for kind, asks in questions(made).items():
            for threads in _CONNECTIONS.get(kind, (1,)):
                work = f"{kind}, {threads} connection{'s' if threads > 1 else ''}"
                session.measure(work, field.contenders, partial(_timed, asks, threads))


@contextmanager
def _node(folder: Path, files: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    node = Node.at(folder)
    fill(node, files)
    with node.web() as running:
        yield running


@contextmanager
def _orthanc(folder: Path, files: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    with contenders.orthanc_web(folder) as (port, pid):
        post(port, files)
        yield port, pid


def questions(made: Sequence[Dataset]) -> Mapping[str, Sequence[Ask]]:
    """Return what is asked, by what it is."""
    first = made[0]
    series = f"/dicom-web/studies/{first.StudyInstanceUID}/series/{first.SeriesInstanceUID}"
    each = [f"{series}/instances/{one.SOPInstanceUID}" for one in made]
    return {
        "instances": [(path, DICOM) for path in each],
        "frames": [(f"{path}/frames/1", OCTETS) for path in each],
        "the whole series": [(series, DICOM)] * _FEW["the whole series"],
        "metadata of the series": [(f"{series}/metadata", JSON)] * _FEW["metadata of the series"],
        "rendered": [(f"{path}/rendered", JPEG) for path in each],
    }


def _timed(asks: Sequence[Ask], threads: int, contender: Contender) -> Mapping[Unit, float]:
    def work() -> tuple[int, Mapping[Unit, float]]:
        seconds, megabytes = asked(contender.port, asks, threads)
        found = {ANSWERS_PER_S: len(asks) / seconds, MB_PER_S: megabytes / seconds}
        return len(asks), found

    return with_cpu(contender, work)


def asked(port: int, asks: Sequence[Ask], threads: int) -> tuple[float, float]:
    """Ask everything once over so many kept connections; return seconds and MB.

    Raises
    ------
    RuntimeError
        If an answer is not 200.
    """
    got, bad = [0] * threads, []

    def work(place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for path, accept in asks[place::threads]:
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            while some := answer.read(1 << 20):
                got[place] += len(some)
            if answer.status != http.HTTPStatus.OK:
                bad.append(f"{answer.status} for {accept}")
        connection.close()

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if bad:
        raise RuntimeError(bad[0])
    return time.perf_counter() - began, sum(got) / 1e6
