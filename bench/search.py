"""How long does a search take among many? Run `python -m bench.search`.

    python -m bench.search --studies 1000               # 100,000 instances, SQLite
    python -m bench.search --studies 1000 --postgresql  # in Debian's PostgreSQL, a temporary one
    python -m bench.search --studies 100 --orthanc      # beside Orthanc with its DICOMweb plugin

All of them hold the same instances, listen on loopback, and are asked by the same client; each
question several times, of which the fastest counts: this is about the work, not about the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from textwrap import dedent

import httpx
from pydicom import Dataset

from dicom_ai_node import compose
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.header import instance_of
from tests import phantoms
from tests.peers.orthanc import Orthanc
from tests.peers.tools import free_port
from tests.store.postgres import postgresql

SERIES, INSTANCES = ("CT", "MR", "CT", "SR"), 25
TIMES = 20
PEER = AETitle("BENCH")


def questions(studies: int) -> dict[str, str]:
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


def instances(studies: int) -> Iterator[Dataset]:
    """Yield small CT images: 100 to a study."""
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
                yield made


def stored(folder: Path, studies: int, database: str) -> int:
    """Store and index all instances in a node of its own and return its port."""
    port = free_port()
    path = folder / "ae_config.yaml"
    path.write_text(
        dedent(f"""\
        receive: {{ae_title: AI_NODE, accept_from: [BENCH]}}
        store: {{folder: ./node{database}}}
        routes:
          - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation, to: []}}
        serve: {{port: {port}, login: none}}
        """)
    )
    config = compose.settings(path)
    compose.prepare(config)
    blobs, ledger, archive = compose.blobs(config), compose.ledger(config), compose.archive(config)
    arrivals: list[Arrival] = []
    for number, dataset in enumerate(instances(studies), 1):
        spooled = blobs.spool()
        dataset.save_as(spooled, enforce_file_format=True)
        instance = instance_of(spooled)
        blobs.keep(spooled)
        arrivals.append(
            Arrival(
                instance=instance, calling_ae_title=PEER, called_ae_title=PEER, address="127.0.0.1"
            )
        )
        if number % 1000 == 0 or number == 100 * studies:
            ledger.record(arrivals, compose.now(), timedelta(days=1))
            arrivals = []
            while archive.catch_up():
                pass
    return port


def serve(path: str) -> None:
    """Answer until the standard input ends; runs in a process of its own."""
    from dicom_ai_node.web import WebServer  # noqa: PLC0415

    server = WebServer(compose.settings(Path(path)))
    server.start()
    sys.stdin.read()
    server.close()


def measured(address: str, studies: int) -> dict[str, tuple[float, int]]:
    """Return milliseconds and lines of each answer."""
    found: dict[str, tuple[float, int]] = {}
    with httpx.Client(base_url=address, timeout=600, trust_env=False) as client:
        for what, path in questions(studies).items():
            seconds: list[float] = []
            for _ in range(TIMES):
                began = time.perf_counter()
                answer = client.get(path, headers={"Accept": "application/dicom+json"})
                seconds.append(time.perf_counter() - began)
                answer.raise_for_status()
            found[what] = (min(seconds) * 1000, len(answer.json()))
    return found


def ours(folder: Path, studies: int, database: str) -> dict[str, tuple[float, int]]:
    """Measure a node of ours."""
    began = time.perf_counter()
    port = stored(folder, studies, database)
    seconds = time.perf_counter() - began
    print(f"stored and indexed {100 * studies} instances in {seconds:.0f} s")
    command = [sys.executable, "-m", "bench.search", "--serve", str(folder / "ae_config.yaml")]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                httpx.get(f"http://127.0.0.1:{port}/health/live", trust_env=False)
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        found = measured(f"http://127.0.0.1:{port}/dicom-web", studies)
        process.communicate()
    return found


def orthancs(folder: Path, studies: int) -> dict[str, tuple[float, int]]:
    """Measure an Orthanc."""
    with Orthanc(folder) as orthanc, httpx.Client(trust_env=False, timeout=60) as client:
        for dataset in instances(studies):
            file = BytesIO()
            dataset.save_as(file, enforce_file_format=True)
            client.post(f"{orthanc.url}/instances", content=file.getvalue()).raise_for_status()
        return measured(orthanc.dicomweb_url, studies)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="each has 100 instances")
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--orthanc", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve)
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = ""
        if asked.postgresql:
            server = stack.enter_context(postgresql())
            server.execute("CREATE DATABASE ledger")
            database = f', database: "{server.url("ledger")}"'
        mine = ours(folder, asked.studies, database)
        theirs = orthancs(folder, asked.studies) if asked.orthanc else {}
    print(f"{'':28}{'lines':>7}{'ours, ms':>10}{'Orthanc, ms':>13}{'ratio':>7}")
    for what, (took, lines) in mine.items():
        told = f"{what:28}{lines:7}{took:10.1f}"
        if what in theirs:
            other, count = theirs[what]
            told += f"{other:13.1f}{other / took:7.1f}"
            told += "" if count == lines else f"  it found {count}"
        print(told)


if __name__ == "__main__":
    main()
