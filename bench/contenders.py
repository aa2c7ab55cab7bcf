"""Who is measured: this node, the programs that others run, and what the machine can do.

Each runs until the end of a block, on loopback, with everything that it stores in its own folder,
and yields its port and its process. `tuned` is what a well informed administrator would set: as
Debian installs them, DCMTK and Orthanc wait about 40 ms for each object, for Nagle's algorithm and
delayed acknowledgements; the environment variable TCP_NODELAY ends that.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

from bench.processes import running
from dicom_ai_node import compose
from tests.peers.orthanc import Orthanc
from tests.peers.tools import free_port, listens

ROOT = Path(__file__).parents[1]
NODELAY: Mapping[str, str] = {"TCP_NODELAY": "1"}
AE_TITLE, SENDER = "AI_NODE", "BENCH"
_LONGEST_PDU = 131072
_LIMIT = Path(__file__).with_name("limit.c")
_AS_INSTALLED: Mapping[str, str] = {}

_IDLE = """\
    routes:
      - {name: none, when: {Modality: SR}, run: segment, model: ct_tissue, write: segmentation, to: []}
    """

Running = Iterator[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Node:
    """A node in a folder of its own, ready to be started.

    Unless it has other routes its only one takes what nobody sends: then it does everything with
    what comes but look at it with a model.
    """

    folder: Path
    dicom_port: int
    http_port: int

    @classmethod
    def at(cls, folder: Path, database_url: str = "", sections: str = _IDLE) -> "Node":
        """Make one; its ledger is SQLite unless there is a URL of another database.

        `sections` are those of its configuration between `store` and `serve`.
        """
        node = cls(folder, free_port(), free_port())
        folder.mkdir(parents=True)
        database = f', database: "{database_url}"' if database_url else ""
        node.config.write_text(
            dedent(f"""\
            receive: {{ae_title: {AE_TITLE}, host: 127.0.0.1, port: {node.dicom_port},
              accept_from: [{SENDER}]}}
            store: {{folder: ./store, min_free_gb: 1{database}}}
            serve: {{port: {node.http_port}, login: none}}
            """)
            + dedent(sections)
        )
        compose.prepare(compose.settings(node.config))
        return node

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.folder / "ae_config.yaml"

    @contextmanager
    def tree(self) -> Running:
        """Run all of its processes, as in a hospital; yield its DICOM port."""
        log = self.folder / "node.log"
        with running(self._command, log, lambda: b"node_ready" in log.read_bytes()) as pid:
            yield self.dicom_port, pid

    @contextmanager
    def web(self) -> Running:
        """Run the process that answers HTTP; yield its port."""
        command, log = [*self._command, "--role", "web"], self.folder / "web.log"
        with running(command, log, lambda: listens(self.http_port)) as pid:
            yield self.http_port, pid

    @contextmanager
    def web_and_index(self) -> Running:
        """Run the process that answers HTTP, and the one that indexes what it takes."""
        command = [*self._command, "--role", "index"]
        with running(command, self.folder / "index.log", lambda: True), self.web() as both:
            yield both

    @property
    def _command(self) -> list[str]:
        return [sys.executable, "-m", "dicom_ai_node", "serve", str(self.config)]


@contextmanager
def orthanc(
    folder: Path, environment: Mapping[str, str] = _AS_INSTALLED, **settings: object
) -> Running:
    """Run Orthanc with its DICOMweb plugin; yield its DICOM port."""
    open_to_all = {"DicomCheckCalledAet": False, "DicomAlwaysAllowStore": True}
    with Orthanc(folder, environment=environment, **open_to_all, **settings) as it:
        yield it.dicom_port, it.pid


def tuned_orthanc(folder: Path) -> AbstractContextManager[tuple[int, int]]:
    """Run Orthanc so that it receives as fast as it can and syncs what it syncs as installed."""
    return orthanc(folder, NODELAY, MaximumPduLength=_LONGEST_PDU)


@contextmanager
def orthanc_web(folder: Path) -> Running:
    """Run Orthanc with its DICOMweb plugin; yield its HTTP port."""
    with Orthanc(folder) as it:
        yield it.http_port, it.pid


def storescp(folder: Path) -> AbstractContextManager[tuple[int, int]]:
    """Run DCMTK's storescp, one process an association. It syncs nothing."""
    return _storescp(folder, _AS_INSTALLED, "--fork")


def tuned_storescp(folder: Path) -> AbstractContextManager[tuple[int, int]]:
    """Run DCMTK's storescp at its fastest: bytes as they came, long PDUs. It syncs nothing."""
    return _storescp(folder, NODELAY, "--fork", "+B", "-pdu", str(_LONGEST_PDU))


@contextmanager
def _storescp(folder: Path, environment: Mapping[str, str], *options: str) -> Running:
    kept, port = folder / "kept", free_port()
    kept.mkdir(parents=True)
    command = ["storescp", *options, "-aet", AE_TITLE, "-od", str(kept), str(port)]
    with running(command, folder / "log", lambda: listens(port), environment) as pid:
        yield port, pid


@contextmanager
def pynetdicom_app(folder: Path) -> Running:
    """Run pynetdicom's storescp. It syncs nothing."""
    kept, port = folder / "kept", free_port()
    kept.mkdir(parents=True)
    command = [sys.executable, "-m", "pynetdicom", "storescp", str(port), "-aet", AE_TITLE]
    command += ["-od", str(kept), "-ba", "127.0.0.1"]
    with running(command, folder / "log", lambda: listens(port)) as pid:
        yield port, pid


@contextmanager
def limit(folder: Path, *, throws_away: bool = False) -> Running:
    """Run the C program that does nothing but what has to be done, or throws everything away.

    Raises
    ------
    FileNotFoundError
        If there is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("there is no C compiler (cc) for bench/limit.c")
    kept, port, program = folder / "kept", free_port(), folder / "limit"
    kept.mkdir(parents=True)
    subprocess.run([compiler, "-O2", "-pthread", "-o", program, _LIMIT], check=True)
    command = [str(program), str(port), "-" if throws_away else str(kept)]
    with running(command, folder / "log", lambda: listens(port)) as pid:
        yield port, pid
