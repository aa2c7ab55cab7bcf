"""How fast instances are stored by STOW-RS, beside Orthanc's DICOMweb plugin in the same run.

    python -m bench.store FOLDER [--large-mb 2000] [--rounds 3]

Both write to FOLDER, on the same disk. Three tasks, alternately at both: many requests with one
small instance from eight clients at once, one request with many, and one large instance. Orthanc
comes from Debian's packages, see tests/peers/install.sh; without it the node runs alone.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

CLIENTS = 8
SMALL = 400
"""Instances of a round."""
SIDE = 128
BOUNDARY = "frontier"
TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
HEAD = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
ORTHANC_PLUGINS = "/usr/share/orthanc/plugins"


@dataclass(frozen=True)
class Server:
    """Something that listens, and which process it is."""

    name: str
    port: int
    pid: int
    path: str = "/dicom-web/studies"


def series(path: Path, count: int) -> list[bytes]:
    """Return the files of a new series."""
    study, series_uid = generate_uid(), generate_uid()
    return [written(path, study=study, series_uid=series_uid).read_bytes() for _ in range(count)]


def written(
    path: Path, *, frames: int = 1, side: int = SIDE, study: str = "", series_uid: str = ""
) -> Path:
    """Write a CT image with new UIDs; its pixels are noise at the end of the file."""
    ds = Dataset()
    ds.ensure_file_meta()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = (
        study or generate_uid(),
        series_uid or generate_uid(),
    )
    ds.PatientName, ds.PatientID, ds.Modality = "Bench^Mark", "BENCH", "CT"
    ds.Rows = ds.Columns = side
    ds.NumberOfFrames, ds.SamplesPerPixel, ds.PhotometricInterpretation = frames, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 0
    ds.PixelData = os.urandom(2 * side * side)
    ds["PixelData"].VR = "OW"
    dcmwrite(path, ds, enforce_file_format=True)
    if frames > 1:
        _lengthen(path, frames, 2 * side * side)
    return path


def _lengthen(path: Path, frames: int, frame_bytes: int) -> None:
    """Repeat the frame at the end of a file, and say so in the length of its pixel data."""
    with path.open("r+b") as file:
        file.seek(-frame_bytes - 4, os.SEEK_END)
        file.write((frames * frame_bytes).to_bytes(4, "little"))
        frame = file.read()
        for _ in range(frames - 1):
            file.write(frame)


@contextmanager
def node(folder: Path) -> Iterator[Server]:
    """Run the two processes of this node that answer HTTP and index what has come."""
    port, config = _free_port(), folder / "ae_config.yaml"
    folder.mkdir(parents=True)
    config.write_text(
        "receive: {ae_title: AI_NODE, accept_from: [CT1]}\n"
        f"store: {{folder: {folder / 'store'}, min_free_gb: 1}}\n"
        "routes:\n"
        "  - {name: x, when: {}, run: segment, model: ct_tissue, write: segmentation, to: []}\n"
        f"serve: {{port: {port}, login: none}}\n"
    )
    prepare = "import sys; from pathlib import Path; from dicom_ai_node import compose; "
    prepare += "compose.prepare(compose.settings(Path(sys.argv[1])))"
    subprocess.run([sys.executable, "-c", prepare, str(config)], check=True)
    command = [sys.executable, "-m", "dicom_ai_node", "serve", str(config), "--role"]
    with _running([*command, "web"], port, folder / "log") as pid:
        index = subprocess.Popen([*command, "index"], stderr=subprocess.DEVNULL)
        try:
            yield Server("node", port, pid)
        finally:
            index.terminate()
            index.wait(60)


@contextmanager
def orthanc(folder: Path) -> Iterator[Server]:
    """Run Orthanc with its DICOMweb plugin, as it comes."""
    port = _free_port()
    folder.mkdir(parents=True)
    (folder / "orthanc.json").write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "storage"),
                "TemporaryDirectory": str(folder),
                "Plugins": [f"{ORTHANC_PLUGINS}/libOrthancDicomWeb.so"],
                "HttpPort": port,
                "DicomPort": _free_port(),
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            }
        )
    )
    with _running(["Orthanc", str(folder / "orthanc.json")], port, folder / "log") as pid:
        yield Server("Orthanc", port, pid)


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Iterator[int]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one_each(server: Server, files: list[bytes]) -> float:
    """Send one instance per request over kept connections; return instances per second."""

    def send(mine: list[bytes]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        for file in mine:
            _post(connection, server, HEAD + file + TAIL)
        connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(send, [files[start::CLIENTS] for start in range(CLIENTS)]))
    return len(files) / (time.monotonic() - began)


def all_at_once(server: Server, files: list[bytes]) -> float:
    """Send all in one request; return instances per second."""
    body = b"\r\n".join(HEAD + file for file in files) + TAIL
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    began = time.monotonic()
    _post(connection, server, body)
    return len(files) / (time.monotonic() - began)


def _post(connection: http.client.HTTPConnection, server: Server, body: bytes) -> None:
    headers = {"Content-Type": TYPE, "Accept": "application/dicom+json"}
    connection.request("POST", server.path, body, headers)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise RuntimeError(f"{server.name}: {answer.status} {said[:300]!r}")


def one_large(server: Server, path: Path) -> float:
    """Send a file from the disk as one instance; return MB per second."""
    size = len(HEAD) + path.stat().st_size + len(TAIL)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=600) as connection:
        connection.sendall(
            f"POST {server.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {TYPE}\r\nConnection: close"
            f"\r\nAccept: application/dicom+json\r\nContent-Length: {size}\r\n\r\n".encode()
            + HEAD
        )
        with path.open("rb") as file:
            connection.sendfile(file)
        connection.sendall(TAIL)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if b" 200 " not in answer[:30]:
        raise RuntimeError(f"{server.name}: {answer[:300]!r}")
    return size / 1e6 / (time.monotonic() - began)


def peak_mb(server: Server) -> float:
    """Return the most memory that a server has had, its mapped files left out."""
    status = Path(f"/proc/{server.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def measured(
    servers: list[Server], rounds: int, task: Callable[[Server], float]
) -> dict[str, list[float]]:
    """Do a task in rounds, alternately at each server."""
    found: dict[str, list[float]] = {server.name: [] for server in servers}
    for _ in range(rounds):
        for server in servers:
            found[server.name].append(task(server))
    return found


def tell(what: str, found: dict[str, list[float]]) -> None:
    """Print a line per server."""
    for name, values in found.items():
        every = " ".join(f"{value:.0f}" for value in values)
        print(f"{what:<44} {name:<8} median {statistics.median(values):7.0f}   ({every})")


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--large-mb", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    small = said.folder / "small.dcm"

    with node(said.folder / "node") as ours, orthanc(said.folder / "orthanc") as theirs:
        both, rounds = [ours, theirs], said.rounds
        tell(
            "small, one per request, instances/s",
            measured(both, rounds, lambda it: one_each(it, series(small, SMALL))),
        )
        tell(
            f"small, {SMALL} per request, instances/s",
            measured(both, rounds, lambda it: all_at_once(it, series(small, SMALL))),
        )
        print(f"peak memory, MB: {', '.join(f'{s.name} {peak_mb(s):.0f}' for s in both)}")
        frames = said.large_mb * 1_000_000 // (2 * 1024 * 1024)
        large = said.folder / "large.dcm"
        tell(
            f"one of {said.large_mb} MB, MB/s",
            measured(
                both, rounds, lambda it: one_large(it, written(large, frames=frames, side=1024))
            ),
        )
        print(f"peak memory, MB: {', '.join(f'{s.name} {peak_mb(s):.0f}' for s in both)}")


if __name__ == "__main__":
    main()
