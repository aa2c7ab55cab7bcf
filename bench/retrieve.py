"""How fast is WADO-RS, beside Orthanc with its DICOMweb plugin? Run `python -m bench.retrieve`.

Both hold the same series, listen on loopback, and are asked by the same client one after the other.
For each kind of answer: how many a second, how many MB a second, and what one costs the server in
milliseconds of a processor.
"""

import argparse
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import httpx
import numpy as np
from pydicom import Dataset

from dicom_ai_node import compose
from dicom_ai_node.domain.study import Arrival
from dicom_ai_node.domain.uids import AETitle
from dicom_ai_node.receive.header import instance_of
from tests import phantoms
from tests.peers.orthanc import Orthanc
from tests.peers.tools import free_port

OCTETS = 'multipart/related; type="application/octet-stream"'
DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
PEER = AETitle("BENCH")


def images(count: int) -> list[Dataset]:
    """Return a CT series of 512 by 512 pixels with noise, as scanners make them."""
    made = list(phantoms.ct(slices=count, rows=512, columns=512))
    noise = np.random.default_rng(1)
    for one in made:
        values = noise.integers(0, 2000, (512, 512), np.int16)
        one.PixelData = values.tobytes()
    return made


def stored(folder: Path, files: Sequence[Path]) -> int:
    """Store files in a node of its own and return its port."""
    port = free_port()
    path = folder / "ae_config.yaml"
    path.write_text(
        dedent(f"""\
        receive: {{ae_title: AI_NODE, accept_from: [BENCH]}}
        store: {{folder: ./node}}
        routes:
          - {{name: tissue, when: {{}}, run: segment, model: ct_tissue, write: segmentation,
             to: []}}
        serve: {{port: {port}, login: none}}
        """)
    )
    config = compose.settings(path)
    compose.prepare(config)
    blobs, ledger = compose.blobs(config), compose.ledger(config)
    arrivals = []
    for file in files:
        spooled = blobs.spool()
        shutil.copyfile(file, spooled)
        instance = instance_of(spooled)
        blobs.keep(spooled)
        arrivals.append(
            Arrival(
                instance=instance, calling_ae_title=PEER, called_ae_title=PEER, address="127.0.0.1"
            )
        )
    ledger.record(arrivals, compose.now(), timedelta(seconds=1))
    return port


def serve(path: str) -> None:
    """Answer until the standard input ends; runs in a process of its own."""
    from dicom_ai_node.web import WebServer  # noqa: PLC0415

    server = WebServer(compose.settings(Path(path)))
    server.start()
    sys.stdin.read()
    server.close()


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and its children until now."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, _, rest = stat.read_text().partition(" (")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = rest.rpartition(") ")[2].split()
        if int(number) == pid or int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def rate(port: int, asks: Sequence[tuple[str, str]], threads: int) -> tuple[float, float]:
    """Ask everything once over `threads` kept connections; return answers and MB a second."""
    got = [0] * threads

    def work(place: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        for path, accept in asks[place::threads]:
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            while some := answer.read(1 << 20):
                got[place] += len(some)
            if answer.status != http.HTTPStatus.OK:
                raise RuntimeError(f"{answer.status} for {accept}")
        connection.close()

    workers = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - began
    return len(asks) / seconds, sum(got) / seconds / 1e6


def measured(port: int, pid: int, made: Sequence[Dataset]) -> dict[str, str]:
    """Return what is measured, in words, by what it is."""
    first = made[0]
    study = f"/dicom-web/studies/{first.StudyInstanceUID}"
    series = f"{study}/series/{first.SeriesInstanceUID}"
    single = [f"{series}/instances/{one.SOPInstanceUID}" for one in made]
    json = "application/dicom+json"
    kinds: dict[str, Callable[[], tuple[float, float]]] = {
        "instances, 1 connection": lambda: rate(port, [(path, DICOM) for path in single], 1),
        "instances, 4 connections": lambda: rate(port, [(path, DICOM) for path in single], 4),
        "frames, 1 connection": lambda: rate(
            port, [(f"{path}/frames/1", OCTETS) for path in single], 1
        ),
        "frames, 4 connections": lambda: rate(
            port, [(f"{path}/frames/1", OCTETS) for path in single], 4
        ),
        "whole series": lambda: rate(port, [(series, DICOM)] * 5, 1),
        "metadata of the series": lambda: rate(port, [(f"{series}/metadata", json)] * 10, 1),
        "rendered": lambda: rate(port, [(f"{path}/rendered", "image/jpeg") for path in single], 1),
    }
    asks = {"whole series": 5, "metadata of the series": 10}
    asks = {name: asks.get(name, len(made)) for name in kinds}
    found = {}
    for name, ask in kinds.items():
        ask()
        before = cpu_seconds(pid)
        best = max(ask() for _ in range(3))
        spent = (cpu_seconds(pid) - before) * 1000 / (3 * asks[name])
        found[name] = f"{best[0]:8.1f}/s {best[1]:7.1f} MB/s {spent:7.2f} ms"
    return found


def main() -> None:
    """Measure both and print them side by side."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--images", type=int, default=200)
    asked.add_argument("--serve", help=argparse.SUPPRESS)
    given = asked.parse_args()
    if given.serve:
        serve(given.serve)
        return
    folder = Path(tempfile.mkdtemp())
    try:
        made = images(given.images)
        files = phantoms.write(made, _new(folder / "files"))
        port = stored(folder, files)
        command = [
            sys.executable,
            "-m",
            "bench.retrieve",
            "--serve",
            str(folder / "ae_config.yaml"),
        ]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as node:
            _wait(f"http://127.0.0.1:{port}/health/live")
            ours = measured(port, node.pid, made)
            if node.stdin:
                node.stdin.close()
        with Orthanc(folder, RemoteAccessAllowed=True) as orthanc:
            for file in files:
                httpx.post(f"{orthanc.url}/instances", content=file.read_bytes(), trust_env=False)
            theirs = measured(orthanc.http_port, orthanc.pid, made)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{os.cpu_count()} processors, {given.images} CT images of 512 x 512")
    print(f"{'':26} {'dicom_ai_node':>32} {'Orthanc':>32}")
    for name, ours_found in ours.items():
        print(f"{name:26} {ours_found:>32} {theirs[name]:>32}")


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            if httpx.get(url, trust_env=False).status_code == http.HTTPStatus.OK:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise RuntimeError("the node does not answer")


if __name__ == "__main__":
    main()
